from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from core.identity.callers import Caller, Claims, Kind, find_caller, owner_column
from core.identity.models import Account, SignInSession


@dataclass(frozen=True, kw_only=True)
class Realm:
    """Where people sign in: the platform, or one cafeteria. The actions are the same, the tables and the audience are not."""

    kind: Kind
    accounts: type[Account]
    sessions: type[SignInSession]
    space: str  # whose accounts throttling counts
    scope: Callable[[], AbstractContextManager[Any]]  # opens a transaction in which the tables can be queried
    audience: Callable[[], str]  # asked inside the scope, where it is fresh

    def caller(self, claims: Claims) -> Caller | None:
        """Inside the scope: who the claims stand for now."""
        return find_caller(self.kind, self.accounts, self.sessions, claims)

    @property
    def owner_column(self) -> str:
        return owner_column(self.sessions)
