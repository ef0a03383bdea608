"""On the base domain."""

from django.urls import path

from billing import views

urlpatterns = [
    path("home/<int:cafeteria_id>/plan", views.plan, name="plan"),
    path("home/<int:cafeteria_id>/plan/choose", views.choose_plan, name="choose_plan"),
    path("home/<int:cafeteria_id>/plan/agreed", views.plan_agreed, name="plan_agreed"),
    path("home/<int:cafeteria_id>/plan/cancel", views.cancel_plan, name="cancel_plan"),
]
