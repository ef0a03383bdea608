"""A bundle as a cafeteria of its own: all of it or nothing, harmless to the original and to everybody outside."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.queries import owned_cafeterias
from billing.looking import begin_missing_trials
from billing.models import Subscription
from core.audit.models import AuditEntry
from core.jobs.actions import cancel_job
from core.jobs.errors import JobCancelled
from core.jobs.models import Job
from ops.backups.actions import file_of, fingerprints, take_backup
from ops.backups.models import Backup
from ops.backups.queries import standings
from ops.restores.clones import run_clone, start_clone, sweep_clones
from ops.restores.errors import CloneFailed
from ops.restores.keeping import close_ended_copies, erase_dropped_copies
from ops.restores.models import Clone
from payments.sellers.actions import begin_connection
from payments.sellers.models import Seller
from shop.menu.models import Product
from shop.money.books.actions import check_all_books
from shop.orders.models import IdempotencyKey, Order
from shop.people.actions import issue_owner_token
from shop.people.jobs import mail_reset_link
from shop.people.models import Person, PersonSession
from tenants.actions import drop_closed_cafeteria
from tenants.errors import CopyStaysApart, SlugReserved, SlugTaken
from tenants.models import Cafeteria
from tenants.provisioning.schema import drop_schema
from tenants.queries import open_cafeterias, ref_by_uuid, ref_for
from tenants.scope import tenant_scope
from tests.ops.backups.bundles import written_bundle
from tests.processes import committed_queue
from tests.world import PASSWORD, Place, World

PICTURE = b"a picture"


class Killed(BaseException):
    """As if the process were gone: nobody catches it."""


@pytest.fixture
def place(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[Place]:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    with committed_queue():
        yield committed_world.a
    for copy in Cafeteria.objects.filter(copy_of=committed_world.a.ref.uuid):
        drop_schema(copy.schema_name)
        Cafeteria.objects.filter(pk=copy.pk).delete()
    Clone.objects.filter(cafeteria_uuid=committed_world.a.ref.uuid).delete()


@pytest.fixture
def slug(place: Place) -> str:
    return f"copy-{place.ref.slug}"


@pytest.fixture
def backup(place: Place) -> Backup:
    """With a picture, an order, and an order that waits for its payment online."""
    for size in (400, 1200):
        default_storage.save(f"cafeterias/{place.ref.uuid}/{'a' * 64}-{size}.webp", ContentFile(PICTURE))
    for key in ("one", "two"):
        headers = {"idempotency-key": key}
        answer = place.client().post("/api/v1/orders", place.order(guest={"name": "Ana"}), content_type="application/json", headers=headers)
        assert answer.status_code == 201
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(image="a" * 64)
        Order.objects.filter(number=2).update(pay_by=timezone.now() + timedelta(minutes=9))
    return take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")


def copied(place: Place, slug: str, **source: Any) -> tuple[Cafeteria, Place]:
    """(the copy's row, how to act there with the ids of the original's people)."""
    clone = run_clone(clone_id=start_clone(cafeteria_uuid=place.ref.uuid, slug=slug, by="ops@comanda.test", **source).pk)
    assert clone.phase == "done"
    cafeteria = Cafeteria.objects.get(slug=slug)
    assert (cafeteria.uuid, cafeteria.pk) == (clone.copy_uuid, clone.copy_id)
    return cafeteria, Place(ref=ref_for(cafeteria), canary=place.canary, people=place.people, sessions=place.sessions, coffee=place.coffee)


def left_of(clone: Clone) -> list[str]:
    """Schemas, rows and files of a copy that was not to be."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = %s", [f"t_{clone.copy_id}"])
        found = [name for (name,) in cursor.fetchall()]
    found += [row.slug for row in Cafeteria.objects.filter(uuid=clone.copy_uuid)]
    folder = f"cafeterias/{clone.copy_uuid}"
    return found + (default_storage.listdir(folder)[1] if default_storage.exists(folder) else [])


