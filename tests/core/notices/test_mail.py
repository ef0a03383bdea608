import email.policy
import re
from email import message_from_bytes
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings
from structlog.testing import capture_logs

from config import env
from core.mail import send_mail
from core.notices.runbooks import runbook_of
from tests.core.notices.collectors import Mailbox, mail_server
from tests.processes import REPOSITORY

KIND = re.compile(r"""raise_alert\(\s*kind=(?:"([^"]+)"|([A-Z_]+))""")


def test_in_development_a_mail_is_a_file_and_the_log_says_which(settings: Settings, tmp_path: Path) -> None:
    settings.MAILERS = {"default": {"BACKEND": "core.mail.FileBackend", "OPTIONS": {"folder": tmp_path / "mail"}}}
    with capture_logs() as lines:
        send_mail(to=["ana@luna.test"], subject="Café\nwith milk", text="Ready.\n", message_id="m-1")
    [file] = (tmp_path / "mail").iterdir()
    mail = message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert (mail["Subject"], mail["To"], mail["Message-ID"]) == ("Café with milk", "ana@luna.test", "<m-1@localhost>")
    assert mail.get_content() == "Ready.\n"
    assert lines == [{"event": "mail_written", "file": str(file), "log_level": "info"}]


def test_a_mail_is_not_sent_in_the_clear_where_tls_is_asked_for(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    with mail_server() as box:
        monkeypatch.setenv("EMAIL_URL", f"smtp://user:pass@127.0.0.1:{box.port}")
        settings.MAILERS = {"default": env.mail_server("EMAIL_URL", plain_anywhere=True)}
        with pytest.raises(OSError, match="STARTTLS"):
            send_mail(to=["ana@luna.test"], subject="x", text="x", message_id="m-1")
    assert box.mails == []


def test_a_plain_server_of_this_machine_takes_it(monkeypatch: pytest.MonkeyPatch, settings: Settings, mailbox: Mailbox) -> None:
    monkeypatch.setenv("EMAIL_URL", f"smtp+plain://127.0.0.1:{mailbox.port}")
    settings.MAILERS = {"default": env.mail_server("EMAIL_URL", plain_anywhere=False)}
    send_mail(to=["ana@luna.test"], subject="x", text="x", message_id="m-1")
    assert mailbox.recipients == [["ana@luna.test"]]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mail.example", "is not the address of a mail server"),
        ("http://mail.example", "is not the address of a mail server"),
        ("smtp://mail.example:many", "port in EMAIL_URL is not a number"),
        ("smtp+plain://mail.example", "plain to another machine"),
    ],
)
def test_a_wrong_mail_server_is_refused_with_a_hint(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", address)
    with pytest.raises(ImproperlyConfigured, match=f"{said}.*Write EMAIL_URL as"):
        env.mail_server("EMAIL_URL", plain_anywhere=False)


def test_its_settings_come_out_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", "smtps://me%40x:p%2Fw@mail.example")
    server = env.mail_server("EMAIL_URL", plain_anywhere=False)
    assert server is not None
    expected = {
        "host": "mail.example",
        "port": None,
        "timeout": 10,
        "username": "me@x",
        "password": "p/w",
        "use_tls": False,
        "use_ssl": True,
    }
    assert server["OPTIONS"] == expected


def test_a_webhook_is_https_and_no_error_quotes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "http://hooks.example/secretpart")
    assert env.webhook_address("SLACK_WEBHOOK_URL", plain=True) == "http://hooks.example/secretpart"
    with pytest.raises(ImproperlyConfigured, match="not an https address") as refused:
        env.webhook_address("SLACK_WEBHOOK_URL", plain=False)
    assert "secretpart" not in str(refused.value)


def kinds_raised() -> set[str]:
    """Every kind of alert that the product's source raises, also by a name for it."""
    files = [
        *(REPOSITORY / "platform").rglob("*.py"),
        *(p for part in ("ops", "billing", "shop", "tenants") for p in (REPOSITORY / part).rglob("*.py")),
    ]
    kinds: set[str] = set()
    for file in files:
        source = file.read_text()
        for literal, name in KIND.findall(source):
            named = re.search(rf'^{name} = f?"([^"]+)"', source, re.MULTILINE) if name else None
            kinds |= {literal or (named.group(1) if named else "")}
    return kinds - {""}


def test_every_kind_of_alert_has_its_runbook() -> None:
    kinds = kinds_raised()
    assert len(kinds) > 15
    assert {kind for kind in kinds if not (REPOSITORY / (runbook_of(kind) or "none")).is_file()} == set()


def test_the_runbooks_name_commands_that_are_there() -> None:
    there = {
        file.stem for folder in REPOSITORY.glob("*/**/management/commands") if ".venv" not in folder.parts for file in folder.glob("*.py")
    }
    named = {
        (book.name, command)
        for book in (REPOSITORY / "docs" / "runbooks").glob("*.md")
        for command in re.findall(r"manage\.py (\w+)", book.read_text())
    }
    assert {(book, command) for book, command in named if command not in there | {"shell", "dbshell", "showmigrations", "check"}} == set()
