from django.urls import path

from shop.storefront.tracking import views

urlpatterns = [
    path("o/<str:secret>", views.track, name="track"),
    path("o/<str:secret>/state", views.track_state, name="track_state"),
    path("o/<str:secret>/back", views.come_back, name="come_back"),
    path("o/<str:secret>/pay", views.pay, name="pay"),
    path("o/<str:secret>/counter", views.pay_at_counter, name="pay_at_counter"),
    path("o/<str:secret>/cancel", views.cancel_order, name="cancel_order"),
    path("o/<str:secret>/again", views.order_again, name="order_again"),
    path("account/orders", views.account_orders, name="account_orders"),
]
