"""The base of every model in a cafeteria's schema: rows and querysets remember whose they are and refuse to work elsewhere."""

from collections.abc import Iterable
from typing import Any, Self

from django.db import models

from tenants.errors import CrossedTenantScope
from tenants.scope import current_tenant_or_none

type Home = tuple[int, int] | None  # (cafeteria id, generation) of the scope


def home_now() -> Home:
    tenant = current_tenant_or_none()
    return None if tenant is None else (tenant.id, tenant.generation)


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
        owner = self._hints.get("instance")  # type: ignore[attr-defined]
        for home in (self._home, getattr(owner, "_home", None)):
            if home is not None and home != home_now():
                raise CrossedTenantScope(f"A query on {self.model.__name__} left the scope in which it was made.")
        return super().db


class TenantModel(models.Model):
    _home: Home = None

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Iterable[str], values: Any) -> Self:
        instance = super().from_db(db, field_names, values)
        instance._home = home_now()
        return instance

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        if self._home is not None and self._home != home_now():
            raise CrossedTenantScope(f"A {type(self).__name__} was saved outside the scope from which it came.")
        super().save_base(*args, **kwargs)
        self._home = home_now()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        if self._home is not None and self._home != home_now():
            raise CrossedTenantScope(f"A {type(self).__name__} was deleted outside the scope from which it came.")
        return super().delete(*args, **kwargs)
