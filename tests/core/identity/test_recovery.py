"""A new password by mail, on the platform and at a cafeteria: the pages, the job and the mail that a real server takes."""

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from core.jobs import JobRun, Json
from core.jobs.functions import resolve_job
from core.jobs.models import Job
from core.jobs.run import Claim
from core.passwords import hash_password
from shop.people.models import Person
from tenants.actions import suspend_cafeteria
from tenants.errors import CafeteriaSuspended
from tenants.job_scope import scope_for_job
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.core.notices.collectors import Mailbox, mail_server
from tests.world import PASSWORD, World

pytestmark = pytest.mark.django_db
NEW = "seven green kettles"
PLATFORM = "localhost:8000"


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    with mail_server() as box:
        settings.MAILERS = box.settings()
        yield box


@pytest.fixture
def ana(world: World) -> User:
    return User.objects.create(email="ana@owners.test", full_name="Ana", password=hash_password(PASSWORD), role="owner")


def browser(host: str) -> Client:
    return Client(headers={"host": host})


def ask(host: str, email: str, *, client: Client | None = None) -> Job:
    """Ask for a link; the job that this has added."""
    before = set(Job.objects.values_list("pk", flat=True))
    response = (client or browser(host)).post("/password/forgotten", {"email": email})
    assert (response.status_code, response["Location"]) == (302, "/password/forgotten?asked")
    [job] = Job.objects.exclude(pk__in=before)
    return job


def work(job: Job) -> Json:
    """What the job comes to, without a worker: the test's rows are not committed."""
    cafeteria = scope_for_job(job.cafeteria_uuid) if job.cafeteria_uuid else None
    claim = Claim(
        job_id=job.pk,
        token=uuid4(),
        kind=job.kind,
        queue=job.queue,
        attempt=1,
        cafeteria_uuid=job.cafeteria_uuid,
        arguments=job.arguments,
    )
    return resolve_job(job.kind)(JobRun(claim, cafeteria=cafeteria), **job.arguments)


def ask_and_mail(host: str, email: str, *, client: Client | None = None) -> Json:
    return work(ask(host, email, client=client))


def link_in(mailbox: Mailbox, number: int = -1) -> str:
    [link] = re.findall(r"https?://\S+", mailbox.mails[number].get_content())
    return str(link)


def follow(client: Client, link: str) -> str:
    """Where the link leads after its token has gone into the session."""
    response = client.get("/" + link.split("/", 3)[3])
    assert response.status_code == 302
    assert response["Location"] == "/password/new"
    return str(response["Location"])


def test_an_owner_gets_a_link_and_is_in_with_the_new_password(mailbox: Mailbox, ana: User) -> None:
    other = browser(PLATFORM)
    assert other.post("/sign-in", {"email": ana.email, "password": PASSWORD}).status_code == 302
    job = ask(PLATFORM, "  ANA@owners.test ")
    assert job.arguments["account_id"] == ana.pk
    assert work(job) == {"sent": True}
    assert mailbox.recipients == [["ana@owners.test"]]
    assert mailbox.mails[0]["Subject"] == "Nueva contraseña en Comanda"
    link, client = link_in(mailbox), browser(PLATFORM)
    assert link.startswith("http://localhost:8000/password/new?token=")
    assert 'name="new"' in client.get(follow(client, link)).content.decode()
    weak = client.post("/password/new", {"new": "short"})
    assert weak.status_code == 422
    assert client.post("/password/new", {"new": NEW})["Location"] == "/home"
    assert client.get("/home").status_code == 200
    assert other.get("/home").status_code == 302
    assert browser(PLATFORM).post("/sign-in", {"email": ana.email, "password": PASSWORD}).status_code == 422
    assert browser(PLATFORM).post("/sign-in", {"email": ana.email, "password": NEW}).status_code == 302


def test_a_link_works_once(mailbox: Mailbox, ana: User) -> None:
    ask_and_mail(PLATFORM, ana.email)
    first, second = browser(PLATFORM), browser(PLATFORM)
    for client in (first, second):
        follow(client, link_in(mailbox))
    assert first.post("/password/new", {"new": NEW}).status_code == 302
    refused = second.post("/password/new", {"new": "another good kettle"})
    assert refused.status_code == 410
    assert "Este enlace ya se usó o venció" in refused.content.decode()
    ana.refresh_from_db()
    assert browser(PLATFORM).post("/sign-in", {"email": ana.email, "password": NEW}).status_code == 302


def test_a_link_holds_for_an_hour(mailbox: Mailbox, ana: User) -> None:
    ask_and_mail(PLATFORM, ana.email)
    client = browser(PLATFORM)
    follow(client, link_in(mailbox))
    with time_machine.travel(timezone.now() + timedelta(minutes=59), tick=False):
        assert client.get("/password/new").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
        assert client.get("/password/new").status_code == 410


@pytest.mark.parametrize("token", ["", "nonsense", "WzEsMV0:1wXyZ0:abc", "x" * 5_000])
def test_a_forged_link_is_refused(token: str, ana: User) -> None:
    client = browser(PLATFORM)
    client.get("/password/new", {"token": token})
    assert client.get("/password/new").status_code == 410
    assert client.post("/password/new", {"new": NEW}).status_code == 410


