import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import structlog
from mercadopago.config import RequestOptions

from payments.gateway import transport
from payments.gateway.application import exchange_code, refresh_tokens
from payments.gateway.data import CheckoutRequest, Item, Tokens
from payments.gateway.errors import ChargeNotFound, GatewayRefused, GatewayUnavailable, TokenRefused
from payments.gateway.gateway import Gateway, gateway
from payments.gateway.mercadopago import preference_body
from payments.gateway.wire import from_wire, read_charge, read_refund, statement_to_wire, to_wire
from tests.emulator.process import Emulator
from tests.payments.application import code_of
from tests.processes import wait_for

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been waited between the attempts."""
    waited: list[float] = []
    monkeypatch.setattr(transport, "sleep", waited.append)
    return waited


def tokens_of(emulator: Emulator, site: str = "MLA") -> Tokens:
    return exchange_code(code_of(emulator, emulator.seller(site)["user_id"]), "", "")


@pytest.fixture
def tokens(emulator: Emulator) -> Tokens:
    return tokens_of(emulator)


@pytest.fixture
def seller(tokens: Tokens) -> Gateway:
    return gateway(tokens.access_token)


def request(**changes: Any) -> CheckoutRequest:
    values = {
        "reference": "abc-1",
        "items": (Item(id="1", title="Café", quantity=3, unit_price=Decimal("1000.10")),),
        "currency": "ARS",
        "return_url": "http://luna.localhost:8000/t/1",
        "notification_url": "http://127.0.0.1:9/hook",
        "expires_at": datetime.now(UTC) + HOUR,
    }
    return CheckoutRequest(**{**values, **changes})


def paid(emulator: Emulator, seller: Gateway, **changes: Any) -> str:
    checkout = seller.create_checkout(request(**changes), key="open")
    return str(emulator.pay(checkout.preference_id)["id"])


# --- Wire ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "number"), [("0.10", "ARS", 0.1), ("4500.5", "BRL", 4500.5), ("1200", "CLP", 1200), ("1200.00", "COP", 1200)]
)
def test_money_goes_out_as_the_currency_has_it_and_comes_back_exact(amount: str, currency: str, number: float) -> None:
    sent = to_wire(Decimal(amount), currency)
    assert sent == number
    assert isinstance(sent, int) == (currency in {"CLP", "COP"})
    assert from_wire(sent, currency) == Decimal(amount)


def test_every_cent_survives_the_wire() -> None:
    for cents in range(1, 200_000, 7):
        amount = Decimal(cents) / 100
        assert from_wire(to_wire(amount, "ARS"), "ARS") == amount


@pytest.mark.parametrize(("amount", "currency"), [("1.005", "ARS"), ("0.5", "CLP")])
def test_an_amount_that_the_currency_cannot_have_is_not_sent(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match="decimals"):
        to_wire(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("name", "shown"), [("Café Ñandú", "CAFE NANDU"), ("La Espiga Dorada y Cía", "LA ESPIGA DOR"), ("咖啡", ""), ("a  &  b", "A B")]
)
def test_a_statement_is_thirteen_plain_characters(name: str, shown: str) -> None:
    assert statement_to_wire(name) == shown


def test_a_preference_has_what_the_product_promises() -> None:
    body = preference_body(
        request(
            platform_fee=Decimal("30.00"),
            statement="Luna",
            payer_email="a@b.test",
            payer_name="Ana de la Peña",
            return_url="https://luna.test/t",
        )
    )
    assert body["payment_methods"] == {"excluded_payment_types": [{"id": "ticket"}, {"id": "atm"}], "installments": 1}
    assert (body["binary_mode"], body["auto_return"], body["marketplace_fee"]) == (False, "approved", 30.0)
    assert body["payer"] == {"email": "a@b.test", "name": "Ana", "surname": "de la Peña"}
    assert body["notification_url"].endswith("/hook?source_news=webhooks")
    assert set(body["back_urls"]) == {"success", "pending", "failure"}


@pytest.mark.parametrize("address", ["http://luna.test/t", "https://localhost/t", "https://luna.localhost/t"])
def test_no_automatic_return_where_mercado_pago_would_refuse_it(address: str) -> None:
    body = preference_body(request(return_url=address))
    assert "auto_return" not in body
    assert "marketplace_fee" not in body


@pytest.mark.parametrize("reference", ["", "a b", "x" * 65, "é", "abc\n"])
def test_a_reference_that_mercado_pago_would_refuse_is_not_sent(reference: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        preference_body(request(reference=reference))


def test_a_charge_in_a_foreign_currency_can_be_looked_at() -> None:
    moment = "2026-11-01T12:30:00.000-04:00"
    body = {"id": 1, "status": "approved", "currency_id": "USD", "transaction_amount": 9.999, "collector_id": 5}
    found = read_charge({**body, "date_created": moment, "date_last_updated": moment, "external_reference": None})
    assert (found.amount, found.currency, found.reference) == (Decimal("9.999"), "USD", "")
    assert found.created_at == datetime(2026, 11, 1, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize("missing", ["id", "status", "currency_id", "transaction_amount", "collector_id", "date_last_updated"])
def test_a_charge_that_cannot_be_read_is_no_answer(missing: str) -> None:
    moment = "2026-11-01T12:30:00.000-04:00"
    body = {"id": 1, "status": "approved", "currency_id": "ARS", "transaction_amount": 9.5, "collector_id": 5}
    body |= {"date_created": moment, "date_last_updated": moment}
    read_charge(body)
    del body[missing]
    with pytest.raises(GatewayUnavailable):
        read_charge(body)


WILD: list[tuple[str, Any]] = [
    ("transaction_amount", "NaN"),
    ("transaction_amount", float("inf")),
    ("transaction_amount", {"a": 1}),
    ("transaction_amount_refunded", "much"),
    ("transaction_details", ["net"]),
    ("collector_id", float("inf")),
    ("collector_id", "somebody"),
    ("date_last_updated", None),
    ("date_last_updated", "2026-11-01T12:30:00"),
    ("date_last_updated", "soon"),
]


@pytest.mark.parametrize(("name", "value"), WILD, ids=[f"{name} {value}" for name, value in WILD])
def test_a_charge_of_wild_values_is_no_answer(name: str, value: Any) -> None:
    moment = "2026-11-01T12:30:00.000-04:00"
    body = {"id": 1, "status": "approved", "currency_id": "ARS", "transaction_amount": 9.5, "collector_id": 5}
    body |= {"date_created": moment, "date_last_updated": moment}
    assert read_charge(body).amount == Decimal("9.50")
    with pytest.raises(GatewayUnavailable):
        read_charge(body | {name: value})


@pytest.mark.parametrize("body", [None, [], "text", 7, {"id": 1}, {"id": 1, "amount": "NaN?"}, {"id": 1, "amount": 5, "date_created": "x"}])
def test_what_is_no_charge_and_no_refund_is_no_answer(body: Any) -> None:
    for read in (read_charge, read_refund):
        with pytest.raises(GatewayUnavailable):
            read(body)


def test_a_refund_may_say_when_it_was_made() -> None:
    found = read_refund({"id": 7, "amount": 9.5, "status": "cancelled", "date_created": "2026-11-01T12:30:00.000-04:00"})
    assert (found.amount, found.status, found.created_at) == (Decimal("9.50"), "rejected", datetime(2026, 11, 1, 16, 30, tzinfo=UTC))
    assert read_refund({"id": 7, "amount": 9, "status": "?"}).created_at is None


def test_foreign_money_goes_back_as_it_came() -> None:
    assert to_wire(Decimal("9.99"), "USD") == 9.99


class Answering(HTTPServer):
    """Mercado Pago as it should never be: every call gets this answer."""

    answer: tuple[int, bytes] = (200, b"")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Answering)
        status, body = self.server.answer
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def strange(settings: Any) -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        settings.MERCADOPAGO_URL = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


STRANGE = [b"", b"null", b"[]", b"7", b'"text"', b"{}", b'{"results": {}}', b'{"results": [7], "paging": {"total": 1}}', b"[7]", b"<html>"]


@pytest.mark.parametrize("body", STRANGE)
def test_whatever_is_answered_with_success_and_is_none_is_unavailable(strange: Answering, body: bytes) -> None:
    strange.answer = (200, body)
    now, odd = datetime.now(UTC), gateway("APP_USR-1", attempts=1)
    calls: list[Callable[[], Any]] = [
        odd.account,
        lambda: odd.charge("1"),
        lambda: odd.charges_of("abc"),
        lambda: odd.changed_charges(now, now),
        lambda: odd.create_checkout(request(), key="k"),
        lambda: odd.refund("1", amount=None, currency="ARS", key="k"),
        lambda: odd.chargeback_charges("1"),
    ]
    if body != b"[]":  # no refunds
        calls.append(lambda: odd.refunds("1"))
    for call in calls:
        with pytest.raises(GatewayUnavailable):
            call()


def test_tokens_that_cannot_be_read_and_an_account_without_a_number(strange: Answering) -> None:
    strange.answer = (200, b'{"access_token": "a", "id": "x", "site_id": "MLA"}')
    with pytest.raises(GatewayUnavailable):
        refresh_tokens("TG-1")
    with pytest.raises(GatewayUnavailable):
        gateway("APP_USR-1", attempts=1).account()


def test_a_redirect_or_a_strange_refusal_is_a_refusal(strange: Answering) -> None:
    for status, body, reason in ((302, b"{}", "HTTP 302"), (400, b"[]", "HTTP 400"), (400, b'{"cause": [{"description": "No."}]}', "No.")):
        strange.answer = (status, body)
        with pytest.raises(GatewayRefused, match=reason):
            gateway("APP_USR-1", attempts=1).charge("1")


def test_items_that_do_not_add_up_are_not_sent() -> None:
    class Off(CheckoutRequest):
        total = Decimal(1)

    values = {name: getattr(request(), name) for name in CheckoutRequest.__slots__}
    with pytest.raises(ValueError, match="add up"):
        preference_body(Off(**values))


# --- Against the emulator ----------------------------------------------------------------------------------------------------


def test_a_checkout_is_paid_looked_up_and_refunded(emulator: Emulator, seller: Gateway, tokens: Tokens) -> None:
    checkout = seller.create_checkout(request(platform_fee=Decimal("90.01"), statement="Café Luna"), key="open")
    rejected, approved = (str(emulator.pay(checkout.preference_id, outcome)["id"]) for outcome in ("rejected", "approved"))
    charge = seller.charge(approved)
    assert (charge.status, charge.amount, charge.refunded) == ("approved", Decimal("3000.30"), Decimal(0))
    assert charge.collector_id == tokens.user_id
    assert charge.net is not None
    assert charge.net < charge.amount
    assert [found.mp_id for found in seller.charges_of("abc-1")] == [rejected, approved]
    part = seller.refund(approved, amount=Decimal("0.30"), currency="ARS", key="part")
    assert (part.amount, part.status) == (Decimal("0.30"), "approved")
    assert seller.refund(approved, amount=None, currency="ARS", key="rest").amount == Decimal(3000)
    assert [refund.amount for refund in seller.refunds(approved)] == [Decimal("0.30"), Decimal(3000)]
    assert seller.charge(approved).status == "refunded"


def test_whole_currencies_go_without_decimals(emulator: Emulator) -> None:
    chile = gateway(tokens_of(emulator, "MLC").access_token)
    mp_id = paid(emulator, chile, currency="CLP", items=(Item(id="1", title="Té", quantity=2, unit_price=Decimal("1990.00")),))
    assert chile.charge(mp_id).amount == Decimal(3980)
    assert chile.refund(mp_id, amount=Decimal(90), currency="CLP", key="part").amount == Decimal(90)


def test_a_closed_checkout_is_over_and_a_pending_charge_can_be_cancelled(emulator: Emulator, seller: Gateway) -> None:
    checkout = seller.create_checkout(request(), key="open")
    pending = str(emulator.pay(checkout.preference_id, "in_process")["id"])
    seller.cancel_charge(pending)
    assert seller.charge(pending).status == "cancelled"
    with pytest.raises(GatewayRefused) as refused:
        seller.cancel_charge(pending)
    assert refused.value.their_code == "2063"
    seller.close_checkout(checkout.preference_id)
    assert not emulator.request("POST", "/_emu/payments", {"preference_id": checkout.preference_id, "outcome": "approved"}).ok


def test_all_pages_of_a_search_are_read(emulator: Emulator, seller: Gateway) -> None:
    checkout = seller.create_checkout(request(), key="open")
    made = [str(emulator.pay(checkout.preference_id, "rejected")["id"]) for _ in range(103)]
    assert [charge.mp_id for charge in seller.charges_of("abc-1")] == made
    now = datetime.now(UTC)
    first = seller.changed_charges(now - HOUR, now + HOUR)
    second = seller.changed_charges(now - HOUR, now + HOUR, offset=len(first.charges))
    assert (first.total, len(first.charges), len(second.charges)) == (103, 100, 3)
    assert seller.changed_charges(now - HOUR, now + HOUR, by="date_approved").total == 0


def test_a_chargeback_names_its_charges(emulator: Emulator, seller: Gateway) -> None:
    mp_id = paid(emulator, seller)
    emulator.transition(mp_id, "charged_back")
    chargebacks = {entry["resource"] for entry in emulator.entries("delivery") if entry["topic"] == "chargebacks"}
    pending = {found["resource"] for found in emulator.control("GET", "/_emu/state")["deliveries"] if found["topic"] == "chargebacks"}
    [chargeback] = chargebacks | pending
    assert seller.chargeback_charges(chargeback) == [mp_id]


def test_another_sellers_charge_is_nobodys(emulator: Emulator, seller: Gateway) -> None:
    mp_id = paid(emulator, seller)
    other = gateway(tokens_of(emulator).access_token)
    with pytest.raises(ChargeNotFound):
        other.charge(mp_id)
    with pytest.raises(ChargeNotFound):
        other.refund(mp_id, amount=None, currency="ARS", key="theirs")
    assert other.charges_of("abc-1") == []


def test_a_token_that_is_refused_says_so(emulator: Emulator, seller: Gateway, tokens: Tokens) -> None:
    emulator.control("POST", f"/_emu/sellers/{tokens.user_id}/deauthorize")
    calls: list[Callable[[], Any]] = [
        seller.account,
        lambda: seller.charge("1"),
        lambda: seller.charges_of("abc-1"),
        lambda: seller.create_checkout(request(), key="late"),
    ]
    for call in calls:
        with pytest.raises(TokenRefused):
            call()


def test_codes_and_refresh_tokens_work_once(emulator: Emulator) -> None:
    code = code_of(emulator, emulator.seller()["user_id"])
    first = exchange_code(code, "", "")
    second = refresh_tokens(first.refresh_token)
    assert first.user_id == second.user_id
    assert first.access_token != second.access_token
    agains: list[Callable[[], Tokens]] = [lambda: exchange_code(code, "", ""), lambda: refresh_tokens(first.refresh_token)]
    for again in agains:
        with pytest.raises(GatewayRefused) as refused:
            again()
        assert refused.value.their_code == "invalid_grant"


# --- What goes wrong ---------------------------------------------------------------------------------------------------------

BRIEF = {"latency": {"seconds": 2.5}, "commit_then_timeout": {"seconds": 2.5}}
HASTY = {"latency": 1.0, "commit_then_timeout": 1.0}  # seconds: of the others nobody has to wait for the end
FAULTS = ["status_500", "status_429", "html_502", "truncated_json", "connection_reset", "commit_then_timeout", "latency"]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_refund_survives_every_fault_and_is_made_once(emulator: Emulator, seller: Gateway, tokens: Tokens, kind: str) -> None:
    mp_id = paid(emulator, seller)
    emulator.fault(kind, 2, match={"method": "POST", "path": "refunds"}, **BRIEF.get(kind, {}))
    hasty = gateway(tokens.access_token, timeout=HASTY.get(kind, 10.0))
    refund = hasty.refund(mp_id, amount=Decimal("100.10"), currency="ARS", key="refund-1")
    assert [found.mp_refund_id for found in seller.refunds(mp_id)] == [refund.mp_refund_id]
    assert seller.charge(mp_id).refunded == Decimal("100.10")
    wait_for(lambda: len(refund_posts(emulator)) == 3)  # the slow ones arrive in the end
    assert refund_posts(emulator) == ["refund-1"] * 3
    assert len(seller.refunds(mp_id)) == 1


def refund_posts(emulator: Emulator) -> list[str]:
    """The idempotency keys of the refunds that were asked for."""
    posts = emulator.entries("request", method="POST")
    return [entry["idempotency_key"] for entry in posts if entry["path"].endswith("/refunds")]


@pytest.mark.parametrize("kind", FAULTS)
def test_what_does_not_pass_is_unavailable_never_an_empty_answer(emulator: Emulator, tokens: Tokens, kind: str) -> None:
    emulator.fault(kind, None, match={"path": "search"}, **BRIEF.get(kind, {}))
    with pytest.raises(GatewayUnavailable) as failed:
        gateway(tokens.access_token, attempts=2, timeout=HASTY.get(kind, 10.0)).charges_of("abc-1")
    assert tokens.access_token not in repr(failed.value.__context__) + repr(failed.value.__cause__)
    wait_for(lambda: len(emulator.entries("request", path="/v1/payments/search")) == 2)


def test_a_wanted_pause_is_kept_up_to_two_seconds(emulator: Emulator, seller: Gateway, no_pauses: list[float]) -> None:
    emulator.fault("status_429", 1, retry_after=1)
    seller.account()
    emulator.fault("status_429", 1, retry_after=3600)
    seller.account()
    emulator.fault("status_500", 2)
    seller.account()
    honoured, bounded, short, longer = no_pauses
    assert (honoured, bounded) == (1.0, 2.0)
    assert 0.1 < short < 0.3 < longer < 0.8


def test_nobody_listening_is_unavailable(settings: Any) -> None:
    settings.MERCADOPAGO_URL = "http://127.0.0.1:9"
    with pytest.raises(GatewayUnavailable):
        gateway("APP_USR-nobody").account()


def test_a_refusal_is_not_tried_again(emulator: Emulator, seller: Gateway) -> None:
    mp_id = paid(emulator, seller)
    with pytest.raises(GatewayRefused):
        seller.refund(mp_id, amount=Decimal(999_999), currency="ARS", key="too-much")
    assert refund_posts(emulator) == ["too-much"]


def test_no_secret_leaves_by_logs_or_errors(emulator: Emulator, seller: Gateway, tokens: Tokens, settings: Any) -> None:
    secrets = [tokens.access_token, tokens.refresh_token, settings.MERCADOPAGO_CLIENT_SECRET, settings.MERCADOPAGO_ACCESS_TOKEN]
    said: list[str] = [repr(tokens), repr(seller)]
    with structlog.testing.capture_logs() as lines:
        for kind in ("status_500", "connection_reset", "truncated_json"):
            emulator.fault(kind, None)
            for call in (seller.account, lambda: refresh_tokens(tokens.refresh_token), lambda: exchange_code("TG-some-code", "v", "r")):
                with pytest.raises(GatewayUnavailable) as failed:
                    call()
                said.append(repr(failed.value))
            emulator.control("DELETE", "/_emu/faults")
        settings.MERCADOPAGO_CLIENT_SECRET = "another-secret"
        with pytest.raises(GatewayRefused) as refused:
            refresh_tokens(tokens.refresh_token)
        said.append(repr(refused.value))
    assert lines
    text = repr(lines) + repr(said)
    assert not [secret for secret in [*secrets, "another-secret", "TG-some-code"] if secret in text]


# --- The SDK's leak ----------------------------------------------------------------------------------------------------------


def test_the_sdk_still_stamps_what_it_is_given() -> None:
    """Why each call has options of its own. When this fails, the SDK has changed."""
    shared = RequestOptions()
    user = transport.sdk("APP_USR-first").user()
    check: Any = user._MPBase__check_request_options
    check(shared)
    assert shared.access_token == "APP_USR-first"


def test_two_sellers_in_many_threads_never_bear_each_others_token(emulator: Emulator) -> None:
    sellers = [tokens_of(emulator) for _ in range(2)]
    ids = {tokens.user_id: paid(emulator, gateway(tokens.access_token), reference=f"of-{tokens.user_id}") for tokens in sellers}
    emulator.fault("status_500", None, probability=0.2, seed=7)
    barrier = threading.Barrier(8)

    def work(number: int) -> set[int]:
        tokens = sellers[number % 2]
        mine, seen = gateway(tokens.access_token, attempts=9), set()
        barrier.wait()
        for turn in range(12):
            seen |= {mine.charge(ids[tokens.user_id]).collector_id, mine.account().user_id}
            seen |= {charge.collector_id for charge in mine.charges_of(f"of-{tokens.user_id}")}
            if turn == 0:
                mine.refund(ids[tokens.user_id], amount=Decimal(1), currency="ARS", key=f"r-{number}")
        assert seen == {tokens.user_id}
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(work, range(8)))) == 8
    tails = {tokens.access_token[-6:]: tokens.user_id for tokens in sellers}
    assert len(tails) == 2
    asked = [entry for entry in emulator.entries("request") if entry["path"].startswith(("/v1/", "/users/"))]
    assert len(asked) > 200
    owners = {mp_id: user_id for user_id, mp_id in ids.items()}
    for entry in asked:
        assert entry["user_id"] == tails[entry["authorization"]]
        named = next((part for part in entry["path"].split("/") if part in owners), None)
        wanted = owners.get(named or "") or int(entry["query"].get("external_reference", "of-0").removeprefix("of-"))
        assert wanted in {0, entry["user_id"]}


def test_an_application_that_is_refused_is_no_sellers_fault(strange: Answering) -> None:
    strange.answer = (401, b"{}")
    with pytest.raises(GatewayRefused) as refused:
        refresh_tokens("TG-1")
    assert refused.value.their_code == "unauthorized"
