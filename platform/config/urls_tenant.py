"""A cafeteria's own host."""

from django.urls import path

from config.api import cafeteria_api
from config.api.docs import docs_view
from config.api.quick import quick_get
from config.site.urls import shared_urls
from ops.health import urlpatterns as health_urls
from payments.inbox.urls import cafeteria_urls as webhook_urls
from shop.checkout.urls import urlpatterns as checkout_urls
from shop.kitchen.urls import urlpatterns as kitchen_urls
from shop.menu.api import list_products
from shop.menu.api import router as menu_router
from shop.menu.urls import urlpatterns as menu_urls
from shop.money.urls import urlpatterns as money_urls
from shop.orders.api import router as orders_router
from shop.orders.payments.api import router as payments_router
from shop.people.api import router as auth_router
from shop.people.urls import urlpatterns as people_urls
from shop.storefront.urls import urlpatterns as storefront_urls

# In the order of their traffic: addresses are tried one after another.
for router in (menu_router, orders_router, payments_router, auth_router):
    cafeteria_api.add_router("", router)

api_urls = cafeteria_api.urls
urlpatterns = [
    quick_get(cafeteria_api, api_urls[0], "products", list_products),
    *webhook_urls,
    path("api/v1/", api_urls),
    path("docs", docs_view(cafeteria_api, "/api/v1/openapi.json"), name="docs"),
    *health_urls,
    *shared_urls,
    *menu_urls,
    *storefront_urls,
    *checkout_urls,
    *people_urls,
    *kitchen_urls,
    *money_urls,
]

handler400 = "config.handlers.bad_request"
handler403 = "config.handlers.forbidden"
handler404 = "config.handlers.not_found"
handler500 = "config.handlers.server_error"
