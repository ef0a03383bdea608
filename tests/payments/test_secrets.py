"""No secret or token that is in play may be read anywhere: logs at DEBUG, answers, pages, exports, rows, measurements, error reports.

Real processes do what they do, Mercado Pago fails in every way and our own code breaks in the middle; then everything is searched.
"""

import gzip
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import brotli  # type: ignore[import-untyped]
import pytest
import requests
from django.conf import settings
from django.db import connection
from django.test.utils import override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from django_q.models import OrmQ, Task
from pytest_django import DjangoDbBlocker

from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.jobs import enqueue
from core.jobs.models import Job
from core.vault import unseal
from payments.inbox.models import Notification
from payments.ledger.models import Charge, Payment, Refund
from payments.sellers.models import Connecting, Seller
from tests.emulator.process import Emulator, running_emulator
from tests.payments.application import NAMES, code_of, environment_of
from tests.payments.chaos.stage import forget_money
from tests.processes import UNMEASURED, committed_queue, manage, wait_for
from tests.servers import free_port, running_web
from tests.world import PASSWORD, World

OURS = {
    "MERCADOPAGO_CLIENT_SECRET": "cs5wZq0PvXk2mB7uT4rJ",
    "MERCADOPAGO_WEBHOOK_SECRET": "ws8nLd3YhGc6oE1iA9sF",
    "MERCADOPAGO_ACCESS_TOKEN": "APP_USR-7788990011-112411-5c3e0f1a2b4d6879",
}
QUICK = {"JOB_RETRY_SECONDS": "1", "JOB_REWAKE_SECONDS": "2"}
# Our own code breaks in the middle of taking money in, and of keeping tokens: PostgreSQL's complaint holds the whole row.
BREAK = """
CREATE FUNCTION public.secrets_break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken at %', NEW; END $$;
CREATE TRIGGER secrets_break BEFORE INSERT OR UPDATE ON public.{table} FOR EACH ROW EXECUTE FUNCTION public.secrets_break();
"""
MEND = "DROP FUNCTION IF EXISTS public.secrets_break() CASCADE"
COOKIE = re.compile(r"^set-cookie: .*$", re.IGNORECASE | re.MULTILINE)


class Collector(BaseHTTPRequestHandler):
    """Sentry, as far as its senders can tell."""

    server: "Sentry"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        unpack = {"gzip": gzip.decompress, "br": brotli.decompress}.get(self.headers.get("Content-Encoding", ""), bytes)
        self.server.envelopes.append(unpack(body).decode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class Sentry(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Collector)
        self.envelopes: list[str] = []

    @property
    def dsn(self) -> str:
        return f"http://0123456789abcdef@127.0.0.1:{self.server_port}/1"

    @property
    def events(self) -> list[str]:
        return [envelope for envelope in self.envelopes if '"exception"' in envelope or '"logentry"' in envelope]


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    server = Sentry()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with closing(server.socket):
        yield server
        server.shutdown()


@dataclass(kw_only=True)
class Scene:
    """Where it happens, what must not be found, and where it is looked for."""

    world: World
    emulator: Emulator
    sentry: Sentry
    port: int
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    browser: requests.Session = field(default_factory=requests.Session)

    @property
    def place(self) -> Any:
        return self.world.a

    def ask(self, method: str, path: str, *, host: str = "", browser: requests.Session | None = None, **options: Any) -> requests.Response:
        """As a browser or a client of the API; what comes back is kept to be searched."""
        host = host or self.place.host.split(":")[0]
        headers = {"Host": f"{host}:{self.port}", **options.pop("headers", {})}
        asker = browser if browser is not None else self.browser
        response = asker.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, allow_redirects=False, timeout=60, **options
        )
        shown = "\n".join(f"{name}: {value}" for name, value in response.headers.items() if name.lower() not in {"location", "set-cookie"})
        self.seen[f"{len(self.seen)} {method} {host}{path}"] = f"{shown}\n\n{response.text}"
        return response

    def api(self, method: str, path: str, body: Any = None, role: str = "owner") -> requests.Response:
        token = self.place.token(role)
        self.secrets[f"{role}'s token"] = token
        with requests.Session() as client:
            return self.ask(method, f"/api/v1{path}", browser=client, json=body, headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, data: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """A form, with the page's own CSRF token."""
        browser = options.get("browser") or self.browser
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.ask("GET", options.pop("page", path), **options).text)
        assert token, (path, self.seen)
        response = self.ask("POST", path, data={"csrfmiddlewaretoken": token[1], **(data or {})}, **options)
        for cookie in browser.cookies:
            self.secrets[f"cookie {cookie.name} {path}"] = cookie.value or ""
        return response


