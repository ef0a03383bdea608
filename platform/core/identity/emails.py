import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from core.identity.errors import InvalidEmail

LONGEST = 254


def normalise_email(raw: str) -> str:
    """The one way in which an address is stored and looked up: trimmed, composed, lowercase. Raises InvalidEmail."""
    email = unicodedata.normalize("NFC", raw.strip()).lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidEmail from None
    if len(email) > LONGEST or not email.isprintable():
        raise InvalidEmail
    return email


def normalised_or_none(raw: str) -> str | None:
    try:
        return normalise_email(raw)
    except InvalidEmail:
        return None
