"""Who makes a request: read in one query, by token or by cookie, for both kinds of account."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal
from uuid import UUID

from django.db import connection, models

from core.identity.models import Account, SignInSession
from core.prepared import Statement

type Kind = Literal["user", "person"]

STAFF = frozenset({"kitchen", "cashier", "manager", "owner"})
MANAGERS = frozenset({"manager", "owner"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody signed in. Plain values, so that it can be read after the scope."""

    kind: Kind  # a user of the platform, or a person of one cafeteria
    id: int
    email: str
    full_name: str
    role: str
    session_id: UUID
    token_version: int
    phone: str = ""
    platform_user_id: int | None = None  # of a cafeteria's person who comes by hand-off
    support_until: datetime | None = None  # of the platform's support: when the owner's consent ends

    @property
    def is_staff(self) -> bool:
        return self.kind == "person" and self.role in STAFF

    @property
    def is_manager(self) -> bool:
        return self.kind == "person" and self.role in MANAGERS

    @property
    def is_admin(self) -> bool:
        return self.kind == "user" and self.role == "admin"

    @property
    def is_support(self) -> bool:
        """An admin of the platform inside a cafeteria. The owner is the only other who comes by hand-off."""
        return self.kind == "person" and self.platform_user_id is not None and self.role != "owner"

    @property
    def has_password(self) -> bool:
        """Whoever comes by hand-off has none here."""
        return self.platform_user_id is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a verified token or cookie says of its bearer; whether it still holds is in the database."""

    account_id: int
    session_id: UUID
    token_version: int


def find_caller(kind: Kind, accounts: type[Account], sessions: type[SignInSession], claims: Claims) -> Caller | None:
    """The active account of a sign-in that has neither ended nor expired, or None. One query, by two primary keys."""
    with connection.cursor() as cursor:
        facts = {"session": claims.session_id, "account": claims.account_id, "version": claims.token_version}
        _query(accounts, sessions).run(cursor, facts)
        row = cursor.fetchone()
    if row is None:
        return None
    email, full_name, role, phone, platform_user_id = row
    return Caller(
        kind=kind,
        id=claims.account_id,
        email=email,
        full_name=full_name,
        role=role,
        session_id=claims.session_id,
        token_version=claims.token_version,
        phone=phone,
        platform_user_id=platform_user_id,
    )


@lru_cache
def _query(accounts: type[models.Model], sessions: type[models.Model]) -> Statement:
    columns = {field.name for field in accounts._meta.get_fields()}
    phone = "a.phone" if "phone" in columns else "''"
    platform_user_id = "a.platform_user_id" if "platform_user_id" in columns else "NULL::bigint"
    sql = f"""SELECT a.email, a.full_name, a.role, {phone}, {platform_user_id}
        FROM {sessions._meta.db_table} s JOIN {accounts._meta.db_table} a ON a.id = s.{owner_column(sessions)}
        WHERE s.id = %(session)s AND a.id = %(account)s AND a.token_version = %(version)s AND a.is_active AND s.ended_at IS NULL
        AND s.expires_at > statement_timestamp()"""  # noqa: S608 - table names of our own models
    return Statement(f"find_caller_{accounts._meta.db_table}", sql, session="uuid", account="bigint", version="int")


def owner_column(sessions: type[models.Model]) -> str:
    """The session's column that holds its account's id."""
    [field] = [field for field in sessions._meta.fields if isinstance(field, models.ForeignKey)]
    return field.column
