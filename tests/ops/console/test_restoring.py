"""Backing up, looking, restoring and undoing from the console, without JavaScript."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from core.audit.models import AuditEntry
from core.jobs.actions import cancel_job
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.archive.errors import OutsideWindow
from ops.backups.actions import file_of
from ops.backups.models import Backup
from ops.console import targets
from ops.restores.actions import run_restore, start_restore
from ops.restores.models import Clone, Restore
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from shop.menu.models import Product
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from shop.orders.queries import order_by_secret
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.ops.console.desk import Desk


def in_cash(desk: Desk, number: int) -> None:
    uuid = desk.place.ref.uuid
    with tenant_scope(ref_by_uuid(uuid)):
        order = order_by_secret(Order.objects.get(number=number).secret)
        take_at_counter(cafeteria_uuid=uuid, order=facts_of(order, with_copy=True), method="cash", actor=Actor())


def run(response: object) -> str:
    """Run the job whose page an answer leads to; that page."""
    address = str(response["Location"])  # type: ignore[index]
    run_job(address.rpartition("/")[2])
    return address


def begun_restore(desk: Desk, backup: Backup) -> Restore:
    desk.send(f"{desk.base}/restore", backup=str(backup.pk), parts=["database", "files"], typed=desk.place.ref.slug)
    return Restore.objects.get(cafeteria_uuid=desk.place.ref.uuid)


def has(page: str, *words: str) -> dict[str, bool]:
    return {each: each in page for each in words}


def test_back_up_now(real_desk: Desk) -> None:
    desk = real_desk
    assert "There is no backup yet" in desk.read(f"{desk.base}/backups")
    key = re.findall(r'name="key" value="(\w+)"', desk.read(desk.base))[0]
    twice = {desk.send(f"{desk.base}/backups/take", key=key)["Location"] for _ in range(2)}
    assert len(twice) == 1
    (job_page,) = twice
    assert "A backup is under way" in desk.read(desk.base)
    run_job(job_page.rpartition("/")[2])
    assert "See the backups" in desk.read(job_page)
    assert AuditEntry.objects.filter(cafeteria_uuid=desk.place.ref.uuid, action="backup.requested").count() == 1
    backup = Backup.objects.get(cafeteria_uuid=desk.place.ref.uuid)
    assert f"{desk.base}/restore?backup={backup.pk}" in desk.read(f"{desk.base}/backups")


def test_what_would_change_is_said_in_words(real_desk: Desk) -> None:
    desk, backup = real_desk, real_desk.backup()
    paid, unpaid = desk.order(), desk.order()
    in_cash(desk, paid)
    with tenant_scope(desk.place.ref):
        Product.objects.filter(pk=desk.place.coffee).update(price="1234.50")
    preview = run(desk.send(f"{desk.base}/preview", backup=str(backup.pk)))
    page = desk.read(preview)
    expected = (f"Order {paid}", f"Order {unpaid}", "would be gone", "Price: $ 1.234,50 now, $ 1.000 then", f"Payment: Order {paid}")
    assert has(page, *expected, "Its $ 1.000 stay paid: the order is made again.") == dict.fromkeys(
        (*expected, "Its $ 1.000 stay paid: the order is made again."), True
    )
    assert has(page, "shop_order", "Order numbers of the day", " autofocus") == dict.fromkeys(
        ("shop_order", "Order numbers of the day", " autofocus"), False
    )
    assert "desaparecería" in desk.read(preview, "es")
    assert "The last preview:" in desk.read(f"{desk.base}/restore?backup={backup.pk}")


def test_a_restore_asks_for_the_address_and_is_followed_to_its_report(real_desk: Desk) -> None:
    desk, backup, slug = real_desk, real_desk.backup(), real_desk.place.ref.slug
    paid = desk.order()
    in_cash(desk, paid)
    values = {"backup": str(backup.pk), "parts": ["database", "files"]}
    for wrong in ("sol", slug.upper(), ""):
        refused = desk.send(f"{desk.base}/restore", **values, typed=wrong)
        assert (refused.status_code, " autofocus" in refused.text) == (422, True)
    assert not Restore.objects.filter(cafeteria_uuid=desk.place.ref.uuid).exists()
    first, again = (desk.send(f"{desk.base}/restore", **values, typed=slug)["Location"] for _ in range(2))
    assert first == again
    restore = Restore.objects.get(cafeteria_uuid=desk.place.ref.uuid)
    expected = ("It waits for a worker", "Take a safety copy of now", "Cancel it", "data-poll")
    assert has(desk.read(first), *expected) == dict.fromkeys(expected, True)
    run_job(str(restore.job_id))
    expected = ("The restore is done", "Orders made again", f"Order {paid} of", "It can be undone until")
    assert has(desk.read(first), *expected, "data-poll") == {**dict.fromkeys(expected, True), "data-poll": False}
    assert "La restauración terminó" in desk.read(first, "es")


def test_an_undo_asks_for_the_address_and_happens_once(real_desk: Desk) -> None:
    desk, slug = real_desk, real_desk.place.ref.slug
    backup, number = real_desk.backup(), real_desk.order()
    restore = begun_restore(desk, backup)
    run_job(str(restore.job_id))
    page = f"/console/restores/{restore.pk}"
    assert desk.send(f"{page}/undo", typed="no").status_code == 422
    assert {desk.send(f"{page}/undo", typed=slug)["Location"] for _ in range(2)} == {page}
    run_job(str(Job.objects.get(kind="ops.restores.jobs.undo").pk))
    expected = ("It is undone.", "The money after the undo")
    assert has(desk.read(page), *expected, "Undo it…") == {**dict.fromkeys(expected, True), "Undo it…": False}
    assert "it is undone already" in desk.send(f"{page}/undo", typed=slug).text
    with tenant_scope(ref_by_uuid(desk.place.ref.uuid)):
        assert list(Order.objects.values_list("number", flat=True)) == [number]
    asked = AuditEntry.objects.get(cafeteria_uuid=desk.place.ref.uuid, action="restore.undo_requested")
    undone = AuditEntry.objects.get(cafeteria_uuid=desk.place.ref.uuid, action="restore.undone")
    assert asked.actor_label == undone.actor_label == User.objects.get(pk=desk.world.admin).email
    assert has(desk.read("/console/restores"), slug, "undone") == {slug: True, "undone": True}


def test_a_restore_that_is_cancelled_and_one_that_is_live(real_desk: Desk) -> None:
    desk = real_desk
    backup = desk.backup()
    first = start_restore(cafeteria_uuid=desk.place.ref.uuid, backup_id=backup.pk, by="somebody@comanda.test")
    refused = desk.send(f"{desk.base}/restore", backup=str(backup.pk), parts=["database"], typed=desk.place.ref.slug)
    assert (refused.status_code, "under way" in refused.text) == (409, True)
    address = f"/console/restores/{first.pk}"
    part = desk.admin.get(f"{address}/state")
    assert (part.status_code, desk.admin.get(f"{address}/state", headers={"if-none-match": part["ETag"]}).status_code) == (200, 304)
    assert desk.send(f"{address}/cancel")["Location"] == address
    first.refresh_from_db()
    assert (first.phase, "The restore did not happen" in desk.read(address)) == ("failed", True)
    assert desk.admin.get(f"{address}/state").status_code == 286
    second = run_restore(restore_id=start_restore(cafeteria_uuid=desk.place.ref.uuid, backup_id=backup.pk).pk)
    desk.send(f"/console/restores/{second.pk}/cancel")
    assert "It is too late to stop this restore" in desk.read(f"/console/restores/{second.pk}")
    Restore.objects.filter(pk=second.pk).update(undo_until=timezone.now() - timedelta(seconds=1))
    page = desk.read(f"/console/restores/{second.pk}")
    assert ("The time to undo it ended" in page, "Undo it…" in page) == (True, False)
    assert "its time is over" in desk.send(f"/console/restores/{second.pk}/undo", typed=desk.place.ref.slug).text


def test_a_restore_whose_job_died_says_how_to_go_on(real_desk: Desk) -> None:
    desk = real_desk
    restore = start_restore(cafeteria_uuid=desk.place.ref.uuid, backup_id=desk.backup().pk)
    assert restore.job_id is not None
    cancel_job(job_id=restore.job_id)
    page = desk.read(f"/console/restores/{restore.pk}")
    assert ("Its job has ended before it did." in page, "Try the job again" in page) == (True, True)
    desk.send(f"/console/jobs/{restore.job_id}/retry")
    run_job(str(restore.job_id))
    assert "The restore is done" in desk.read(f"/console/restores/{restore.pk}")


def test_nothing_would_change_and_pictures_alone(real_desk: Desk) -> None:
    desk, backup = real_desk, real_desk.backup()
    page = desk.read(run(desk.send(f"{desk.base}/preview", backup=str(backup.pk))))
    assert "Nothing would change" in page
    none = desk.send(f"{desk.base}/restore", backup=str(backup.pk), typed=desk.place.ref.slug)
    assert (none.status_code, "Choose the data, the pictures or both." in none.text) == (422, True)
    begun = desk.send(f"{desk.base}/restore", backup=str(backup.pk), parts=["files"], typed=desk.place.ref.slug)
    run_job(str(Restore.objects.get(cafeteria_uuid=desk.place.ref.uuid).job_id))
    assert "The pictures are put back." in desk.read(begun["Location"])


def test_a_preview_that_fails_says_so(real_desk: Desk) -> None:
    desk, backup = real_desk, real_desk.backup()
    file_of(backup).write_bytes(b"")
    page = desk.read(run(desk.send(f"{desk.base}/preview", backup=str(backup.pk))))
    assert ("The preview failed. Nothing has changed." in page, "Choose another backup" in page) == (True, True)


def test_a_copy_under_another_address(real_desk: Desk) -> None:
    desk, backup = real_desk, real_desk.backup()
    slug = f"copia-{uuid4().hex[:8]}"
    taken = desk.send(f"{desk.base}/clone", backup=str(backup.pk), slug=desk.world.b.ref.slug)
    assert (taken.status_code, "is taken" in taken.text) == (422, True)
    begun = {desk.send(f"{desk.base}/clone", backup=str(backup.pk), slug=slug)["Location"] for _ in range(2)}
    assert len(begun) == 1
    (address,) = begun
    assert "It waits for a worker" in desk.read(address)
    clone = Clone.objects.get(slug=slug)
    run_job(str(clone.job_id))
    assert "The copy is there." in desk.read(address)
    copy = Cafeteria.objects.get(slug=slug)
    assert "Copy of" in desk.read(f"/console/cafeterias/{copy.pk}")


def test_moments_are_offered_while_there_is_an_archive(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No archive of every moment is kept here yet" in desk.read(f"{desk.base}/backups")
    assert "is no day and time" in desk.admin.get(f"{desk.base}/moment?at=yesterday", follow=True).text
    seen: list[datetime] = []
    monkeypatch.setattr(targets, "check_moment", seen.append)
    start, end = datetime(2026, 11, 20, 3, 0, tzinfo=UTC), datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
    monkeypatch.setattr(targets, "window", lambda _folder: (start, end))
    page = desk.read(f"{desk.base}/backups")
    assert "From 20 Nov 2026, 00:00:00 to 24 Nov 2026, 17:00:00" in page
    response = desk.admin.get(f"{desk.base}/moment?at=2026-11-24T14:05:09")
    assert seen == [datetime(2026, 11, 24, 17, 5, 9, tzinfo=UTC)]
    page = desk.read(response["Location"])
    assert ("24 Nov 2026, 14:05:09" in page, 'name="at" value="2026-11-24T17:05:09+00:00"' in page) == (True, True)
    sent = desk.send(f"{desk.base}/restore", at="2020-01-01T00:00:00+00:00", parts=["database"], typed=desk.place.ref.slug)
    assert (sent.status_code, OutsideWindow.template().split(":")[0] in sent.text) == (400, True)


def test_a_backup_is_proven_now(real_desk: Desk) -> None:
    desk, backup = real_desk, real_desk.backup()
    key = re.findall(rf'backups/{backup.pk}/prove".*?name="key" value="(\w+)"', desk.read(f"{desk.base}/backups"), re.DOTALL)[0]
    twice = {desk.send(f"{desk.base}/backups/{backup.pk}/prove", key=key)["Location"] for _ in range(2)}
    assert len(twice) == 1
    (job_page,) = twice
    assert f'href="{job_page}">A proof is under way' in desk.read(f"{desk.base}/backups")
    desk.run(job_page)
    assert has(desk.read(f"{desk.base}/backups"), ">proven<", "Prove it now") == {">proven<": True, "Prove it now": True}
    asked = AuditEntry.objects.get(cafeteria_uuid=desk.place.ref.uuid, action="backup.proof_requested")
    assert (asked.actor_id, asked.target) == (desk.world.admin, job_page.rpartition("/")[2])
    assert desk.send(f"/console/cafeterias/{desk.world.b.ref.id}/backups/{backup.pk}/prove").status_code == 404


def test_a_proof_that_fails_says_why_and_an_older_one_settles_nothing(real_desk: Desk) -> None:
    desk, older = real_desk, real_desk.backup()
    newer = desk.backup()
    file_of(newer).write_bytes(b"")
    job_page = desk.run(desk.send(f"{desk.base}/backups/{newer.pk}/prove")["Location"])
    for page in (desk.read(job_page, "es"), desk.read(f"{desk.base}/backups", "es"), desk.read(desk.base, "es")):
        assert "No se puede usar el respaldo: está vacío, o no existe ese archivo." in page
    desk.run(desk.send(f"{desk.base}/backups/{older.pk}/prove")["Location"])
    assert "Un respaldo no pasó la prueba" in desk.read(desk.base, "es")


def test_what_cannot_be_undone_offers_no_undo(real_desk: Desk) -> None:
    desk = real_desk
    waiting = start_restore(cafeteria_uuid=desk.place.ref.uuid, backup_id=desk.backup().pk)
    assert desk.admin.get(f"/console/restores/{waiting.pk}/undo")["Location"] == f"/console/restores/{waiting.pk}"
    refused = desk.send(f"/console/restores/{waiting.pk}/undo", typed=desk.place.ref.slug)
    assert (refused.status_code, "it has not exchanged anything." in refused.text) == (409, True)


def test_refusals_are_by_the_cafeterias_clock(real_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, zone = real_desk, real_desk.place.ref.timezone

    def refuse(_at: datetime) -> None:
        raise OutsideWindow(
            "{at} UTC is before {first} UTC, from which on any moment can be had.", at="2026-11-20 03:00:00", first="2026-11-24 15:30:00"
        )

    monkeypatch.setattr(targets, "check_moment", refuse)
    desk.admin.cookies["lang"] = "es"
    page = str(desk.admin.get(f"{desk.base}/moment?at=2026-11-20T00:00:00", follow=True).text)
    assert f"20 nov 2026, 00:00:00 es antes de 24 nov 2026, 12:30:00 ({zone})" in page
    begun = start_restore(cafeteria_uuid=desk.place.ref.uuid, backup_id=desk.backup().pk)
    Restore.objects.filter(pk=begun.pk).update(phase="failed", error=str(OutsideWindow("it is in the future.")))
    assert "El archivo no puede volver a ese momento: está en el futuro." in desk.read(f"/console/restores/{begun.pk}", "es")
    assert f"Todas las horas son las de la cafetería ({zone})." in desk.read(f"/console/restores?cafeteria={desk.place.ref.id}", "es")
