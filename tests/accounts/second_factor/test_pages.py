"""Turning it on, moving it, turning it off, new recovery codes; and what is asked before, and told after."""

import re
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import RecoveryCode, SecondFactor
from accounts.second_factor.actions import renew_recovery_codes
from accounts.second_factor.codes import is_on
from core.audit.models import AuditEntry
from core.identity.errors import WrongCode
from core.jobs import enqueue
from core.jobs.models import Job
from tests.accounts.second_factor.phone import Phone, email_of, enrolled, platform, read_phone
from tests.accounts.second_factor.test_codes import caller_of
from tests.accounts.test_pages import signed_in
from tests.accounts.test_proof import age, store_of
from tests.core.identity.test_recovery import NEW, ask_and_mail, follow, link_in, mailbox, work
from tests.core.notices.collectors import Mailbox
from tests.world import PASSWORD, World

__all__ = ["mailbox"]  # a fixture
pytestmark = pytest.mark.django_db
SET_UP = "/second-factor/set-up"
KIND = "accounts.jobs.mail_second_factor_notice"
LIFE = 15 * 60


def signed_in_with_code(user_id: int, phone: Phone) -> Client:
    client = platform()
    client.post("/sign-in", {"email": email_of(user_id), "password": PASSWORD})
    assert client.post("/sign-in/code", {"code": phone.fresh()}).status_code == 302
    return client


def codes_in(answer: Any) -> list[str]:
    return re.findall(r"<code>([0-9a-z]{4}(?:-[0-9a-z]{4}){3})</code>", answer.content.decode())


def acts(user_id: int) -> list[str]:
    found = AuditEntry.objects.filter(action__startswith="second_factor.", target=email_of(user_id)).order_by("at", "id")
    return [entry.action.partition(".")[2] for entry in found]


def mails(mailbox: Mailbox) -> list[tuple[str, str]]:
    """Subject and text of those that wait to be sent."""
    for job in Job.objects.filter(kind=KIND).order_by("created_at", "id"):
        work(job)
    return [(str(mail["Subject"]), mail.get_content()) for mail in mailbox.mails]


def test_an_owner_turns_it_on_and_signs_in_with_it(world: World, mailbox: Mailbox) -> None:
    client, other = signed_in(world, world.owner_a), signed_in(world, world.owner_a)
    page = client.get(SET_UP)
    text = page.content.decode()
    assert text.count("<svg") >= 1
    assert "style=" not in re.sub(r"<head>.*?</head>", "", text, flags=re.DOTALL)
    assert page.headers["Cache-Control"] == "private, no-store"
    phone = read_phone(text, world.owner_a)
    assert read_phone(client.get(SET_UP).content.decode(), world.owner_a).secret == phone.secret
    refused = client.post(SET_UP, {"code": phone.wrong()})
    assert (refused.status_code, is_on(world.owner_a)) == (422, False)
    done = client.post(SET_UP, {"code": phone.code()})
    codes = codes_in(done)
    assert (done.status_code, len(codes), done.headers["Cache-Control"]) == (200, 10, "private, no-store")
    assert client.get("/second-factor").status_code == 200
    assert other.get("/home")["Location"].startswith("/sign-in")
    assert client.post("/sign-out").status_code == 302
    assert signed_in_with_code(world.owner_a, phone).get("/home").status_code == 200
    assert acts(world.owner_a) == ["on"]
    assert [subject for subject, _ in mails(mailbox)] == ["La verificación en dos pasos está activada"]


def test_the_first_code_does_not_sign_in_as_well(world: World) -> None:
    client = signed_in(world, world.owner_a)
    phone = read_phone(client.get(SET_UP).content.decode(), world.owner_a)
    code = phone.code()
    client.post(SET_UP, {"code": code})
    elsewhere = signed_in(world, world.owner_a)
    assert elsewhere.post("/sign-in/code", {"code": code}).status_code == 422


def test_a_secret_that_waits_is_of_one_person_in_one_browser(world: World) -> None:
    client = signed_in(world, world.owner_a)
    first = read_phone(client.get(SET_UP).content.decode(), world.owner_a).secret
    assert first not in str(dict(store_of(client).items()))
    client.post("/sign-in", {"email": email_of(world.owner_b), "password": PASSWORD})
    second = read_phone(client.get(SET_UP).content.decode(), world.owner_b).secret
    assert second != first
    assert read_phone(signed_in(world, world.owner_a).get(SET_UP).content.decode(), world.owner_a).secret not in {first, second}


