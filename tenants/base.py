"""The base of every model in a cafeteria's schema: rows and querysets remember whose they are and refuse to work elsewhere."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NoReturn, Self

from django.db import models
from django.db.models.signals import class_prepared

from tenants.errors import CrossedTenantScope
from tenants.scope import current_tenant_or_none

type Home = tuple[int, int] | None  # (cafeteria id, generation) of the scope


def home_now() -> Home:
    tenant = current_tenant_or_none()
    return None if tenant is None else (tenant.id, tenant.generation)


def check_home(thing: Any, what: str) -> None:
    """CrossedTenantScope unless the scope is the one that `thing` comes from. What comes from none may go anywhere."""
    home = getattr(thing, "_home", None)
    if home is not None and home != home_now():
        raise CrossedTenantScope(f"{what} left the scope from which it came.")


class TenantQuerySet[M: models.Model](models.QuerySet[M]):
    """Bound to the scope in which it was made; one made outside any scope (at import) is bound by its first clone inside."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._home = home_now()

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._home = self._home or clone._home
        return clone

    @property
    def db(self) -> str:
        # Every way to reach the database asks for the alias first.
        check_home(self, f"A query on {self.model.__name__}")
        check_home(self._hints.get("instance"), f"A query on the {self.model.__name__} of a row")  # type: ignore[attr-defined]
        return super().db

    def _iterator(self, *args: Any, **kwargs: Any) -> Iterator[M]:
        # A half-read iterator would label the rest of A's rows as B's.
        home = home_now()
        for row in super()._iterator(*args, **kwargs):  # type: ignore[misc]
            if home_now() != home:
                raise CrossedTenantScope(f"An iterator over {self.model.__name__} left the scope in which it began.")
            yield row

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        return super().bulk_create(checked(objs), *args, **kwargs)

    def bulk_update(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> int:
        return super().bulk_update(checked(objs), *args, **kwargs)

    def raw(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: a lazy raw query cannot know its scope."""
        raise TypeError("Use a cursor inside the scope instead of raw().")


def checked[M: models.Model](rows: Iterable[M]) -> list[M]:
    rows = list(rows)
    for row in rows:
        check_home(row, f"A {type(row).__name__}")
    return rows


TenantManager = models.Manager.from_queryset(TenantQuerySet)


class TenantModel(models.Model):
    _home: Home = None

    objects = TenantManager()

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **more: Any) -> Self:
        instance = super().from_db(db, field_names, values, **more)
        instance._home = home_now()  # noqa: SLF001
        return instance

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        check_home(self, f"A {type(self).__name__}")
        for field in self._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and field.is_cached(self):
                check_home(field.get_cached_value(self), f"The {field.name} of a {type(self).__name__}")
        super().save_base(*args, **kwargs)
        self._home = home_now()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        check_home(self, f"A {type(self).__name__}")
        return super().delete(*args, **kwargs)


def guard_base_manager(sender: type[models.Model], **_: Any) -> None:
    """Foreign keys and refresh_from_db go through the base manager, which Django makes unguarded (and does not inherit through a mixin)."""
    if issubclass(sender, TenantModel) and not sender._meta.abstract:
        sender._meta.base_manager_name = "objects"
        sender._meta._expire_cache()  # type: ignore[attr-defined]  # noqa: SLF001


class_prepared.connect(guard_base_manager, dispatch_uid="tenants.base.guard_base_manager")