def as_owner(copy: Place, world: World) -> Client:
    with tenant_scope(copy.ref):
        token = issue_owner_token(email="owner@owners.test", full_name="Owner", platform_user_id=world.owner_a)
    return Client(headers={"host": copy.host, "authorization": f"Bearer {token}"})


def test_rows_and_pictures_are_those_of_the_backup(place: Place, backup: Backup, slug: str) -> None:
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="9999.00")
        secrets = set(Order.objects.values_list("secret", flat=True))
    cafeteria, copy = copied(place, slug, backup_id=backup.pk)
    assert (cafeteria.copy_of, cafeteria.copied_moment, cafeteria.status) == (place.ref.uuid, backup.taken_at, "open")
    assert cafeteria.schema_name != place.ref.schema_name
    with tenant_scope(copy.ref):
        assert str(Product.objects.get(pk=place.coffee).price) == "1000.00"
        assert list(Order.objects.order_by("number").values_list("number", "status", "pay_by")) == [
            (1, "pending", None),
            (2, "cancelled", None),
        ]
        assert secrets.isdisjoint(Order.objects.values_list("secret", flat=True))
        assert not IdempotencyKey.objects.exists()
    key = f"cafeterias/{copy.ref.uuid}/{'a' * 64}-400.webp"
    default_storage.delete(f"cafeterias/{place.ref.uuid}/{'a' * 64}-400.webp")
    with default_storage.open(key) as file:
        assert file.read() == PICTURE


def test_the_original_is_as_it_was(place: Place, backup: Backup, slug: str, tmp_path: Path) -> None:
    before = written_bundle(place.ref, tmp_path / "before").manifest.tables
    copied(place, slug, backup_id=backup.pk)
    assert ref_by_uuid(place.ref.uuid) == place.ref
    assert place.client("manager").get("/api/v1/auth/me").status_code == 200
    assert written_bundle(place.ref, tmp_path / "after").manifest.tables == before


def test_from_a_file_and_from_an_hourly_bundle(place: Place, backup: Backup, slug: str) -> None:
    copied(place, f"{slug}-file", file=str(file_of(backup)))
    hourly = take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
    _, copy = copied(place, f"{slug}-hourly", backup_id=hourly.pk)
    with default_storage.open(f"cafeterias/{copy.ref.uuid}/{'a' * 64}-1200.webp") as file:
        assert file.read() == PICTURE


def test_nobody_but_the_owner_comes_in(place: Place, backup: Backup, slug: str, committed_world: World) -> None:
    _, copy = copied(place, slug, backup_id=backup.pk)
    with tenant_scope(copy.ref):
        assert not PersonSession.objects.exists()
        assert set(Person.objects.filter(is_active=True).values_list("role", flat=True)) <= {"owner"}
    for role in ("manager", "customer"):
        assert copy.client(role).get("/api/v1/auth/me").status_code == 401
        sign_in = {"username": f"{role}@people.test", "password": PASSWORD}
        assert copy.client().post("/api/v1/auth/login", sign_in).status_code == 401
    owner = as_owner(copy, committed_world)
    assert len(owner.get("/api/v1/orders").json()["items"]) == 2


def test_the_staff_comes_in_when_it_was_asked_for(place: Place, backup: Backup, slug: str) -> None:
    _, copy = copied(place, slug, backup_id=backup.pk, with_staff=True)
    answers = [
        copy.client().post("/api/v1/auth/login", {"username": f"{role}@people.test", "password": PASSWORD}).status_code
        for role in ("cashier", "customer")
    ]
    assert answers == [200, 401]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/", 302),
        ("get", "/cart", 302),
        ("get", "/sign-up", 302),
        ("get", "/password/forgotten", 302),
        ("get", "/staff", 302),
        ("get", "/sign-in", 200),
        ("get", "/api/v1/products", 401),
        ("post", "/api/v1/orders", 401),
        ("post", "/api/v1/auth/register", 401),
    ],
)
def test_it_is_closed_to_the_public(place: Place, backup: Backup, slug: str, method: str, path: str, status: int) -> None:
    _, copy = copied(place, slug, backup_id=backup.pk)
    answer = getattr(Client(headers={"host": copy.host}), method)(path, place.order(), content_type="application/json")
    assert (answer.status_code, answer.headers["X-Robots-Tag"]) == (status, "noindex, nofollow, noarchive")
    if status == 200:
        assert 'content="noindex, nofollow"' in answer.content.decode()
        assert place.ref.slug in answer.content.decode()
        assert "Se cierra sola el" in answer.content.decode()
    assert "X-Robots-Tag" not in Client(headers={"host": place.host}).get("/").headers


