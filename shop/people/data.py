from dataclasses import dataclass
from uuid import UUID

STAFF_ROLES = frozenset({"kitchen", "cashier", "manager", "owner"})
MANAGER_ROLES = frozenset({"manager", "owner"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who is asking, proven by a token or a session of this cafeteria."""

    person_id: int
    role: str  # a value of Person.Role
    full_name: str
    email: str
    session_id: UUID | None = None

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF_ROLES

    @property
    def is_manager(self) -> bool:
        return self.role in MANAGER_ROLES
