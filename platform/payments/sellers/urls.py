"""On the base domain."""

from django.urls import path

from payments.sellers import views

urlpatterns = [path("mercadopago/callback", views.callback, name="mercadopago_callback")]
