"""A real web process on the tests' database, and a real browser in front of it."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from config.web import web_command
from tests.emulator.process import Emulator, running_emulator
from tests.payments.application import environment_of
from tests.processes import REPOSITORY, UNMEASURED, committed_queue, database_url, kill_group, manage, wait_for
from tests.world import PASSWORD, Place, World

CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Added to every page before its own scripts: what has moved without anybody having asked for it, and by how much.
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    const moved = entry.sources.map(({ node, previousRect, currentRect }) =>
      `${node?.outerHTML?.slice(0, 80) ?? node?.nodeName} ${JSON.stringify(previousRect)} -> ${JSON.stringify(currentRect)}`);
    window.shifts.push(`moved by ${entry.value}: ${moved.join("; ")}`);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="package", autouse=True)
def _orm_beside_playwright() -> Iterator[None]:
    """Playwright keeps an event loop running in this thread, and Django refuses the database beside one."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    yield
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    else:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture(scope="package")
def port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="package")
def mercadopago(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator, whose pages the browser comes to; nobody is connected to it yet."""
    with running_emulator(tmp_path_factory.mktemp("mercadopago")) as emulator:
        yield emulator


@pytest.fixture(scope="package")
def _environment(port: int, mercadopago: Emulator) -> dict[str, str]:
    """Of each process: their own address, and Mercado Pago's as they and as browsers reach it."""
    pages = mercadopago.url.replace("127.0.0.1", "localhost")
    return environment_of(mercadopago) | {"MERCADOPAGO_AUTH_URL": pages, "PUBLIC_URL": f"http://localhost:{port}"}


@pytest.fixture(scope="package")
def worker(
    django_db_setup: None, django_db_blocker: Any, _environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """What works off the short jobs: notifications and refunds among them."""
    folder = tmp_path_factory.mktemp("worker")
    with django_db_blocker.unblock(), committed_queue(), manage("worker", "short", data_folder=folder, **UNMEASURED, **_environment):
        yield


@pytest.fixture(scope="package")
def _web(django_db_setup: None, port: int, _environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The web process as `make run` starts it, with its static files as they are sent in production."""
    folder = tmp_path_factory.mktemp("browser")
    values = {"DATABASE_URL": database_url(), "COMANDA_DATA": str(folder), **_environment}
    environment = {**os.environ, **UNMEASURED, **values, "PORT": str(port)}
    collect = (sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0", "--ignore=ninja")
    subprocess.run(collect, cwd=REPOSITORY, env=environment, check=True, timeout=240)
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            web_command(port), cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for(lambda: answers(port, folder / "web.log"), seconds=90)
        yield
    finally:
        kill_group(process)


def answers(port: int, log: Path) -> bool:
    assert log.exists()
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert chromium, "These tests need Chromium: make test installs it, or apt-get install chromium."
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM))


@dataclass(kw_only=True)
class Site:
    """One cafeteria's site in the browser."""

    place: Place
    port: int
    browser: Browser
    opened: list[BrowserContext]

    @property
    def address(self) -> str:
        return f"http://{self.place.ref.slug}.localhost:{self.port}"

    def visitor(self, *, size: dict[str, int] | None = None, language: str = "es", **options: Any) -> Page:
        """A new person at a new device, on no page yet."""
        context = self.browser.new_context(viewport=size or PHONE, base_url=self.address, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        if options.get("java_script_enabled", True):
            context.add_init_script(WATCH_SHIFTS)
        context.add_cookies([{"name": "lang", "value": language, "url": self.address}])
        self.opened.append(context)
        return context.new_page()

    def staff(self, role: str = "kitchen", **options: Any) -> Page:
        page = self.visitor(**options)
        page.goto("/sign-in")
        page.fill("[name=email]", f"{role}@people.test")
        page.fill("[name=password]", PASSWORD)
        page.click("main form [type=submit]")
        expect(page).not_to_have_url(f"{self.address}/sign-in")
        return page


@pytest.fixture
def site(_web: None, committed_world: World, browser: Browser, port: int) -> Iterator[Site]:
    found = Site(place=committed_world.a, port=port, browser=browser, opened=[])
    yield found
    for context in found.opened:
        context.close()


def shifts(page: Page) -> list[str]:
    """What has moved on the page, as one line each."""
    return [str(shift) for shift in page.evaluate("window.shifts")]


def faults(page: Page) -> list[str]:
    """What axe finds, as one line each."""
    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {node['html'][:200]}" for fault in found for node in fault["nodes"]]
