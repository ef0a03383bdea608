"""The owner's pages about the plan, without JavaScript."""

from typing import Any

import pytest
from django.test import Client

from billing.models import Preapproval, Subscription
from core.audit.models import AuditEntry
from payments.gateway.subscriptions import Subscriptions
from tests.accounts.test_pages import signed_in
from tests.billing.desk import PAYER, Desk
from tests.world import World

NO_BREAK = "\N{NO-BREAK SPACE}"


@pytest.fixture
def owner(desk: Desk, world: World) -> Client:
    client = signed_in(world, world.owner_a)
    client.cookies["lang"] = "en"
    return client


@pytest.fixture
def base(desk: Desk) -> str:
    return f"/home/{desk.place.ref.id}/plan"


def read(client: Client, address: str, lang: str = "en") -> str:
    client.cookies["lang"] = lang
    response = client.get(address, follow=True)
    assert response.status_code == 200
    return str(response.text).replace(NO_BREAK, " ")


def subscribe(owner: Client, base: str, plan: str = "house", payer: str = PAYER) -> Any:
    return owner.post(f"{base}/choose", {"plan": plan, "payer_email": payer})


def test_a_trial_shows_what_it_is_and_what_a_plan_costs(owner: Client, base: str) -> None:
    page = read(owner, base)
    assert [words in page for words in ("Trial until", "Without a card", "$ 24.900", "$ 59.900", "Free", "There are none yet")] == [
        True
    ] * 6
    assert "Cancel the subscription" not in page
    assert "Prueba hasta" in read(owner, base, "es")


def test_home_leads_to_the_plan(owner: Client, base: str) -> None:
    home = read(owner, "/home")
    assert (f'href="{base}"' in home, "Trial" in home, "Plan and invoices" in home) == (True, True, True)


def test_subscribing_leads_to_mercado_pago_and_back_to_what_it_says(desk: Desk, owner: Client, base: str) -> None:
    response = subscribe(owner, base)
    row = Preapproval.objects.get()
    assert (response.status_code, response["Location"]) == (302, row.init_point)
    assert row.back_url == f"http://localhost:8000{base}/agreed"
    forged = read(owner, f"{base}/agreed?preapproval_id={row.mp_id}&status=authorized")
    assert ("Nothing is agreed yet" in forged, row.init_point in forged, desk.status) == (True, True, "trial")
    desk.agree(row)
    page = read(owner, f"{base}/agreed?preapproval_id=nonsense")
    assert [words in page for words in ("The subscription is agreed", "Active", "Next payment", PAYER)] == [True] * 4
    assert desk.status == "active"


def test_two_taps_lead_to_the_same_place(owner: Client, base: str) -> None:
    first, second = (subscribe(owner, base)["Location"] for _ in range(2))
    assert first == second
    assert Preapproval.objects.count() == 1


def test_back_while_mercado_pago_is_down_says_so_and_believes_nothing(desk: Desk, owner: Client, base: str) -> None:
    subscribe(owner, base)
    desk.agree(Preapproval.objects.get())
    desk.emulator.fault("status_500", None)
    assert "does not answer at the moment" in read(owner, f"{base}/agreed?status=authorized")
    assert desk.status == "trial"


def test_subscribing_while_mercado_pago_is_down_says_so(desk: Desk, owner: Client, base: str) -> None:
    desk.emulator.fault("status_500", None)
    response = subscribe(owner, base)
    assert (response.status_code, response["Location"]) == (302, base)
    assert "Nothing is lost: try again in a minute" in read(owner, base)


@pytest.mark.parametrize(
    "values", [{"plan": "house", "payer_email": "ana"}, {"plan": "house"}, {"plan": "palace", "payer_email": PAYER}, {}]
)
def test_what_is_wrong_is_said_and_asks_nothing_of_mercado_pago(desk: Desk, owner: Client, base: str, values: dict[str, str]) -> None:
    response = owner.post(f"{base}/choose", values)
    assert response.status_code == 422
    assert 'class="error"' in response.text
    assert desk.emulator.entries("request", path="/preapproval") == []


def test_the_free_plan_asks_for_no_account(desk: Desk, owner: Client, base: str) -> None:
    assert owner.post(f"{base}/choose", {"plan": "counter"}).status_code == 302
    page = read(owner, base)
    assert "then Counter follows by itself" in page
    assert desk.subscription.next_plan == "counter"


def test_another_plan_and_its_price(desk: Desk, owner: Client, base: str) -> None:
    row = desk.subscribed("house")
    assert 'name="payer_email"' not in read(owner, base)
    owner.post(f"{base}/choose", {"plan": "corner"})
    page = read(owner, base)
    assert ("The plan is Every corner now" in page, desk.subscription.plan) == (True, "corner")
    assert Subscriptions().preapproval(str(row.mp_id)).amount == 59900


def test_after_the_trial_it_says_what_is_charged_and_what_becomes_of_a_decline(desk: Desk, owner: Client, base: str) -> None:
    assert "What is left of the trial" in read(owner, base)
    desk.end_trial()
    desk.hour()
    page = read(owner, base)
    assert ("The plan has ended" in page, "The first month is charged at once" in page) == (True, True)
    row = desk.subscribed()
    page = read(owner, base)
    assert ("which may take an hour" in page, 'action="' + base + '/choose"' in page) == (True, False)
    desk.charge(row, "rejected")
    desk.hour()
    page = read(owner, base)
    assert [words in page for words in ("Your card was declined", "tries it again on", "the site is suspended on")] == [True] * 3
    assert ("for ten days" in page, "Next payment" in page) == (False, False)


