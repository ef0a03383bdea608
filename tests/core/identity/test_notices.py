"""Whoever has an account is told by mail of its new password, on the platform and at a cafeteria; by a real server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import User, UserSession
from accounts.realm import platform_realm
from core.identity.actions import change_password
from core.identity.callers import Caller
from core.identity.errors import WrongCredentials
from core.identity.notices import ATTEMPTS
from core.jobs.models import Job
from core.jobs.outcomes import backoff
from core.passwords import Argon2PasswordHasher
from shop.people.models import Person
from shop.people.realm import realm_of_cafeteria
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.core.identity.test_recovery import NEW, PLATFORM, ana, ask_and_mail, browser, follow, link_in, mailbox, work
from tests.core.notices.collectors import Mailbox
from tests.world import PASSWORD, World

__all__ = ["ana", "mailbox"]  # fixtures
pytestmark = pytest.mark.django_db
KINDS = ("accounts.jobs.mail_password_notice", "shop.people.jobs.mail_password_notice")
NOON = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)  # at Buenos Aires, 12:30
CUSTOMER = "customer@people.test"


def notices() -> list[Job]:
    return list(Job.objects.filter(kind__in=KINDS).order_by("created_at", "id"))


def signed_in(host: str, email: str, *, language: str = "") -> Client:
    client = browser(host)
    if language:
        client.cookies["lang"] = language
    assert client.post("/sign-in", {"email": email, "password": PASSWORD}).status_code == 302
    return client


def change(host: str, email: str, *, language: str = "") -> Job:
    """Change the password on its page; the one job that tells of it."""
    page = "/password" if host == PLATFORM else "/account/password"
    assert signed_in(host, email, language=language).post(page, {"current": PASSWORD, "new": NEW}).status_code == 302
    [job] = notices()
    return job


def at_noon(job: Job) -> Job:
    """As if it had been added then: it was just now."""
    assert abs(datetime.fromisoformat(job.arguments["about"]["at"]) - datetime.now(UTC)) < timedelta(hours=1)
    job.arguments["about"]["at"] = NOON.isoformat()
    return job


def last(mailbox: Mailbox) -> tuple[str, str]:
    """Subject and text, with the ends of lines that a file has."""
    return str(mailbox.mails[-1]["Subject"]), mailbox.mails[-1].get_content().replace("\r\n", "\n")


def caller_of(user: User) -> Caller:
    session = UserSession.objects.create(user=user, expires_at=datetime.now(UTC) + timedelta(days=1))
    about: dict[str, Any] = {"email": user.email, "full_name": user.full_name, "role": user.role}
    return Caller(kind="user", id=user.pk, session_id=session.pk, token_version=user.token_version, **about)


def test_an_owner_is_told_of_a_changed_password(mailbox: Mailbox, ana: User) -> None:
    job = at_noon(change(PLATFORM, ana.email))
    assert work(job) == {"sent": True}
    assert mailbox.recipients == [["ana@owners.test"]]
    assert last(mailbox) == (
        "Cambió tu contraseña en Comanda",
        (
            "El 4 mar 2026, 15:30 (GMT+00:00) alguien que sabía la contraseña anterior la cambió en Comanda. "
            "Se cerró la sesión en todos los demás dispositivos.\n\n"
            "¿Fuiste vos? Entonces no hace falta hacer nada.\n\n"
            "¿No fuiste vos? Entonces alguien más puede ingresar en tu cuenta. "
            "Elegí otra contraseña ahora, y con eso se cierra su sesión:\n\n"
            "http://localhost:8000/password/forgotten\n\n"
            "Y avisale al equipo de Comanda.\n"
        ),
    )


def test_a_customer_is_told_in_the_words_of_the_cafeteria_and_by_its_clock(world: World, mailbox: Mailbox) -> None:
    job = at_noon(change(world.a.host, CUSTOMER, language="en"))
    assert (job.cafeteria_uuid, work(job)) == (world.a.ref.uuid, {"sent": True})
    assert mailbox.recipients == [[CUSTOMER]]
    name = world.a.ref.name
    assert last(mailbox) == (
        f"Your password at {name} has changed",
        (
            f"On 4 Mar 2026, 12:30 (GMT-03:00) the password at {name} was changed by somebody who knew the former one. "
            "Every other device is signed out.\n\n"
            "Was it you? Then nothing has to be done.\n\n"
            "Was it not you? Then somebody else can sign in as you. Choose another password now, which signs them out:\n\n"
            f"http://{world.a.host}/password/forgotten\n\n"
            f"And tell the people who run {name}.\n"
        ),
    )


def test_an_owners_clock_is_their_first_cafeterias(world: World, mailbox: Mailbox) -> None:
    job = at_noon(change(PLATFORM, User.objects.get(pk=world.owner_a).email))
    work(job)
    assert "El 4 mar 2026, 12:30 (GMT-03:00)" in last(mailbox)[1]


@pytest.mark.parametrize("where", ["platform", "cafeteria"])
def test_a_password_that_a_mailed_link_chose_is_told_too(world: World, mailbox: Mailbox, ana: User, where: str) -> None:
    host, email = (PLATFORM, ana.email) if where == "platform" else (world.a.host, CUSTOMER)
    ask_and_mail(host, email)
    client = browser(host)
    follow(client, link_in(mailbox))
    assert client.post("/password/new", {"new": NEW}).status_code == 302
    [job] = notices()
    assert work(job) == {"sent": True}
    _, text = last(mailbox)
    assert ("con un enlace enviado por correo a esta dirección" in text, "cambiá primero la contraseña de tu casilla" in text) == (
        True,
        True,
    )
    assert mailbox.recipients == [[email]] * 2


def test_the_mail_holds_no_secret_and_no_address_of_a_device(mailbox: Mailbox, ana: User) -> None:
    job = change(PLATFORM, ana.email)
    work(job)
    kept = f"{job.arguments} {mailbox.mails[-1].as_string()}"
    ana.refresh_from_db()
    assert [secret for secret in (PASSWORD, NEW, ana.password, "127.0.0.1", "token") if secret in kept] == []
    assert set(job.arguments) == {"account_id", "about"}
    assert set(job.arguments["about"]) == {"how", "at", "language"}


def test_the_same_job_again_is_the_same_mail(mailbox: Mailbox, ana: User) -> None:
    job = change(PLATFORM, ana.email)
    for _ in range(2):
        work(job)
    assert [mail["Message-ID"] for mail in mailbox.mails] == [f"<password-{job.pk}@localhost>"] * 2
    assert mailbox.mails[0].get_content() == mailbox.mails[1].get_content()


@pytest.mark.parametrize("given", [{"current": "wrong", "new": NEW}, {"current": PASSWORD, "new": "short"}], ids=["wrong", "weak"])
def test_a_password_that_stays_is_no_news(world: World, given: dict[str, str]) -> None:
    assert signed_in(world.a.host, CUSTOMER).post("/account/password", given).status_code == 422
    assert notices() == []


def test_a_change_that_is_rolled_back_is_told_to_nobody(ana: User) -> None:
    caller = caller_of(ana)

    def change_and_fail() -> None:
        with transaction.atomic():
            change_password(platform_realm, caller=caller, current=PASSWORD, new=NEW, address="192.0.2.1")
            assert len(notices()) == 1
            raise CafeteriaNotFound

    with pytest.raises(CafeteriaNotFound):
        change_and_fail()
    ana.refresh_from_db()
    assert (notices(), ana.token_version) == ([], 1)


def test_of_a_cafeterias_change_that_fails_in_its_transaction_nobody_is_told(world: World) -> None:
    def fail() -> str:
        raise WrongCredentials

    realm = replace(realm_of_cafeteria(world.a.ref), audience=fail)  # A new session asks for it: password and job are written by then.
    with pytest.raises(WrongCredentials):
        change_password(realm, caller=world.a.caller("customer"), current=PASSWORD, new=NEW, address="192.0.2.1")
    assert notices() == []
    with tenant_scope(world.a.ref):
        assert Person.objects.get(email=CUSTOMER).token_version == 1


def test_a_copy_of_a_cafeteria_tells_nobody(world: World, mailbox: Mailbox) -> None:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(copy_of=world.b.ref.uuid)
    job = change(world.a.host, "manager@people.test")
    assert (work(job), mailbox.mails) == ({"sent": False}, [])


def test_without_mail_a_password_changes_all_the_same(world: World, ana: User, settings: Settings) -> None:
    settings.MAIL_ENABLED = False
    for host, email, page in ((PLATFORM, ana.email, "/password"), (world.a.host, CUSTOMER, "/account/password")):
        assert signed_in(host, email).post(page, {"current": PASSWORD, "new": NEW}).status_code == 302
        assert browser(host).post("/sign-in", {"email": email, "password": NEW}).status_code == 302
    assert notices() == []


def test_a_job_of_before_mail_was_turned_off_ends(ana: User, settings: Settings, tmp_path: Path) -> None:
    settings.MAILERS = {"default": {"BACKEND": "core.mail.FileBackend", "OPTIONS": {"folder": tmp_path / "mail"}}}
    job = change(PLATFORM, ana.email)
    settings.MAIL_ENABLED = False
    assert (work(job), (tmp_path / "mail").exists()) == ({"sent": False}, False)


@pytest.mark.parametrize("change_of", [{"is_active": False}, {"email": "nobody@comanda.invalid"}], ids=["inactive", "no address"])
def test_whom_no_mail_reaches_is_written_to_by_nobody(mailbox: Mailbox, ana: User, change_of: dict[str, str | bool]) -> None:
    job = change(PLATFORM, ana.email)
    User.objects.filter(pk=ana.pk).update(**change_of)
    assert (work(job), mailbox.mails) == ({"sent": False}, [])


def test_an_address_that_the_server_refuses_ends_the_job(mailbox: Mailbox, ana: User) -> None:
    job = change(PLATFORM, ana.email)
    mailbox.refuse_recipients = "550 5.1.1 no such mailbox"
    assert work(job) == {"sent": False}
    assert ask_and_mail(PLATFORM, ana.email) == {"sent": False}
    mailbox.refuse_recipients = "450 4.2.1 later"
    with pytest.raises(OSError, match="450"):
        work(job)
    mailbox.refuse_recipients = ""
    assert work(job) == {"sent": True}


def test_a_server_that_is_away_for_an_hour_loses_no_notice(ana: User) -> None:
    assert change(PLATFORM, ana.email).max_attempts == ATTEMPTS
    assert sum((backoff(attempt) for attempt in range(1, ATTEMPTS)), timedelta(0)) > timedelta(hours=1)


@pytest.mark.parametrize(
    ("language", "subject"), [("en", "Your password at Comanda has changed"), ("es", "Cambió tu contraseña en Comanda")]
)
def test_it_is_in_the_readers_language(mailbox: Mailbox, ana: User, language: str, subject: str) -> None:
    work(change(PLATFORM, ana.email, language=language))
    assert last(mailbox)[0] == subject


def test_a_hash_that_is_renewed_is_no_new_password(ana: User) -> None:
    former = Argon2PasswordHasher()
    former.time_cost += 1
    encoded = former.encode(PASSWORD, former.salt())
    User.objects.filter(pk=ana.pk).update(password=encoded)
    signed_in(PLATFORM, ana.email)
    ana.refresh_from_db()
    assert (ana.password != encoded, notices()) == (True, [])
