"""The compose file's services as processes, behind the compose file's proxy: the smoke tests and people's journeys through it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from tests.deploy.compose import REPOSITORY
from tests.deploy.journeys import admin_looks, open_a_cafeteria, order_and_pay
from tests.deploy.stack import DOMAIN, Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    with running_stack(folder) as running:
        yield running


def smoke(stack: Stack, **more: str) -> subprocess.CompletedProcess[str]:
    """As its own container: nothing of the product's, and pytest's configuration of its own."""
    given = {"SMOKE_URL": stack.url, "SMOKE_CONNECT": stack.front, "SMOKE_CA": str(stack.authority), "SMOKE_RELEASE": "by-hand", **more}
    return subprocess.run(
        (sys.executable, *("-m", "pytest", "-c", "tests/smoke/pytest.ini", "tests/smoke", "-rs")),
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "SMOKE_SECONDS": "20", **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_smoke_tests_pass_through_the_proxy(stack: Stack) -> None:
    assert stack.manage("open_smoke_cafeteria", "smoke") == f"The smoke tests order at https://smoke.{DOMAIN}:8443\n"
    stack.manage("open_smoke_cafeteria", "smoke")  # again: nothing to do
    done = smoke(stack)
    assert (done.returncode, done.stdout.splitlines()[-1].split(" in ")[0]) == (0, "11 passed, 1 skipped"), done.stdout


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


def test_deploys_are_noted(stack: Stack) -> None:
    said = stack.manage("record_deploy", "--release", "r2", "--before", "r1", "--outcome", "rolled_back", "--seconds", "7")
    assert said == "r2: rolled back after 7 s\n"
