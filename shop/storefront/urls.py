from django.urls import path

from shop.storefront import views
from shop.storefront.tracking.urls import urlpatterns as tracking_urls

urlpatterns = [
    path("", views.menu, name="menu"),
    path("p/<int:product_id>", views.product, name="product"),
    path("p/<int:product_id>/add", views.cart_add, name="cart_add"),
    path("cart/bar", views.cart_bar, name="cart_bar"),
    *tracking_urls,
]