@pytest.mark.parametrize("path", [SET_UP, "/second-factor/codes", "/second-factor/off"])
def test_the_password_is_asked_for_again_first(world: World, path: str) -> None:
    client = signed_in(world, world.owner_a)
    age(client, LIFE)
    for asked in (client.get(path), client.post(path)):
        assert asked["Location"].startswith("/password/confirm?next=%2Fsecond-factor%2F")
    assert platform().get(path)["Location"].startswith("/sign-in")


def test_confirming_asks_for_a_code_too_of_whoever_has_them(world: World) -> None:
    phone, codes = enrolled(world.owner_a)
    client = signed_in_with_code(world.owner_a, phone)
    age(client, LIFE)
    address = "/password/confirm?next=/second-factor/off"
    assert 'name="code"' in client.get(address).content.decode()
    code = phone.fresh()
    refused = [{"current": PASSWORD}, {"current": PASSWORD, "code": phone.wrong()}, {"current": "wrong", "code": code}]
    assert [client.post(address, given).status_code for given in refused] == [422] * 3
    assert client.get("/second-factor/off").status_code == 302
    assert client.post(address, {"current": PASSWORD, "code": code})["Location"] == "/second-factor/off"
    age(client, LIFE)
    assert client.post(f"{address}&recovery", {"current": PASSWORD, "code": codes[0]})["Location"] == "/second-factor/off"
    other = signed_in(world, world.owner_b)
    assert 'name="code"' not in other.get(address).content.decode()


def test_new_recovery_codes_end_the_former_ones(world: World, mailbox: Mailbox) -> None:
    phone, former = enrolled(world.owner_a)
    client = signed_in_with_code(world.owner_a, phone)
    assert client.get("/second-factor/codes").status_code == 200
    assert RecoveryCode.objects.filter(factor__user_id=world.owner_a).count() == 10
    new = codes_in(client.post("/second-factor/codes"))
    assert (len(new), set(new) & set(former)) == (10, set())
    elsewhere = signed_in(world, world.owner_a)
    answers = [elsewhere.post("/sign-in/code", {"code": code}).status_code for code in (former[0], new[0])]
    assert answers == [422, 302]
    assert acts(world.owner_a) == ["codes_renewed", "recovery_code_used"]
    assert [(subject, "Quedan 9" in text) for subject, text in mails(mailbox)] == [
        ("Hay nuevos códigos de recuperación", False),
        ("Se usó un código de recuperación", True),
    ]


def test_without_a_second_factor_there_are_no_codes_to_make(world: World) -> None:
    assert signed_in(world, world.owner_a).post("/second-factor/codes").status_code == 409


def test_it_moves_to_another_app(world: World, mailbox: Mailbox) -> None:
    phone, former = enrolled(world.owner_a)
    client = signed_in_with_code(world.owner_a, phone)
    page = client.get(SET_UP).content.decode()
    assert phone.secret not in page.replace(" ", "")
    other = read_phone(page, world.owner_a)
    assert client.post(SET_UP, {"code": phone.code()}).status_code == 422
    assert len(codes_in(client.post(SET_UP, {"code": other.code()}))) == 10
    elsewhere = signed_in(world, world.owner_a)
    assert [elsewhere.post("/sign-in/code", {"code": code}).status_code for code in (phone.fresh(), former[0])] == [422] * 2
    assert elsewhere.post("/sign-in/code", {"code": other.fresh()}).status_code == 302
    assert acts(world.owner_a) == ["moved"]
    assert [subject for subject, _ in mails(mailbox)] == ["La verificación en dos pasos pasó a otra app"]


