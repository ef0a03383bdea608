"""Somebody's phone: an app that shows the codes of one secret."""

import re
import time

import pyotp
from django.test import Client

from accounts.models import SecondFactor, User
from accounts.second_factor.codes import STEP, new_recovery_codes
from core.vault import seal


class Phone:
    def __init__(self, secret: str, user_id: int) -> None:
        self.secret = secret
        self.user_id = user_id

    def code(self, *, later: int = 0) -> str:
        """What it shows, so many steps from now."""
        return pyotp.TOTP(self.secret).generate_otp(int(time.time()) // STEP + later)

    def fresh(self) -> str:
        """A code that nobody has used: as if some minutes had gone by since the last one."""
        SecondFactor.objects.filter(user_id=self.user_id).update(last_step=0)
        return self.code()

    def wrong(self) -> str:
        """No code of these minutes."""
        near = {self.code(later=later) for later in range(-5, 6)}
        return next(code for code in (f"{number:06}" for number in range(100)) if code not in near)


def enrolled(user_id: int) -> tuple[Phone, list[str]]:
    """With an app since some time ago, and its recovery codes."""
    phone = Phone(pyotp.random_base32(), user_id)
    factor = SecondFactor.objects.create(user_id=user_id, sealed_secret=seal(phone.secret), last_step=0)
    return phone, new_recovery_codes(factor)


def read_phone(page: str, user_id: int) -> Phone:
    """The app after reading the page of setting up."""
    found = re.search(r'<code translate="no">([A-Z2-7 ]+)</code>', page)
    assert found
    return Phone(found[1].replace(" ", ""), user_id)


def platform() -> Client:
    return Client(headers={"host": "localhost:8000"})


def email_of(user_id: int) -> str:
    return str(User.objects.get(pk=user_id).email)