def test_a_customer_gets_a_link_to_the_cafeterias_own_site(world: World, mailbox: Mailbox) -> None:
    ask_and_mail(world.a.host, "customer@people.test")
    assert world.a.ref.name in mailbox.mails[0]["Subject"]
    link, client = link_in(mailbox), browser(world.a.host)
    assert link.startswith(f"http://{world.a.host}/password/new?token=")
    follow(client, link)
    assert client.post("/password/new", {"new": NEW})["Location"] == "/"
    assert client.get("/account").status_code == 200
    with tenant_scope(world.a.ref):
        assert Person.objects.get(email="customer@people.test").token_version == 2
    with tenant_scope(world.b.ref):
        assert Person.objects.get(email="customer@people.test").token_version == 1


def test_a_link_of_one_cafeteria_is_worth_nothing_at_another_nor_on_the_platform(world: World, mailbox: Mailbox) -> None:
    ask_and_mail(world.a.host, "customer@people.test")
    for host in (world.b.host, PLATFORM):
        client = browser(host)
        follow(client, link_in(mailbox))
        assert client.get("/password/new").status_code == 410


def test_a_link_of_before_a_restore_is_void(world: World, mailbox: Mailbox) -> None:
    ask_and_mail(world.a.host, "customer@people.test")
    Cafeteria.objects.filter(pk=world.a.ref.id).update(generation=7, revision=70)
    client = browser(world.a.host)
    follow(client, link_in(mailbox))
    assert client.get("/password/new").status_code == 410


def test_nobody_learns_who_has_an_account(world: World, mailbox: Mailbox, ana: User) -> None:
    jobs = [ask(PLATFORM, email) for email in (ana.email, "nobody@owners.test", "no address")]
    assert [job.kind for job in jobs] == ["accounts.jobs.mail_reset_link"] * 3
    assert [work(job) for job in jobs] == [{"sent": True}, {"sent": False}, {"sent": False}]
    assert all("@" not in str(job.arguments) for job in jobs)
    assert len(mailbox.mails) == 1
    page = browser(PLATFORM).get("/password/forgotten?asked").content.decode()
    assert "Si hay una cuenta con esa dirección" in page


def test_an_inactive_account_and_whoever_comes_by_hand_off_get_none(world: World, mailbox: Mailbox) -> None:
    with tenant_scope(world.a.ref):
        Person.objects.filter(email="customer@people.test").update(is_active=False)
        Person.objects.filter(email="owner@people.test").update(platform_user_id=12)
    assert ask_and_mail(world.a.host, "customer@people.test") == {"sent": False}
    assert ask_and_mail(world.a.host, "owner@people.test") == {"sent": False}


def test_an_account_gets_three_mails_and_whoever_asks_hears_nothing_of_it(mailbox: Mailbox, ana: User) -> None:
    results = [ask_and_mail(PLATFORM, ana.email) for _ in range(5)]
    assert results == [{"sent": True}] * 3 + [{"sent": False}] * 2
    assert len(mailbox.mails) == 3


def test_an_address_that_asks_too_often_has_to_wait(settings: Settings, ana: User) -> None:
    settings.LOGIN_FAILURES_PER_ADDRESS = 2
    for number in range(2):
        ask(PLATFORM, f"{number}@owners.test")
    refused = browser(PLATFORM).post("/password/forgotten", {"email": ana.email})
    assert refused.status_code == 429
    assert "Retry-After" in refused


def test_a_new_password_ends_a_lock_out(mailbox: Mailbox, ana: User, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = 1
    tries = [browser(PLATFORM).post("/sign-in", {"email": ana.email, "password": "wrong"}).status_code for _ in range(2)]
    assert tries == [422, 429]
    ask_and_mail(PLATFORM, ana.email)
    client = browser(PLATFORM)
    follow(client, link_in(mailbox))
    client.post("/password/new", {"new": NEW})
    assert browser(PLATFORM).post("/sign-in", {"email": ana.email, "password": NEW}).status_code == 302


def test_a_mail_that_is_not_taken_is_tried_again_as_the_same(mailbox: Mailbox, ana: User) -> None:
    mailbox.refuse = "451 later"
    job = ask(PLATFORM, ana.email)
    with pytest.raises(OSError, match="451"):
        work(job)
    mailbox.refuse = ""
    work(job)
    assert mailbox.mails[0]["Message-ID"] == f"<reset-{job.pk}@localhost>"


def test_it_is_in_the_language_of_the_page(mailbox: Mailbox, ana: User) -> None:
    client = browser(PLATFORM)
    client.cookies["lang"] = "en"
    ask_and_mail(PLATFORM, ana.email, client=client)
    assert mailbox.mails[0]["Subject"] == "New password at Comanda"


def test_the_way_there_is_on_the_sign_in_page_where_there_is_mail(world: World, settings: Settings) -> None:
    for host in (PLATFORM, world.a.host):
        assert 'href="/password/forgotten"' in browser(host).get("/sign-in").content.decode()
    settings.MAIL_ENABLED = False
    for host in (PLATFORM, world.a.host):
        assert "/password/forgotten" not in browser(host).get("/sign-in").content.decode()
        assert browser(host).get("/password/forgotten").status_code == 404


def test_a_suspended_cafeteria_mails_nobody(world: World, mailbox: Mailbox) -> None:
    job = ask(world.a.host, "customer@people.test")
    assert job.cafeteria_uuid == world.a.ref.uuid
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    with pytest.raises(CafeteriaSuspended):
        work(job)
    assert mailbox.mails == []


def test_a_copy_of_a_cafeteria_mails_nobody(world: World, mailbox: Mailbox) -> None:
    job = ask(world.a.host, "customer@people.test")
    Cafeteria.objects.filter(pk=world.a.ref.id).update(copy_of=world.b.ref.uuid)
    assert work(job) == {"sent": False}
    assert mailbox.mails == []