@pytest.fixture
def scene(tmp_path: Path, sentry: Sentry, committed_world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    with django_db_blocker.unblock(), committed_queue(), ExitStack() as stack:
        emulator = stack.enter_context(running_emulator(tmp_path, options=(), **OURS))
        theirs = environment_of(emulator)
        stack.enter_context(override_settings(**{name: theirs[name] for name in (*NAMES, "MERCADOPAGO_URL", "MERCADOPAGO_AUTH_URL")}))
        port = free_port()
        theirs["PUBLIC_URL"] = f"http://localhost:{port}"
        more: dict[str, Any] = {
            **theirs,
            **QUICK,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
            "LOG_REQUESTS": "1",
            "SENTRY_DSN": sentry.dsn,
        }
        with manage(
            "collectstatic", "--no-input", "--verbosity=0", "--ignore=ninja", "--ignore=redoc*", data_folder=tmp_path, **UNMEASURED
        ) as collect:
            assert collect.wait(240) == 0
        stack.enter_context(running_web(tmp_path, workers=1, port=port, **more))
        stack.enter_context(override_settings(PUBLIC_PORT=port))
        emulator.settings(webhooks="auto")
        stack.enter_context(manage("worker", "short", data_folder=tmp_path, **UNMEASURED, **more))
        stack.enter_context(manage("worker", "long", data_folder=tmp_path, **UNMEASURED, **more))
        stack.callback(_clean_up, committed_world)
        yield Scene(world=committed_world, emulator=emulator, sentry=sentry, port=port, folder=tmp_path)


def _clean_up(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MEND)
    forget_money([world.a, world.b])
    Connecting.objects.all().delete()


@contextmanager
def broken(table: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(MEND)
        cursor.execute(BREAK.format(table=table))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(MEND)


def test_nothing_that_is_secret_can_be_read_anywhere(scene: Scene) -> None:
    _sign_in(scene)
    _connect(scene)
    _sell_and_give_back(scene)
    _fail_in_every_way(scene)
    _break(scene)
    _visit_every_page(scene)
    _gather(scene)
    _note_secrets(scene)
    assert len(scene.secrets) > 15
    found = [(name, where) for name, secret in scene.secrets.items() for where, text in scene.seen.items() if secret in text]
    assert found == []


def _sign_in(scene: Scene) -> None:
    answer = scene.post("/sign-in", {"email": "owner@people.test", "password": PASSWORD})
    assert answer.status_code == 302, answer.text
    scene.secrets["password"] = PASSWORD


def _authorized(scene: Scene, name: str) -> tuple[str, str]:
    """(state, code): the owner has tapped, and allowed it at Mercado Pago."""
    answer = scene.post("/staff/payments/connect", page="/staff/payments")
    asked = {key: value for key, [value] in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    verifier = unseal(Connecting.objects.latest("created_at").sealed_verifier)
    user_id = scene.emulator.seller()["user_id"]
    pkce = {key: asked[key] for key in ("code_challenge", "code_challenge_method", "redirect_uri")}
    code = code_of(scene.emulator, user_id, **pkce)
    scene.secrets |= {f"{name} state": asked["state"], f"{name} code": code, f"{name} verifier": verifier}
    return asked["state"], code


def _connect(scene: Scene) -> None:
    """By OAuth: refused, not answered, broken in the middle of our own code, then done."""
    for name, fault in (("refused", None), ("500", "status_500"), ("cut", "truncated_json"), ("lost", "commit_then_timeout")):
        state, code = _authorized(scene, name)
        if fault:
            scene.emulator.fault(fault, times=3, match={"path": "oauth"}, seconds=0.1)
        else:
            code = scene.secrets["refused code"] = "TG-0123456789abcdef-refused"
        assert scene.ask("GET", f"/staff/payments/connected?state={state}&code={code}").status_code == 302
    with broken("payments_seller"):
        state, code = _authorized(scene, "broken")
        assert scene.ask("GET", f"/staff/payments/connected?state={state}&code={code}").status_code == 500
    assert not Seller.objects.filter(cafeteria_uuid=scene.place.ref.uuid).exists()
    state, code = _authorized(scene, "good")
    forwarded = scene.ask("GET", f"/mercadopago/callback?state={state}&code={code}", host="localhost")
    assert forwarded.status_code == 302
    assert scene.ask("GET", f"/staff/payments/connected?state={state}&code={code}").status_code == 302
    seller = Seller.objects.get(cafeteria_uuid=scene.place.ref.uuid)
    scene.secrets |= {"first access token": seller.access_token, "first refresh token": seller.refresh_token}


def _order(scene: Scene) -> tuple[dict[str, Any], Payment]:
    order = scene.api("POST", "/orders", scene.place.order(), role="customer").json()
    answer = scene.api("POST", "/payments/create-preference", {"order_id": order["id"], "amount": order["total"]}, role="customer")
    assert answer.status_code == 200, answer.text
    return order, Payment.objects.get(pk=answer.json()["payment_id"])


def _paid(scene: Scene) -> Payment:
    _, payment = _order(scene)
    scene.emulator.pay(payment.preference_id)
    wait_for(lambda: Payment.objects.filter(pk=payment.pk, status="paid").exists(), seconds=60)
    return payment


def _sell_and_give_back(scene: Scene) -> None:
    payment = _paid(scene)
    answer = scene.api("POST", f"/payments/{payment.pk}/refund", {"amount": "100.00"})
    assert answer.status_code == 200, answer.text
    assert scene.api("POST", f"/payments/{payment.pk}/refund", {"amount": "99999.00"}).status_code == 400
    for kind in ("wrong_secret", "tampered_id", "wrong_user_id"):
        scene.emulator.fault(kind, match={"topic": "payment"})
    _, underpaid = _order(scene)
    scene.emulator.pay(underpaid.preference_id, amount=1.5)
    wait_for(lambda: Charge.objects.filter(payment=underpaid).exclude(review="").exists(), seconds=60)


def _fail_in_every_way(scene: Scene) -> None:
    """Requests that fail in the web process and in the worker; a refused token at the end, and one that was renewed before."""
    Seller.objects.update(expires_at="2026-01-01T00:00Z")
    renewed = enqueue("payments.sellers.jobs.refresh_tokens", queue="long")
    wait_for(lambda: Job.objects.get(pk=renewed.pk).has_ended, seconds=60)
    for kind in ("status_500", "status_429", "html_502", "truncated_json", "connection_reset", "commit_then_timeout"):
        order = scene.api("POST", "/orders", scene.place.order(), role="customer").json()
        scene.emulator.fault(kind, times=3, match={"path": "preferences"}, seconds=0.1)
        body = {"order_id": order["id"], "amount": order["total"]}
        assert scene.api("POST", "/payments/create-preference", body, role="customer").status_code in {200, 502, 503}
        scene.emulator.control("DELETE", "/_emu/faults")
        payment = _paid(scene)
        scene.emulator.fault(kind, times=4, match={"path": "refunds"}, seconds=0.1)
        scene.api("POST", f"/payments/{payment.pk}/refund", {})
        wait_for(lambda: not Refund.objects.filter(state="requested").exists(), seconds=60)
        scene.emulator.control("DELETE", "/_emu/faults")


def _break(scene: Scene) -> None:
    """Our own code breaks: in a worker that takes money in, and in a page. Then Mercado Pago refuses the account's token."""
    payment = _paid(scene)
    _, other = _order(scene)
    with broken("payments_charge"):
        scene.emulator.pay(other.preference_id)
        wait_for(lambda: Notification.objects.filter(state="new", attempts__gt=0).exists(), seconds=60)
        assert scene.api("POST", f"/payments/{payment.pk}/refund", {"amount": "10.00"}).status_code == 500
    seller = Seller.objects.get(cafeteria_uuid=scene.place.ref.uuid)
    scene.emulator.control("POST", f"/_emu/sellers/{seller.mp_user_id}/deauthorize")
    scene.api("POST", f"/payments/{payment.pk}/refund", {"amount": "20.00"})
    check = enqueue("payments.reconciliation.jobs.check_payments")
    Payment.objects.update(next_check_at="2026-01-01T00:00Z")
    wait_for(lambda: Job.objects.get(pk=check.pk).has_ended, seconds=60)


def _visit_every_page(scene: Scene) -> None:
    """Every page below /staff that can be filled in, every address of the platform, and the measurements."""
    payment = Payment.objects.filter(status__in=("paid", "partially_refunded")).latest("created_at")
    charge = Charge.objects.exclude(review="").latest("id")
    values = {"order_id": payment.order_id, "payment_id": payment.pk, "charge_id": charge.pk, "day": str(payment.business_date)}
    routes = [route for route in _routes("config.urls_tenant") if route.startswith("staff")]
    for route in routes:
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: str(values.get(name[1], 1)), route)
        scene.ask("GET", f"/{path}")
    assert {"staff/money", "staff/payments", "staff/orders", "staff/money/entries.csv", "staff/money/review"} <= set(routes)
    assert scene.api("GET", "/payments").status_code == 200
    assert scene.ask("GET", "/staff/money").status_code == 200
    with requests.Session() as platform:
        form = {"email": f"admin-{scene.place.ref.slug}@comanda.test", "password": PASSWORD}
        assert scene.post("/sign-in", form, host="localhost", browser=platform).status_code == 302
        for route in _routes("config.urls_public"):
            if "<" not in route and not route.startswith("static"):
                scene.ask("GET", f"/{route}", host="localhost", browser=platform)
    assert scene.ask("GET", "/metrics", host="localhost").status_code == 200


def _routes(urlconf: str) -> list[str]:
    def walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
        for pattern in resolver.url_patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield route
            else:
                yield from walk(pattern, route)

    return [route for route in walk(get_resolver(urlconf), "") if not re.search(r"[\\^$]", route)]


def _gather(scene: Scene) -> None:
    for name in ("web", "worker-short", "worker-long"):
        scene.seen[f"log of {name}"] = (scene.folder / f"{name}.log").read_text()
        assert '"level":"debug"' in scene.seen[f"log of {name}"].replace(" ", ""), name
    assert "mercadopago_unanswered" in scene.seen["log of web"]
    for model in (Alert, AuditEntry, Job, Notification, Charge, Payment, Refund, Task, OrmQ):
        scene.seen[f"rows of {model.__name__}"] = repr(list(model._default_manager.values()))
    wait_for(lambda: len(scene.sentry.events) >= 3)
    scene.seen["Sentry"] = "\n".join(scene.sentry.envelopes)
    assert "finish_connection" in scene.seen["Sentry"]  # a frame that held a code, a verifier and tokens


def _note_secrets(scene: Scene) -> None:
    scene.secrets |= OURS | {"vault key": settings.VAULT_KEYS[0], "secret key": settings.SECRET_KEY}
    for seller in Seller.objects.all():
        scene.secrets |= {f"access {seller}": seller.access_token, f"refresh {seller}": seller.refresh_token}
        scene.secrets |= {f"sealed {seller}": seller.sealed_access_token, f"sealed refresh {seller}": seller.sealed_refresh_token}
    scene.secrets = {name: secret for name, secret in scene.secrets.items() if secret}
