from django.http import HttpRequest

from core.identity.realm import Realm
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
    )
