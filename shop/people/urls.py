"""A cafeteria's pages for people with an account there."""

from django.urls import path

from shop.people import views

urlpatterns = [
    path("sign-up", views.sign_up, name="sign_up"),
    path("sign-in", views.sign_in, name="sign_in"),
    path("sign-out", views.sign_out, name="sign_out"),
    path("password/forgotten", views.forgotten_password, name="forgotten_password"),
    path("password/new", views.choose_password, name="choose_password"),
    path("enter", views.enter, name="enter"),
    path("staff/support/end", views.give_up_support, name="give_up_support"),
    path("account", views.account, name="account"),
    path("account/password", views.change_password, name="change_password"),
    path("account/sign-out-everywhere", views.sign_out_everywhere, name="sign_out_everywhere"),
]
