from collections.abc import Mapping

from django.http import HttpRequest

from core.identity.notices import ATTEMPTS
from core.identity.realm import Realm
from core.jobs import enqueue
from shop.people.models import Person, PersonSession
from tenants.refs import TenantRef
from tenants.scope import current_tenant, request_scope, tenant_scope


def realm_of(request: HttpRequest) -> Realm:
    """The people of the request's cafeteria."""
    tenant: TenantRef = request.tenant  # type: ignore[attr-defined]
    return Realm(
        kind="person",
        accounts=Person,
        sessions=PersonSession,
        space=str(tenant.uuid),
        scope=lambda: request_scope(request),
        audience=lambda: current_tenant().audience,
        enqueue_password_notice=_enqueue_password_notice,
    )


def realm_of_cafeteria(ref: TenantRef) -> Realm:
    """The same without a request: for the platform and for commands."""
    return Realm(
        kind="person",
        accounts=Person,
        sessions=PersonSession,
        space=str(ref.uuid),
        scope=lambda: tenant_scope(ref),
        audience=lambda: current_tenant().audience,
        enqueue_password_notice=_enqueue_password_notice,
    )


def _enqueue_password_notice(account_id: int, about: Mapping[str, str]) -> None:
    """In the scope, so that the job is this cafeteria's."""
    enqueue("shop.people.jobs.mail_password_notice", account_id=account_id, about=about, max_attempts=ATTEMPTS)