def test_it_is_turned_off(world: World, mailbox: Mailbox) -> None:
    phone, _ = enrolled(world.owner_a)
    client = signed_in_with_code(world.owner_a, phone)
    assert client.get("/second-factor/off").status_code == 200
    assert is_on(world.owner_a)
    for _ in range(2):  # twice pressed is once done
        assert client.post("/second-factor/off")["Location"] == "/second-factor"
    assert not RecoveryCode.objects.filter(factor__user_id=world.owner_a).exists()
    assert signed_in(world, world.owner_a).get("/home").status_code == 200
    assert (acts(world.owner_a), [subject for subject, _ in mails(mailbox)]) == (["off"], ["La verificación en dos pasos está desactivada"])


def test_a_new_password_by_mail_leaves_it_on(world: World, mailbox: Mailbox) -> None:
    phone, _ = enrolled(world.owner_a)
    client, email = platform(), email_of(world.owner_a)
    ask_and_mail("localhost:8000", email, client=client)
    follow(client, link_in(mailbox))
    chosen = client.post("/password/new", {"new": NEW})
    assert chosen["Location"] == "/sign-in/code?next=%2Fhome"
    assert client.get("/home")["Location"].startswith("/sign-in")
    assert client.get("/password/new").status_code == 410
    assert client.post("/sign-in/code", {"code": phone.code(), "next": "/home"})["Location"] == "/home"
    assert client.get("/home").status_code == 200


def test_a_new_password_by_mail_forgives_no_wrong_codes(world: World, mailbox: Mailbox) -> None:
    phone, _ = enrolled(world.owner_a)
    client = signed_in(world, world.owner_a)
    for _ in range(10):
        client.post("/sign-in/code", {"code": phone.wrong()})
    ask_and_mail("localhost:8000", email_of(world.owner_a), client=client)
    follow(client, link_in(mailbox))
    assert client.post("/password/new", {"new": NEW}).status_code == 302
    assert client.post("/sign-in/code", {"code": phone.code()}).status_code == 429


def test_the_mail_says_when_and_the_same_job_again_is_the_same_mail(world: World, mailbox: Mailbox) -> None:
    phone, _ = enrolled(world.owner_a)
    signed_in_with_code(world.owner_a, phone).post("/second-factor/off")
    [job] = Job.objects.filter(kind=KIND)
    job.arguments["facts"]["at"] = "2026-03-04T15:30:00+00:00"
    for _ in range(2):
        assert work(job) == {"sent": True}
    assert [mail["Message-ID"] for mail in mailbox.mails] == [f"<second-factor-{job.pk}@localhost>"] * 2
    assert mailbox.recipients == [[email_of(world.owner_a)]] * 2
    assert mailbox.mails[0].get_content().replace("\r\n", "\n") == (
        "Desde ahora alcanza con la contraseña para ingresar a Comanda.\n\n"
        "Ocurrió el 4 mar 2026, 12:30 (GMT-03:00).\n\n"
        "¿No fuiste vos? Entonces alguien más puede ingresar en tu cuenta: elegí otra contraseña en "
        "http://localhost:8000/password/forgotten y avisale al equipo de Comanda.\n"
    )


def test_a_job_of_an_older_release_is_mailed_without_the_moment(world: World, mailbox: Mailbox) -> None:
    about: dict[str, Any] = {"user_id": world.admin, "what": "off", "language": "en", "facts": {}}
    assert work(enqueue(KIND, **about)) == {"sent": True}
    assert (mailbox.mails[0]["Subject"], "It happened on" in mailbox.mails[0].get_content()) == ("Two-step verification is off", False)


def test_what_is_rolled_back_is_told_to_nobody(world: World) -> None:
    enrolled(world.owner_a)
    caller = caller_of(world, world.owner_a)

    def renew_and_fail() -> None:
        with transaction.atomic():
            renew_recovery_codes(caller=caller)
            assert Job.objects.filter(kind=KIND).count() == 1
            raise WrongCode

    with pytest.raises(WrongCode):
        renew_and_fail()
    assert not Job.objects.filter(kind=KIND).exists()


def test_where_no_mail_is_sent_none_is_added(world: World, settings: Settings) -> None:
    settings.MAIL_ENABLED = False
    phone, _ = enrolled(world.owner_a)
    signed_in_with_code(world.owner_a, phone).post("/second-factor/off")
    assert not SecondFactor.objects.filter(user_id=world.owner_a).exists()
    assert not Job.objects.filter(kind=KIND).exists()
