"""Whoever can do the most harm is signed in for the shortest time."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import User, UserSession
from tests.world import PASSWORD, World


def email_of(world: World, role: str) -> str:
    return str(User.objects.get(pk=world.admin if role == "admin" else world.owner_a).email)


def newest_session(world: World, role: str) -> UserSession:
    return UserSession.objects.filter(user__email=email_of(world, role)).latest("created_at")


@pytest.mark.parametrize(("role", "after_a_day"), [("admin", 302), ("owner", 200)])
def test_an_admins_cookie_ends_with_the_working_day(world: World, role: str, after_a_day: int) -> None:
    browser = Client(headers={"host": "localhost:8000"})
    assert browser.post("/sign-in", {"email": email_of(world, role), "password": PASSWORD}).status_code == 302
    assert browser.get("/home", follow=True).status_code == 200
    age_session(world, role, hours=-13)
    assert browser.get("/home").status_code == after_a_day


def age_session(world: World, role: str, *, hours: int) -> None:
    """As if so many hours had passed: the database's clock decides, and cannot be turned."""
    session = newest_session(world, role)
    session.expires_at += timedelta(hours=hours)
    session.save()


@pytest.mark.parametrize(("role", "hours"), [("admin", 12), ("owner", 30 * 24)])
def test_renewing_does_not_prolong_an_admins_sign_in(world: World, role: str, hours: int) -> None:
    client = Client(headers={"host": "localhost:8000"})
    pair = client.post("/api/v1/auth/login", {"username": email_of(world, role), "password": PASSWORD}).json()
    session = newest_session(world, role)
    assert abs(session.expires_at - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=1)
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        renewed = client.post("/api/v1/auth/refresh", {"refresh_token": pair["refresh_token"]}, content_type="application/json")
    assert renewed.status_code == 200
    before = session.expires_at
    session.refresh_from_db()
    assert (session.expires_at - before > timedelta(hours=1)) == (role == "owner")
