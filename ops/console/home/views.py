from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.doors import page
from ops.console.home.queries import fleet
from ops.console.pages import show
from ops.console.targets import moments_of_return


@page(access="admin")
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The whole fleet on one page: what needs a person first."""
    return show(request, "home", "home", fleet=fleet(), moments=moments_of_return())
