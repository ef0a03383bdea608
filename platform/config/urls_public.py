"""The base domain: the platform."""

from django.urls import path

from accounts.api import router as auth_router
from accounts.urls import urlpatterns as account_urls
from billing.urls import urlpatterns as billing_urls
from config.api import platform_api
from config.api.businesses import router as businesses_router
from config.api.docs import docs_view
from config.site.urls import platform_urls, shared_urls
from ops.api import router as ops_router
from ops.console.urls import urlpatterns as console_urls
from ops.health import urlpatterns as health_urls
from payments.inbox.urls import platform_urls as webhook_urls
from payments.sellers.urls import urlpatterns as seller_urls
from tenants.urls import urlpatterns as proxy_urls

platform_api.add_router("", auth_router)
platform_api.add_router("", businesses_router)
platform_api.add_router("", ops_router)

urlpatterns = [
    *webhook_urls,
    path("api/v1/", platform_api.urls),
    path("docs", docs_view(platform_api, "/api/v1/openapi.json"), name="docs"),
    *health_urls,
    *proxy_urls,
    *shared_urls,
    *platform_urls,
    *account_urls,
    *billing_urls,
    *seller_urls,
    *console_urls,
]

handler400 = "config.handlers.bad_request"
handler403 = "config.handlers.forbidden"
handler404 = "config.handlers.not_found"
handler500 = "config.handlers.server_error"
