"""The compose file's services as processes, behind the compose file's proxy: the smoke tests and people's journeys through it."""

import json
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
import redis
import requests

from tests.core.notices.collectors import Mailbox, Webhook, mail_server, webhook_server
from tests.deploy.journeys import admin_looks, open_a_cafeteria, order_and_pay, smoke
from tests.deploy.stack import DOMAIN, PORTS, Stack, running_stack, wait_for
from tests.ops.measuring.test_rules import METRIC, RULES, expressions


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    with running_stack(folder) as running:
        yield running


@pytest.fixture(scope="module")
def told(stack: Stack) -> Iterator[tuple[Webhook, Mailbox]]:
    """Prometheus and Alertmanager beside it, and who is told by them."""
    with webhook_server() as webhook, mail_server() as mailbox:
        stack.start_watching(slack=webhook.address, heartbeat=webhook.address, email=f"smtp+plain://127.0.0.1:{mailbox.port}")
        yield webhook, mailbox
        stack.stop("alertmanager")


def test_the_smoke_tests_pass_through_the_proxy(stack: Stack) -> None:
    assert stack.manage("open_smoke_cafeteria", "smoke") == f"The smoke tests order at https://smoke.{DOMAIN}:8443\n"
    stack.manage("open_smoke_cafeteria", "smoke")  # again: nothing to do
    done = smoke(stack)
    assert (done.returncode, done.stdout.splitlines()[-1].split(" in ")[0]) == (0, "12 passed"), done.stdout


def test_the_smoke_tests_notice_another_release(stack: Stack) -> None:
    done = smoke(stack, SMOKE_RELEASE="another", PYTEST_ADDOPTS="-k healthy")
    assert "1 failed" in done.stdout


def test_an_owner_opens_a_customer_pays_and_an_admin_looks(stack: Stack) -> None:
    place = open_a_cafeteria(stack, "luna")
    order = order_and_pay(stack, place)
    assert order["url"].startswith(f"https://luna.{DOMAIN}:8443/o/")
    assert "Ana" in place.owner.open(f"{place.url}/staff/").text
    admin = admin_looks(stack, "root@comanda.example")
    assert "luna" in admin.open(f"{stack.url}/console/cafeterias").text


def test_the_web_servers_share_what_they_draw_of_a_menu_and_do_without(stack: Stack) -> None:
    with stack.client() as client, redis.Redis(stack.address("cache"), PORTS["cache"], password="of-the-cache") as cache:
        assert client.get(f"https://luna.{DOMAIN}:8443/", timeout=20).ok
        keys = list(cache.scan_iter("*menu-body*"))
        assert keys
        assert all(b":by-hand:" in key for key in keys)
        stack.kill("cache")
        assert client.get(f"https://luna.{DOMAIN}:8443/", timeout=20).ok
        stack.start_cache()


def test_a_header_with_an_underscore_passes_for_no_other(stack: Stack) -> None:
    """To the product X_Forwarded_For and X-Forwarded-For are one name: the proxy lets none of the first through."""
    told = {
        name: stack.client().get(f"{stack.url}/", headers={name: "request-of-mine"}).headers["X-Request-ID"]
        for name in ("X-Request-ID", "X_Request_Id")
    }
    assert told["X-Request-ID"] == "request-of-mine"
    assert told["X_Request_Id"] != "request-of-mine"


def test_a_cafeterias_own_domain_gets_a_certificate_and_no_other_host_does(stack: Stack) -> None:
    stack.manage("open_smoke_cafeteria", "smoke")
    with stack.client() as client:
        with pytest.raises(requests.exceptions.SSLError):
            client.get(stack.site("www.cafe-smoke.example"), timeout=30)
        stack.manage("domains", "smoke", "--add", "www.cafe-smoke.example")
        assert client.get(f"{stack.site('www.cafe-smoke.example')}/api/v1/products", timeout=30).json()[0]["name"] == "Prueba"


