from django.urls import path

from shop.money.connection import views as connection_views

urlpatterns = [
    path("staff/payments", connection_views.payments_connection, name="payments_connection"),
    path("staff/payments/connect", connection_views.payments_connect, name="payments_connect"),
    path("staff/payments/connected", connection_views.payments_connected, name="payments_connected"),
    path("staff/payments/leave", connection_views.payments_leave, name="payments_leave"),
    path("staff/payments/disconnect", connection_views.payments_disconnect, name="payments_disconnect"),
]
