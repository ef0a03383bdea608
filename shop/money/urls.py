from django.urls import path

from shop.money.connection import views as connection_views
from shop.money.days import views as days_views
from shop.money.figures import views as figures_views
from shop.money.review import views as review_views

urlpatterns = [
    path("staff/money", figures_views.money, name="money"),
    path("staff/money/entries.csv", figures_views.money_entries, name="money_entries"),
    path("staff/money/review", review_views.money_review, name="money_review"),
    path("staff/money/review/<int:charge_id>/accept", review_views.money_accept, name="money_accept"),
    path("staff/money/review/<int:charge_id>/return", review_views.money_return, name="money_return"),
    path("staff/money/days", days_views.money_days, name="money_days"),
    path("staff/money/days.csv", days_views.money_days_file, name="money_days_file"),
    path("staff/money/days/<str:day>", days_views.money_day, name="money_day"),
    path("staff/money/days/<str:day>/check", days_views.money_day_check, name="money_day_check"),
    path("staff/payments", connection_views.payments_connection, name="payments_connection"),
    path("staff/payments/connect", connection_views.payments_connect, name="payments_connect"),
    path("staff/payments/connected", connection_views.payments_connected, name="payments_connected"),
    path("staff/payments/leave", connection_views.payments_leave, name="payments_leave"),
    path("staff/payments/disconnect", connection_views.payments_disconnect, name="payments_disconnect"),
]