def test_no_money_and_no_mail_leave_it(place: Place, backup: Backup, slug: str, committed_world: World) -> None:
    _, copy = copied(place, slug, backup_id=backup.pk)
    assert not Seller.objects.filter(cafeteria_uuid=copy.ref.uuid).exists()
    with pytest.raises(CopyStaysApart):
        begin_connection(cafeteria_uuid=copy.ref.uuid, person=place.caller("owner"))
    run: Any = type("Run", (), {"cafeteria": copy.ref})
    assert mail_reset_link(run, account_id=place.people["manager"], page="/password/new", language="es") == {"sent": False}
    owner = as_owner(copy, committed_world)
    order = next(order for order in owner.get("/api/v1/orders").json()["items"] if order["status"] == "pending")
    asked = owner.post(
        "/api/v1/payments/create-preference", {"order_id": order["id"], "amount": order["total"]}, content_type="application/json"
    )
    assert (asked.status_code, asked.json()["code"]) == (409, "not_connected"), asked.content


def test_its_owner_sees_what_it_is(place: Place, backup: Backup, slug: str, committed_world: World) -> None:
    copied(place, slug, backup_id=backup.pk)
    found = {owned.cafeteria.slug: owned for owned in owned_cafeterias(committed_world.owner_a)}
    assert (found[slug].plan, str(backup.taken_at.year) in found[slug].copied_moment) == (None, True)
    assert (found[slug].closes_at != "", found[place.ref.slug].copied_moment, found[place.ref.slug].closes_at) == (True, "", "")


def test_it_is_no_customer_of_the_platform(place: Place, backup: Backup, slug: str) -> None:
    cafeteria, copy = copied(place, slug, backup_id=backup.pk)
    begin_missing_trials()
    assert not Subscription.objects.filter(cafeteria_uuid=copy.ref.uuid).exists()
    assert str(copy.ref.uuid) not in fingerprints()
    assert cafeteria.pk not in {standing.cafeteria.pk for standing in standings()}
    assert cafeteria not in open_cafeterias()
    assert copy.ref.uuid not in {books.ref.uuid for books in check_all_books()}


def test_addresses_that_cannot_be_had(place: Place, backup: Backup, slug: str) -> None:
    with pytest.raises(SlugTaken):
        start_clone(cafeteria_uuid=place.ref.uuid, slug=place.ref.slug, backup_id=backup.pk)
    with pytest.raises(SlugReserved):
        start_clone(cafeteria_uuid=place.ref.uuid, slug="admin", backup_id=backup.pk)
    first = start_clone(cafeteria_uuid=place.ref.uuid, slug=slug, backup_id=backup.pk)
    with pytest.raises(SlugTaken):
        start_clone(cafeteria_uuid=place.ref.uuid, slug=slug, backup_id=backup.pk)
    assert first.job_id is not None
    cancel_job(job_id=first.job_id)
    second = start_clone(cafeteria_uuid=place.ref.uuid, slug=slug, backup_id=backup.pk)
    with pytest.raises(CloneFailed):
        run_clone(clone_id=first.pk)
    assert run_clone(clone_id=second.pk).phase == "done"


def test_another_cafeterias_bundle_is_refused(place: Place, slug: str, committed_world: World, tmp_path: Path) -> None:
    written_bundle(committed_world.b.ref, tmp_path / "b.bundle")
    clone = start_clone(cafeteria_uuid=place.ref.uuid, slug=slug, file=str(tmp_path / "b.bundle"))
    with pytest.raises(Exception, match="another cafeteria"):
        run_clone(clone_id=clone.pk)
    clone.refresh_from_db()
    assert (clone.phase, "another cafeteria" in clone.error, left_of(clone)) == ("failed", True, [])