def test_cancelling_asks_first(desk: Desk, owner: Client, base: str) -> None:
    assert owner.get(f"{base}/cancel")["Location"] == base
    row = desk.subscribed()
    page = read(owner, f"{base}/cancel")
    assert ("Cancel the subscription?" in page, "then the site is suspended" in page) == (True, True)
    assert desk.theirs(row) == "authorized"
    assert owner.post(f"{base}/cancel")["Location"] == base
    assert "Nothing more is charged" in read(owner, base)
    assert desk.theirs(row) == "cancelled"
    assert AuditEntry.objects.get(action="subscription.cancelled_by_owner").actor_label == desk.owner.email
    owner.post(f"{base}/cancel")
    assert "This cafeteria has no subscription" in read(owner, base)


def test_cancelling_while_mercado_pago_is_down_holds_all_the_same(desk: Desk, owner: Client, base: str) -> None:
    row = desk.subscribed()
    desk.emulator.fault("status_500", None)
    owner.post(f"{base}/cancel")
    page = read(owner, base)
    assert ("It is cancelled here" in page, "has not confirmed the end" in page) == (True, True)
    desk.emulator.control("DELETE", "/_emu/faults")
    desk.look()
    assert (desk.theirs(row), "has not confirmed the end" in read(owner, base)) == ("cancelled", False)


def test_what_is_due_is_said_where_the_owner_looks(desk: Desk, owner: Client, base: str) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row, "rejected")
    desk.hour()
    page = read(owner, base)
    assert [words in page for words in ("Your card was declined", "tries it again on", "Pay with another card")] == [True] * 3
    assert 'value="counter"' not in page
    desk.pass_time(days=10)
    desk.hour()
    page = read(owner, base)
    assert [words in page for words in ("did not go through", "the site is suspended on", "Not paid")] == [True] * 3
    assert "Pay now" in read(owner, "/home")
    desk.end_grace()
    desk.hour()
    assert "The site is suspended" in read(owner, base)
    home = read(owner, "/home")
    assert ("because the plan is not paid" in home, "Write to us" in home) == (True, False)
    response = subscribe(owner, base)
    assert response["Location"] == Preapproval.objects.latest("pk").init_point


def test_where_the_platform_has_no_account_nothing_can_be_chosen(desk: Desk, owner: Client, base: str, settings: Any) -> None:
    settings.MERCADOPAGO_ACCESS_TOKEN = ""
    page = read(owner, base)
    assert ("Nothing is charged" in page, "payer_email" in page) == (True, False)
    assert subscribe(owner, base).status_code == 302
    assert Preapproval.objects.count() == 0


PATHS = [("get", ""), ("post", "/choose"), ("get", "/agreed"), ("get", "/cancel"), ("post", "/cancel")]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_another_owners_cafeteria_is_nowhere(desk: Desk, world: World, base: str, method: str, path: str) -> None:
    desk.subscribed()
    before = (desk.status, desk.subscription.plan, Preapproval.objects.count())
    other = signed_in(world, world.owner_b)
    response = getattr(other, method)(f"{base}{path}", {"plan": "corner", "payer_email": PAYER})
    assert response.status_code == 404
    assert desk.place.ref.name not in response.text
    assert (desk.status, desk.subscription.plan, Preapproval.objects.count()) == before


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_nobody_and_admins_are_sent_away(desk: Desk, world: World, base: str, method: str, path: str) -> None:
    nobody = getattr(Client(headers={"host": "localhost:8000"}), method)(f"{base}{path}")
    assert (nobody.status_code, nobody["Location"].split("?")[0]) == (302, "/sign-in")
    assert getattr(signed_in(world, world.admin), method)(f"{base}{path}").status_code == 403


@pytest.mark.parametrize("path", ["/choose", "/agreed", "/cancel", ""])
def test_only_its_own_methods(owner: Client, base: str, path: str) -> None:
    assert owner.put(f"{base}{path}").status_code == 405


def test_a_closed_cafeteria_has_no_plan_to_look_at(desk: Desk, owner: Client, base: str) -> None:
    type(desk.cafeteria).objects.filter(pk=desk.place.ref.id).update(status="closed")
    assert owner.get(base).status_code == 404


@pytest.mark.parametrize("bills", [1, 3])
def test_the_page_costs_the_same_however_many_invoices(
    desk: Desk, owner: Client, base: str, bills: int, django_assert_num_queries: Any
) -> None:
    row = desk.subscribed()
    for _bill in range(bills):
        desk.charge(row)
    desk.look()
    owner.get(base)
    with django_assert_num_queries(5):
        page = owner.get(base).text
    assert page.count("badge-good") == 1 + bills


def test_each_owner_sees_ones_own_alone(desk: Desk, world: World, base: str) -> None:
    desk.subscribed()
    page = read(signed_in(world, world.owner_b), "/home")
    assert (base in page, desk.place.ref.name in page) == (False, False)
    assert Subscription.objects.filter(cafeteria_uuid=desk.uuid).count() == 1