def test_plain_http_is_sent_on_and_statics_of_former_releases_stay(stack: Stack) -> None:
    moved = requests.get(f"http://{stack.address('proxy')}:8080/x", headers={"Host": DOMAIN}, timeout=10, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"].split(":")[0]) == (308, "https")
    (stack.folder / "kept" / "static" / "former.0123456789ab.css").write_text("p {}")
    with stack.client() as client:
        assert client.get(f"{stack.url}/health", timeout=10).headers["Alt-Svc"] == 'h3=":443"; ma=86400'
        kept = client.get(f"{stack.url}/static/former.0123456789ab.css", timeout=10)
        assert (kept.status_code, kept.text, "immutable" in kept.headers["Cache-Control"]) == (200, "p {}", True)
        assert client.get(f"{stack.url}/static/never.css", timeout=10).status_code == 404


def test_the_database_takes_the_products_role_through_the_pooler_alone_and_no_password_opens_more(stack: Stack) -> None:
    shown = stack.manage("fleet_status", service="web-a")
    assert "The code's head is" in shown
    refused = subprocess.run(
        ["psql", f"host={stack.address('postgres')} user=postgres dbname=postgres", "-c", "SELECT 1"],
        env={**stack.environment("postgres"), "PGPASSWORD": "anything"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert "no pg_hba.conf entry" in refused.stderr


def test_a_server_that_leaves_takes_no_request_with_it(stack: Stack) -> None:
    """Each web server is replaced while somebody asks all the time."""
    with stack.client() as client:
        answers = []
        for service in ("web-a", "web-b"):
            process = stack.processes[service]
            process.terminate()
            while process.poll() is None:
                answers.append(client.get(f"{stack.url}/health", timeout=30).status_code)
            stack.start_web(service)
            stack.wait_for_web(service)
    assert set(answers) == {200}
    assert len(answers) > 20


def test_the_web_servers_answer_to_the_names_that_containers_ask_for_them(stack: Stack) -> None:
    """No cafeteria's host, and no address: as Prometheus, the proxy's health checks and Docker's come."""
    where, token = f"http://{stack.address('web-a')}:8000", {"Authorization": "Bearer metrics-of-the-stack"}
    for path, host in (("/metrics", "web-a:8000"), ("/health/accepting", "web-a:8000"), ("/health/live", "127.0.0.1:8000")):
        assert requests.get(where + path, headers={"Host": host, **token}, timeout=30).status_code == 200, (path, host)


def test_deploys_are_noted(stack: Stack) -> None:
    said = stack.manage("record_deploy", "--release", "r2", "--before", "r1", "--outcome", "rolled_back", "--seconds", "7")
    assert said == "r2: rolled back after 7 s\n"


def test_a_watchdog_is_beside_its_worker_and_goes_with_it(stack: Stack) -> None:
    wait_for(lambda: watchdogs(stack) != set(), what="the watchdog", log=lambda: stack.log("worker-short"))
    before = watchdogs(stack)
    stack.processes["worker-short"].kill()
    wait_for(lambda: not before & watchdogs(stack), what="the end of the watchdog", log=lambda: stack.log("worker-short"))
    stack.kill("worker-short")
    stack.start_workers("worker-short")
    wait_for(lambda: watchdogs(stack) != set(), what="the next one", log=lambda: stack.log("worker-short"))


def watchdogs(stack: Stack) -> set[int]:
    return {pid for pid, command in stack.processes_of("worker-short").items() if "manage.py watchdog" in command}


def test_operators_are_told_of_an_alert_and_that_it_is_over_and_a_heartbeat_goes_out(stack: Stack, told: tuple[Webhook, Mailbox]) -> None:
    webhook, mailbox = told
    stack.kill("web-b")
    wait_for(lambda: "CRITICAL: ComandaDown" in slack_titles(webhook), what="the alert", log=lambda: stack.log("alertmanager"))
    stack.start_web("web-b")
    wait_for(lambda: "OVER: ComandaDown" in slack_titles(webhook), what="the end of the alert", log=lambda: stack.log("alertmanager"))
    subjects = [str(mail["Subject"]) for mail in mailbox.mails]
    assert {"CRITICAL: ComandaDown", "OVER: ComandaDown"} <= set(subjects)
    assert mailbox.recipients[0] == ["ops@comanda.test"]
    text = content(mailbox.mails[subjects.index("CRITICAL: ComandaDown")])
    assert f"The web server does not answer. ({stack.address('web-b')}:8000)" in text
    assert "What to do: docs/runbooks/error-rate.md" in text
    beats = [body for body in webhook.bodies if body.get("receiver") == "heartbeat"]
    assert {alert["labels"]["alertname"] for beat in beats for alert in beat["alerts"]} == {"Heartbeat"}
    assert "Heartbeat" not in str(slack_titles(webhook))


def content(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def slack_titles(webhook: Webhook) -> list[str]:
    return [attachment["title"] for body in webhook.bodies for attachment in body.get("attachments", [])]


def test_every_panel_and_alert_asks_for_what_prometheus_has(stack: Stack, told: tuple[Webhook, Mailbox]) -> None:
    assert told
    order_and_pay(stack, open_a_cafeteria(stack, "sol"))  # Orders and notifications are counted from the first one on.
    asked = {expression.replace("$__rate_interval", "1m") for expression in expressions()}
    for expression in asked:
        answer = prometheus(stack, "query", query=expression)
        assert answer["status"] == "success", (expression, answer)
    named = {name for text in (*asked, RULES.read_text()) for name in METRIC.findall(text)}
    nobody_was_refused = {"comanda_requests_refused_total"}

    def all_are_there() -> bool:
        """What has no series yet, since nothing of its kind is there, has told its type."""
        there = {*prometheus(stack, "label/__name__/values")["data"], *prometheus(stack, "metadata")["data"]}
        return named - there <= nobody_was_refused

    wait_for(all_are_there, what="some metric", log=lambda: str(prometheus(stack, "metadata")["data"].keys()))
    health = {rule["name"]: rule["health"] for group in prometheus(stack, "rules")["data"]["groups"] for rule in group["rules"]}
    assert set(health.values()) == {"ok"}, health


def prometheus(stack: Stack, path: str, **asked: str) -> dict[str, Any]:
    url = f"http://{stack.address('prometheus')}:{PORTS['prometheus']}/api/v1/{path}"
    answer: dict[str, Any] = json.loads(requests.get(url, params=asked, timeout=10).text)
    return answer