def test_killed_at_every_step(place: Place, backup: Backup, slug: str) -> None:
    steps: list[str] = []
    clone = start_clone(cafeteria_uuid=place.ref.uuid, slug=f"{slug}-0", backup_id=backup.pk)
    run_clone(clone_id=clone.pk, step=lambda _fraction, what: steps.append(what))
    assert {"look", "media", "migrations", "neutralise", "done"} <= set(steps)
    interesting = {number for number, what in enumerate(steps) if what in {"media", "migrations", "neutralise", "done"}}
    for number in sorted(interesting | set(range(0, len(steps), 9))):
        passed = iter(range(number, -1, -1))

        def step(_fraction: float, _what: str, passed: Iterator[int] = passed) -> None:
            if next(passed, 1) == 0:
                raise Killed

        clone = start_clone(cafeteria_uuid=place.ref.uuid, slug=f"{slug}-{number + 1}", backup_id=backup.pk)
        with pytest.raises(Killed):
            run_clone(clone_id=clone.pk, step=step)
        done = steps[number] == "done"
        assert Cafeteria.objects.filter(uuid=clone.copy_uuid).exists() == done, steps[number]
        if number % 2:
            assert run_clone(clone_id=clone.pk).phase == "done"
            continue
        Job.objects.filter(cafeteria_uuid=place.ref.uuid).update(state="failed")
        sweep_clones()
        clone.refresh_from_db()
        assert (clone.phase, left_of(clone) == []) == ("done" if done else "failed", not done), steps[number]


def test_cancelled_while_it_is_made(place: Place, backup: Backup, slug: str) -> None:
    def step(fraction: float, _what: str) -> None:
        if fraction > 0.5:
            raise JobCancelled

    clone = start_clone(cafeteria_uuid=place.ref.uuid, slug=slug, backup_id=backup.pk)
    with pytest.raises(JobCancelled):
        run_clone(clone_id=clone.pk, step=step)
    clone.refresh_from_db()
    assert (clone.phase, clone.media, left_of(clone)) == ("failed", [], [])


def test_it_is_closed_when_its_time_is_over_and_leaves_no_pictures(place: Place, backup: Backup, slug: str) -> None:
    for days in (30, 0):
        copied(place, f"{slug}-{days}", backup_id=backup.pk, keep_days=days)
    assert close_ended_copies() == 0
    ending = Cafeteria.objects.get(slug=f"{slug}-30")
    Cafeteria.objects.filter(copy_of=place.ref.uuid, closes_at__isnull=False).update(closes_at=timezone.now() - timedelta(seconds=1))
    assert (close_ended_copies(), close_ended_copies()) == (1, 0)
    assert dict(Cafeteria.objects.filter(copy_of=place.ref.uuid).values_list("slug", "status")) == {
        f"{slug}-30": "closed",
        f"{slug}-0": "open",
    }
    assert AuditEntry.objects.filter(cafeteria_uuid=ending.uuid, action="cafeteria.closed").exists()
    assert not Job.objects.filter(kind="ops.backups.jobs.final", cafeteria_uuid=ending.uuid).exists()
    folder = f"cafeterias/{ending.uuid}"
    assert (erase_dropped_copies(), len(default_storage.listdir(folder)[1])) == (0, 2)  # As long as it could be looked at.
    Cafeteria.objects.filter(pk=ending.pk).update(closed_at=timezone.now() - timedelta(days=31))
    assert drop_closed_cafeteria(cafeteria_id=ending.pk)
    assert (erase_dropped_copies(), erase_dropped_copies(), default_storage.listdir(folder)[1]) == (1, 0, [])
    assert default_storage.exists(f"cafeterias/{place.ref.uuid}/{'a' * 64}-400.webp")
