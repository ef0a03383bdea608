from django.urls import path

from shop.checkout import views

urlpatterns = [
    path("cart", views.cart, name="cart"),
    path("cart/update", views.cart_update, name="cart_update"),
    path("cart/place", views.place_order, name="place_order"),
]
