from typing import Any
from uuid import UUID

from core.audit.models import AuditEntry
from core.identity.callers import Caller
from core.notices.actions import note_act
from core.request_context import request_facts


def record(
    action: str, *, actor: Caller | None = None, cafeteria_uuid: UUID | None = None, target: str = "", label: str = "", **data: Any
) -> AuditEntry:
    """Writes one entry, in the caller's transaction: an act that is rolled back leaves none.

    Operators are told of some (core.notices.actions.TOLD_ACTS).
    The platform's support inside a cafeteria is written down as the admin that it is.
    Without an actor it was a command or a job, described by `label`. `data` is JSON and must hold no secret.
    """
    by_support = actor is not None and actor.is_support
    entry = AuditEntry(
        actor_kind="user" if by_support else actor.kind if actor else "command",
        actor_id=actor.platform_user_id if actor and by_support else actor.id if actor else None,
        actor_label=actor.email if actor else label,
        cafeteria_uuid=cafeteria_uuid,
        action=action,
        target=target,
        data={**data, "support": True} if by_support else data,
        request_id=request_facts().get("request_id", ""),
    )
    entry.save(force_insert=True)
    note_act(action, cafeteria_uuid=cafeteria_uuid, target=target)
    return entry
