"""The platform's pages for people with an account there."""

from django.urls import path

from accounts import views
from accounts.second_factor import views as second_factor

urlpatterns = [
    path("sign-up", views.sign_up, name="sign_up"),
    path("sign-in", views.sign_in, name="sign_in"),
    path("sign-in/code", views.sign_in_code, name="sign_in_code"),
    path("sign-out", views.sign_out, name="sign_out"),
    path("password/forgotten", views.forgotten_password, name="forgotten_password"),
    path("password/new", views.choose_password, name="choose_password"),
    path("password/confirm", views.confirm_password, name="confirm_password"),
    path("password", views.change_password, name="change_password"),
    path("sign-out-everywhere", views.sign_out_everywhere, name="sign_out_everywhere"),
    path("second-factor", second_factor.second_factor, name="second_factor"),
    path("second-factor/set-up", second_factor.set_up, name="set_up_second_factor"),
    path("second-factor/codes", second_factor.recovery_codes, name="recovery_codes"),
    path("second-factor/off", second_factor.off, name="turn_off_second_factor"),
    path("home", views.home, name="home"),
    path("home/open", views.open_cafeteria, name="open_cafeteria"),
    path("home/open/address", views.check_address, name="check_address"),
    path("home/<int:cafeteria_id>/enter", views.enter_cafeteria, name="enter_cafeteria"),
    path("home/<int:cafeteria_id>/support", views.let_support_in, name="let_support_in"),
    path("home/<int:cafeteria_id>/support/end", views.end_support, name="end_support"),
]
