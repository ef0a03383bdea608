from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.doors import open_page
from payments.sellers.actions import hash_state
from payments.sellers.errors import ConnectionOver
from payments.sellers.models import Connecting
from tenants.queries import ref_by_uuid
from tenants.routing import site_url

FORWARDED = {"state": 100, "code": 500, "error": 100}  # with the most characters that are passed on
CONNECTED_PATH = "/staff/payments/connected"


@never_cache
@require_safe
@open_page
def callback(request: HttpRequest) -> HttpResponse:
    """Where Mercado Pago sends owners back: passes them on to their cafeteria, where they are signed in and the connection ends."""
    given = {name: request.GET[name][:longest] for name, longest in FORWARDED.items() if request.GET.get(name)}
    found = Connecting.objects.filter(state=hash_state(given.get("state", "")), expires_at__gt=timezone.now()).first()
    if found is None:
        raise ConnectionOver
    return HttpResponseRedirect(f"{site_url(ref_by_uuid(found.cafeteria_uuid).slug)}{CONNECTED_PATH}?{urlencode(given)}")
