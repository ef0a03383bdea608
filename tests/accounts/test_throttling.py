from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from core import throttle
from core.errors import TooManyAttempts
from core.identity.models import Throttle
from tests.world import PASSWORD, World


def login(client: Client, password: str, *, username: str = "customer@people.test", **more: Any) -> Any:
    return client.post("/api/v1/auth/login", {"username": username, "password": password}, **more)


@pytest.fixture(autouse=True)
def low_limits(settings: Any) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT, settings.LOGIN_FAILURES_PER_ADDRESS = 3, 6


def test_after_too_many_failures_even_the_right_password_waits(world: World) -> None:
    client = world.a.client()
    assert [login(client, "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    refused = login(client, PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused["Retry-After"]) <= 900
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert login(client, PASSWORD).status_code == 200


def test_an_unknown_account_is_braked_like_a_known_one(world: World) -> None:
    answers = [login(world.a.client(), "x", username="nobody@example.test").status_code for _ in range(4)]
    assert answers == [401, 401, 401, 429]


def test_only_failures_count(world: World) -> None:
    client = world.a.client()
    assert {login(client, PASSWORD).status_code for _ in range(8)} == {200}
    login(client, "wrong")
    login(client, "wrong")
    assert login(client, PASSWORD).status_code == 200
    assert [login(client, "wrong").status_code for _ in range(3)] == [401, 401, 401]


def test_the_same_address_in_two_cafeterias_and_on_the_platform_is_three_accounts(world: World) -> None:
    for _ in range(3):
        login(world.a.client(), "wrong")
    assert login(world.a.client(), PASSWORD).status_code == 429
    assert login(world.b.client(), PASSWORD).status_code == 200


def test_many_accounts_from_one_address_are_braked_by_the_address(world: World) -> None:
    answers = [login(world.a.client(), "x", username=f"{number}@example.test").status_code for number in range(7)]
    assert answers == [401] * 6 + [429]
    assert login(world.b.client(), PASSWORD).status_code == 429
    assert login(world.b.client(), PASSWORD, REMOTE_ADDR="203.0.113.9").status_code == 200


def test_trying_out_addresses_by_registering_is_braked_too(world: World) -> None:
    body = {"email": "customer@people.test", "password": "seven green kettles", "full_name": "Ana"}
    answers = [world.a.client().post("/api/v1/auth/register", body, content_type="application/json").status_code for _ in range(7)]
    assert answers == [409] * 6 + [429]


def test_the_table_tells_nobody_who_tried(world: World) -> None:
    login(world.a.client(), "wrong")
    assert all("customer" not in row.key and len(row.key) == 64 for row in Throttle.objects.all())


def test_old_rows_are_pruned(world: World) -> None:
    login(world.a.client(), "wrong")
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        throttle.prune()
    assert Throttle.objects.count() == 0


def test_the_page_says_so_and_keeps_the_form(world: World) -> None:
    client = world.a.client()
    for _ in range(3):
        client.post("/sign-in", {"email": "customer@people.test", "password": "wrong"})
    page = client.post("/sign-in", {"email": "customer@people.test", "password": PASSWORD})
    assert page.status_code == 429
    assert int(page["Retry-After"]) > 0
    assert b'value="customer@people.test"' in page.content


def test_many_at_once_do_not_slip_past_the_limit(committed_world: World) -> None:
    brakes = [throttle.account_brake("test", "race@example.test"), throttle.address_brake("198.51.100.7")]

    def attempt(number: int) -> bool:
        try:
            throttle.take_attempt(brakes if number % 2 else brakes[::-1])
        except TooManyAttempts:
            return False
        finally:
            connection.close()
        return True

    try:
        with ThreadPoolExecutor(8) as pool:
            admitted = list(pool.map(attempt, range(40)))
    finally:
        Throttle.objects.filter(key__in=[brake.key for brake in brakes]).delete()
    assert sum(admitted) == 3


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.1", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "forged, 203.0.113.1", "203.0.113.1"),
        (2, "forged, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        (2, "203.0.113.1", "10.0.0.1"),
    ],
)
def test_forwarded_addresses_count_only_as_far_as_our_proxies_wrote_them(
    settings: Any, proxies: int, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert throttle.client_address(request) == expected


def test_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    one, other, elsewhere = (throttle.address_brake(f"2001:db8:{network}::{host}").key for network, host in (("1", 1), ("1", 2), ("2", 1)))
    assert one == other != elsewhere
    assert throttle.address_brake("::ffff:203.0.113.1").key == throttle.address_brake("203.0.113.1").key
