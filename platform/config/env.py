"""Settings from the environment, each read once and with a sentence that says how to mend a bad one."""

import os
import re
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def given(name: str) -> str | None:
    """The variable's value, or what the file holds that NAME_FILE leads to, as secrets of containers come. None when there is neither."""
    value, file = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if not file:
        return value
    if value:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set. Keep one of them.")
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ImproperlyConfigured(f"{name}_FILE leads to {file}, which cannot be read ({reason}). Put the secret there.") from error


def required(name: str, *, hint: str) -> str:
    """The variable's value; ImproperlyConfigured with the hint when it is unset or empty."""
    value = given(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {hint}")
    return value


def text(name: str, default: str = "") -> str:
    value = given(name)
    return default if value is None else value


def boolean(name: str, *, default: bool) -> bool:
    value = given(name)
    if value is None:
        return default
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}. Set it to 1 or 0.")


def integer(name: str, default: int, *, least: int = 0) -> int:
    value = text(name)
    if not value:
        return default
    if not value.isdecimal() or int(value) < least:
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to a whole number of {least} or more.")
    return int(value)


def amount(name: str, default: str) -> Decimal:
    """A decimal number of zero or more, e.g. 2.5."""
    value = text(name) or default
    if not re.fullmatch(r"\d{1,9}(\.\d{1,4})?", value):
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to a number such as 2.5, without a sign.")
    return Decimal(value)


def words(name: str) -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def networks(name: str) -> list[str]:
    """A comma-separated list of networks or single addresses."""
    given = words(name)
    for word in given:
        try:
            ip_network(word)
        except ValueError as error:
            raise ImproperlyConfigured(f"{word!r} in {name} is no network. Write it as 10.0.0.0/8 or 192.0.2.7.") from error
    return given


def path(name: str, default: Path) -> Path:
    return Path(text(name) or default).expanduser().resolve()


def database(name: str, *, hint: str, password: str = "") -> dict[str, object]:
    """Django's connection settings from a postgresql:// address, e.g. postgresql://user:password@host:5432/name?host=/socket/dir.

    `password` is for an address without one.
    """
    address = required(name, hint=hint)
    parts = urlsplit(address)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"{name} is not the address of a PostgreSQL database. Write it as postgresql://user:password@host:5432/name."
        )
    options = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    socket_folder = unquote(options.pop("host", ""))
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"The port in {name} is not a number. Write it as host:5432.") from error
    return {
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or "") or password,
        "HOST": socket_folder or parts.hostname or "",
        "PORT": str(port or options.pop("port", "")),
        "OPTIONS": {"application_name": "comanda", **{key: unquote(value) for key, value in options.items()}},
    }


def with_password(name: str, password: str) -> str:
    """The address of a database with the password in it, unless it has one or there is none."""
    address = text(name)
    parts = urlsplit(address)
    if not address or not password or parts.password or not parts.username:
        return address
    user, place = parts.netloc.rsplit("@", 1)
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


def cache_server(name: str, *, password: str = "") -> str:
    """The address of a server that speaks Redis' protocol, or nothing. No error quotes it: it may hold a password."""
    value = text(name)
    if not value:
        return ""
    hint = f"Write {name} as redis://host:6379/0, or rediss:// for TLS, and its password as CACHE_PASSWORD."
    parts = urlsplit(value)
    try:
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        raise ImproperlyConfigured(f"The port in {name} is not a number. {hint}") from None
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ImproperlyConfigured(f"{name} is not the address of a cache. {hint}")
    if not password or parts.password:
        return value
    user, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user if at else ''}:{quote(password, safe='')}@{place}").geturl()


def bucket(name: str) -> str:
    """The name of an S3 bucket, or nothing."""
    value = text(name)
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ImproperlyConfigured(f"{name} is {value!r}, which no bucket is called. Give its name alone: no address, no folder.")
    return value


def storage_address(name: str, *, plain_anywhere: bool) -> str:
    """An S3 server's http(s) address, or nothing. Plain http goes no further than this machine, or anywhere in development."""
    value = text(name).rstrip("/")
    if not value:
        return ""
    hint = f"Set {name} to the server's own address, such as https://s3.example.com, without user, bucket or path."
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or "@" in parts.netloc:
        raise ImproperlyConfigured(f"{name} is not an address that can be used. {hint}")
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"} and not plain_anywhere:
        raise ImproperlyConfigured(f"{name} is plain http to another machine, where anybody could read along. {hint}")
    return value


def webhook_address(name: str, *, plain: bool) -> str:
    """The https address that messages are posted to, or nothing. It is a secret, so no error quotes it. Plain http only if `plain`."""
    value = text(name)
    parts = urlsplit(value)
    if value and not (parts.hostname and (parts.scheme == "https" or (plain and parts.scheme == "http"))):
        raise ImproperlyConfigured(f"{name} is not an https address. Copy it from the page of the incoming webhook.")
    return value


def mail_server(name: str, *, plain_anywhere: bool) -> dict[str, object] | None:
    """Django's settings of a mail server, or None when there is none: smtps:// is TLS from the start, smtp:// becomes TLS by STARTTLS.

    smtp+plain:// stays plain: to this machine, or anywhere in development. No error quotes the value, which has a password.
    """
    value = text(name)
    if not value:
        return None
    hint = f"Write {name} as smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465, with % codes in the password."
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"The port in {name} is not a number. {hint}") from None
    if parts.scheme not in {"smtp", "smtps", "smtp+plain"} or not parts.hostname or parts.path.strip("/"):
        raise ImproperlyConfigured(f"{name} is not the address of a mail server. {hint}")
    is_plain = parts.scheme == "smtp+plain"
    if is_plain and parts.hostname not in {"localhost", "127.0.0.1", "::1"} and not plain_anywhere:
        raise ImproperlyConfigured(f"{name} is plain to another machine, where anybody could read along. {hint}")
    options: dict[str, object] = {"host": parts.hostname, "port": port, "timeout": 10}
    options |= {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    options |= {"use_tls": parts.scheme == "smtp", "use_ssl": parts.scheme == "smtps"}
    return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}


def web_address(name: str, *, hint: str) -> tuple[str, str, int | None]:
    """(scheme, host, port or None) of an http(s) address."""
    address = required(name, hint=hint)
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"The port in {name} is not a number. {hint}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise ImproperlyConfigured(f"{name} is {address!r}. {hint}")
    return parts.scheme, parts.hostname.lower().rstrip("."), port
