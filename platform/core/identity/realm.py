from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from core.identity.callers import Caller, Claims, Kind, find_caller, owner_column
from core.identity.errors import WrongCode
from core.identity.models import Account, SignInSession
from core.identity.second_factor import SecondFactor


@dataclass(frozen=True, kw_only=True)
class Realm:
    """Where people sign in: the platform, or one cafeteria. The actions are the same, the tables and the audience are not."""

    kind: Kind
    accounts: type[Account]
    sessions: type[SignInSession]
    space: str  # whose accounts throttling counts
    scope: Callable[[], AbstractContextManager[Any]]  # opens a transaction in which the tables can be queried
    audience: Callable[[], str]  # asked inside the scope, where it is fresh
    enqueue_password_notice: Callable[[int, Mapping[str, str]], None]  # inside the scope: adds the job that mails this account's holder
    second_factor: SecondFactor | None = None  # where people can have one

    def caller(self, claims: Claims) -> Caller | None:
        """Inside the scope: who the claims stand for now."""
        return find_caller(self.kind, self.accounts, self.sessions, claims)

    def asks_for_code(self, account_id: int) -> bool:
        """Inside the scope: whether the password alone does not sign this account in."""
        return self.second_factor is not None and self.second_factor.is_on(account_id)

    def use_code(self, caller: Caller, code: str) -> None:
        """Inside the scope. Uses the code up. Raises WrongCode, also where nobody has codes."""
        if self.second_factor is None:
            raise WrongCode
        self.second_factor.use_code(caller, code)

    @property
    def owner_column(self) -> str:
        return owner_column(self.sessions)
