"""The console in a browser: a cafeteria goes back and comes again, followed live; nothing for axe to find, nothing that jumps."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from accounts.models import User
from core.alerts.actions import raise_alert
from core.jobs import enqueue
from core.jobs.models import Job
from ops.backups.actions import take_backup
from ops.restores.models import Restore
from shop.menu.models import Product
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.browser.conftest import DESK, PHONE, Site
from tests.browser.test_quality import LOOKS, Findings
from tests.processes import UNMEASURED, manage
from tests.world import PASSWORD, World


@pytest.fixture
def folder(settings: Settings, tmp_path: Path, site: Site) -> Iterator[Path]:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    yield tmp_path
    Job.objects.filter(cafeteria_uuid=site.place.ref.uuid).delete()


@pytest.fixture
def long_worker(folder: Path, _environment: dict[str, str]) -> Iterator[None]:
    values = {**_environment, "BACKUP_FOLDER": str(folder / "backups")}
    with manage("worker", "long", data_folder=folder, **UNMEASURED, **values):
        yield


def console(site: Site, world: World, *, language: str = "es", **options: Any) -> tuple[Page, str]:
    """An admin's page, and the console's address."""
    platform = f"http://localhost:{site.port}"
    page = site.visitor(language=language, **options)
    page.context.add_cookies([{"name": "lang", "value": language, "url": platform}])
    page.goto(f"{platform}/sign-in")
    page.fill("[name=email]", User.objects.get(pk=world.admin).email)
    page.fill("[name=password]", PASSWORD)
    page.click("main form [type=submit]")
    page.wait_for_url("**/home")
    return page, f"{platform}/console"


def price(site: Site) -> str:
    with tenant_scope(ref_by_uuid(site.place.ref.uuid)):
        return str(Product.objects.get(pk=site.place.coffee).price)


def spoil(site: Site) -> None:
    with tenant_scope(ref_by_uuid(site.place.ref.uuid)):
        Product.objects.filter(pk=site.place.coffee).update(price="9999.00")


@pytest.mark.parametrize("scripts", [True, False], ids=["with-javascript", "without"])
def test_back_up_look_restore_watch_and_undo(site: Site, committed_world: World, long_worker: None, scripts: bool) -> None:
    page, address = console(site, committed_world, size=PHONE, java_script_enabled=scripts)
    slug = site.place.ref.slug

    def wait_for(words: str) -> None:
        """Without JavaScript by looking again."""
        for _ in range(60 if not scripts else 0):
            if page.get_by_text(words).first.is_visible():
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(page.get_by_text(words).first).to_be_visible(timeout=40_000)

    page.goto(f"{address}/cafeterias?q={slug}")
    page.get_by_role("link", name=f"Café {slug}").click()
    page.get_by_role("button", name="Respaldar ahora").click()
    wait_for("Ver los respaldos")
    wait_for("hecha")
    spoil(site)
    page.get_by_role("link", name="Ver los respaldos").click()
    page.get_by_role("link", name=re.compile("Volver a este")).click()
    page.get_by_role("button", name="Ver qué cambiaría").click()
    wait_for("Precio: $ 9.999 ahora, $ 1.000 entonces")
    page.fill("[name=typed]", "otra")
    page.get_by_role("button", name="Restaurar ahora").click()
    expect(page.get_by_text(f"No dice {slug}.")).to_be_visible()
    assert price(site) == "9999.00"
    page.fill("[name=typed]", slug)
    page.get_by_role("button", name="Restaurar ahora").click()
    page.wait_for_url(re.compile(r"/restores/[\w-]+(#restore)?$"))
    wait_for("La restauración terminó.")
    assert price(site) == "1000.00"
    page.get_by_role("link", name="Deshacer…").click()
    page.fill("[name=typed]", slug)
    page.get_by_role("button", name="Deshacer ahora").click()
    page.wait_for_url(re.compile(r"/restores/[\w-]+(#restore)?$"))
    wait_for("Se deshizo.")
    assert price(site) == "9999.00"
    site.place.ref = ref_by_uuid(site.place.ref.uuid)


def test_whoever_is_signed_out_meanwhile_is_asked_to_sign_in_and_comes_back(site: Site, committed_world: World, folder: Path) -> None:
    """No worker runs: the job waits, and its page asks again and again."""
    job = enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=site.place.ref.uuid, kind="manual")
    page, address = console(site, committed_world)
    page.goto(f"{address}/jobs/{job.pk}")
    page.context.clear_cookies()
    page.wait_for_url(f"**/sign-in?next=%2Fconsole%2Fjobs%2F{job.pk}", timeout=20_000)


def pages(site: Site) -> list[str]:
    """With something on each of them; what a worker would change stays as it is, since none runs."""
    uuid, base = site.place.ref.uuid, f"/cafeterias/{site.place.ref.id}"
    backup = take_backup(cafeteria_uuid=uuid, kind="manual")
    raise_alert(kind="backups.proof_failed", cafeteria_uuid=uuid, detail="A proof failed.", severity="critical")
    values: dict[str, Any] = {"cafeteria_uuid": uuid, "cafeteria_id": site.place.ref.id, "backup_id": backup.pk, "parts": ["database"]}
    money = {"paid": "1500.00", "refunded": "0", "settled": 1, "problems": [], "recreated": [{"number": 4, "day": "2026-11-24", "total": "1500.00", "paid": "1500.00"}]}  # fmt: skip # noqa: E501
    done = Restore.objects.create(
        **values, phase="done", started_at=backup.taken_at, finished_at=backup.taken_at, exchanged_at=backup.taken_at,
        moment=backup.taken_at, undo_until=backup.taken_at, away_seconds=0.04, kept_schema="t_kept", requested_by="ops@comanda.test",
        report={"money": {"report": money, "key_id": "age1abc", "signature": "x"}},
    )  # fmt: skip
    row = {"change": "lost", "then": None, "now": {"id": 1, "business_date": "2026-11-24", "number": 4, "status": "pending", "payment_status": "pending", "total": 1500.0, "paid": 0.0}}  # fmt: skip # noqa: E501
    result = {"tables": [{"table": "shop_order", "now": 2, "then": 1, "lost": 1, "back": 0, "changed": 0}], "rows": {"shop_order": [row]}}
    preview = Job.objects.create(
        kind="ops.restores.jobs.preview", queue="long", cafeteria_uuid=uuid, arguments={"backup_id": str(backup.pk)},
        state="succeeded", result=result, finished_at=backup.taken_at, progress=1,
    )  # fmt: skip
    failed = Job.objects.create(
        kind="ops.backups.jobs.backup",
        queue="long",
        cafeteria_uuid=uuid,
        state="failed",
        error="OSError: full",
        finished_at=backup.taken_at,
    )
    return [
        "/", "/cafeterias", base, f"{base}/backups", f"{base}/restore?backup={backup.pk}", f"{base}/clone?backup={backup.pk}",
        f"{base}/close",
        f"/previews/{preview.pk}", f"/restores/{done.pk}", f"/restores/{done.pk}/undo", "/restores", "/jobs", f"/jobs/{failed.pk}",
        "/alerts", "/migrations", "/design",
    ]  # fmt: skip


@LOOKS
def test_axe_finds_nothing_and_nothing_jumps(site: Site, committed_world: World, folder: Path, look: dict[str, Any]) -> None:
    page, address = console(site, committed_world, **look)
    findings = Findings(page)
    for path in pages(site):
        page.goto(f"{address}{path}")
        findings.look(re.sub(r"[\w-]{36}", "id", path), page)
    assert findings.found == {}


@pytest.mark.parametrize("size", [{"width": 360, "height": 700}, DESK], ids=["phone", "desk"])
def test_nothing_is_too_wide(site: Site, committed_world: World, folder: Path, size: dict[str, int]) -> None:
    page, address = console(site, committed_world, size=size)
    wide = []
    for path in pages(site):
        page.goto(f"{address}{path}")
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            wide.append(path)
    assert wide == []
