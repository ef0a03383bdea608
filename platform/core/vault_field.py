"""A column that is encrypted at rest. Apart from core.vault, which settings import before there are models."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.lookups import Exact
from django.db.models.query_utils import DeferredAttribute

from core.vault import Secret, seal, unseal

if TYPE_CHECKING:
    SecretText = models.TextField[Secret | str, Secret]
else:
    SecretText = models.TextField


class EncryptedTextField(SecretText):
    """A column that holds sealed texts; its values are Secrets, which a plain text becomes when it is set.

    The empty text stays empty, and is all that it can be compared with: the same text is sealed differently each time.
    """

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:  # noqa: FBT001, FBT002  Django's signature
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _SecretAttribute(self))

    def from_db_value(self, value: str | None, _expression: object, _connection: object) -> Secret | None:
        return None if value is None else Secret(unseal(value) if value else "")

    def to_python(self, value: Any) -> Any:
        return as_secret(value)

    def get_prep_value(self, value: Any) -> Any:
        text = value.reveal() if isinstance(value, Secret) else value
        return seal(text) if text else text

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name not in {"isnull", "exact"}:
            raise TypeError(f"{self.name} is encrypted: it cannot be searched.")
        return _Exact if lookup_name == "exact" else super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        """For exports: sealed, never plain."""
        return self.get_prep_value(self.value_from_object(obj)) or ""


class _SecretAttribute(DeferredAttribute):
    """Also what is assigned is a Secret at once: it must not show itself between the assignment and the next read."""

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = as_secret(value)


class _Exact(Exact):
    def get_prep_lookup(self) -> Any:
        if self.rhs not in {"", Secret("")}:
            raise TypeError("An encrypted column can only be compared with the empty text.")
        return ""


def as_secret(value: Any) -> Any:
    return Secret(value) if isinstance(value, str) else value
