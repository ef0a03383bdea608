from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from structlog.testing import capture_logs

from core.alerts.actions import raise_alert, resolve_alerts
from core.alerts.models import Alert
from core.audit.actions import record
from core.jobs import JobRun
from core.jobs.models import Job
from core.jobs.run import Claim
from core.notices.actions import prune_notices
from core.notices.errors import ChannelFailed
from core.notices.jobs import SEND, look, send
from core.notices.models import Notice
from core.notices.sending import send_waiting
from tests.core.notices.collectors import Mailbox, Webhook
from tests.world import World

pytestmark = pytest.mark.django_db

OLD = "backups.too_old"


def run() -> JobRun:
    claim = Claim(job_id=uuid4(), token=uuid4(), kind="", queue="short", attempt=1, cafeteria_uuid=None, arguments={})
    return JobRun(claim)


def texts(slack: Webhook) -> list[str]:
    return [body["text"] for body in slack.bodies]


def an_hour_ago() -> None:
    """All that was told until now was told an hour ago."""
    Notice.objects.update(at=timezone.now() - timedelta(hours=1))
    Notice.objects.exclude(sent_at=None).update(sent_at=timezone.now() - timedelta(hours=1, minutes=1))


def test_an_alert_is_told_on_each_channel_once(world: World, slack: Webhook, mailbox: Mailbox) -> None:
    raise_alert(kind=OLD, cafeteria_uuid=world.a.ref.uuid, detail="The newest backup is older than 2 hours.", severity="critical")
    raise_alert(kind=OLD, cafeteria_uuid=world.a.ref.uuid, detail="The newest backup is older than 3 hours.", severity="critical")
    assert [send_waiting(channel="slack"), send_waiting(channel="mail")] == [1, 1]
    assert [send_waiting(channel="slack"), send_waiting(channel="mail")] == [0, 0]
    [text], [mail] = texts(slack), mailbox.mails
    assert f"CRITICAL: backups.too_old opened at {world.a.ref.slug}" in text
    assert mail["Subject"] == f"[Comanda] CRITICAL: backups.too_old opened at {world.a.ref.slug}"
    assert mailbox.recipients == [["ops@comanda.test", "night@comanda.test"]]
    body = mail.get_content()
    assert "The newest backup is older than 2 hours." in body
    assert "Since 20" in body
    assert "http://localhost:8000/console/alerts" in body
    assert "docs/runbooks/backups-and-proofs.md" in body


def test_its_end_is_told_with_its_beginning(world: World, slack: Webhook) -> None:
    raise_alert(kind=OLD, cafeteria_uuid=world.a.ref.uuid)
    send_waiting(channel="slack")
    Alert.objects.update(first_at="2026-01-02T03:04:05Z")
    assert resolve_alerts(kind=OLD, cafeteria_uuid=world.a.ref.uuid) == 1
    send_waiting(channel="slack")
    assert f"INFO: backups.too_old resolved at {world.a.ref.slug}" in texts(slack)[1]
    assert "Since 2026-01-02 03:04 UTC." in texts(slack)[1]


def test_what_opens_and_ends_before_it_is_told_is_told_as_its_end_and_what_opens_again_as_open(slack: Webhook) -> None:
    raise_alert(kind="a.short", subject="1")
    resolve_alerts(kind="a.short")
    raise_alert(kind="b.flaps", subject="1")
    resolve_alerts(kind="b.flaps")
    raise_alert(kind="b.flaps", subject="1")
    send_waiting(channel="slack")
    [text] = texts(slack)
    assert [line for line in text.splitlines() if line.startswith("*")] == ["*WARNING: b.flaps opened*", "*INFO: a.short resolved*"]


def test_an_alert_that_becomes_critical_is_told_again(slack: Webhook) -> None:
    raise_alert(kind=OLD)
    raise_alert(kind=OLD, severity="critical")
    raise_alert(kind=OLD, severity="critical")
    raise_alert(kind=OLD)
    assert [(notice.what, notice.severity) for notice in Notice.objects.order_by("id")] == [("opened", "warning"), ("worse", "critical")]
    send_waiting(channel="slack")
    assert "*CRITICAL: backups.too_old has become critical*" in texts(slack)[0]


def test_a_rollback_tells_nothing(slack: Webhook) -> None:
    with transaction.atomic():
        raise_alert(kind=OLD)
        record("restore.started", label="ops")
        transaction.set_rollback(True)
    assert send_waiting(channel="slack") == 0
    assert texts(slack) == []


def test_a_thousand_cafeterias_are_one_message(slack: Webhook, mailbox: Mailbox) -> None:
    for number in range(1, 1_001):
        raise_alert(kind="payments.reconciliation", cafeteria_uuid=UUID(int=number), subject="checks")
    assert [send_waiting(channel="slack"), send_waiting(channel="mail")] == [1_000, 1_000]
    assert len(slack.bodies) == len(mailbox.mails) == 1
    assert "payments.reconciliation opened (1,000) at" in texts(slack)[0]
    assert "and 995 more cafeterias" in texts(slack)[0]
    assert len(texts(slack)[0]) < 1_000


def test_a_flood_over_time_is_a_message_in_ten_minutes_and_hides_nothing_new(slack: Webhook) -> None:
    for number in range(8):
        raise_alert(kind="payments.reconciliation", cafeteria_uuid=UUID(int=number + 1))
        send_waiting(channel="slack")
    assert len(slack.bodies) == 6
    raise_alert(kind="database.down", severity="critical")
    assert send_waiting(channel="slack") == 1
    assert "database.down" in texts(slack)[6]
    Notice.objects.exclude(sent_at=None).update(sent_at=timezone.now() - timedelta(minutes=11))
    assert send_waiting(channel="slack") == 2
    assert "payments.reconciliation opened (2)" in texts(slack)[7]


def test_acts_are_told_without_who_did_them(world: World, slack: Webhook) -> None:
    record("restore.started", cafeteria_uuid=world.a.ref.uuid, target="0190", label="ana@ops.test", backup="1")
    record("cafeteria.suspended", cafeteria_uuid=world.a.ref.uuid, target=world.a.ref.slug, label="billing")
    record("admin.created", target="ana@ops.test", label="manage.py create_admin")
    send_waiting(channel="slack")
    [text] = texts(slack)
    assert f"*INFO: restore.started at {world.a.ref.slug}*" in text
    assert f"*INFO: cafeteria.suspended at {world.a.ref.slug}*" in text
    assert "docs/runbooks/one-cafeteria-damaged.md" in text
    assert "/console/restores" in text
    assert "ana" not in text
    assert "admin" not in text


def test_a_message_holds_no_secret_and_no_markup_of_others(slack: Webhook) -> None:
    raise_alert(kind=OLD, detail="refused <!channel> & APP_USR-1234-010203-abcdef-9")
    send_waiting(channel="slack")
    assert "refused &lt;!channel&gt; &amp; [redacted]" in texts(slack)[0]


def test_a_broken_channel_delays_no_other_and_takes_everything_in_the_end(slack: Webhook, mailbox: Mailbox) -> None:
    slack.status = 500
    raise_alert(kind=OLD)
    with pytest.raises(ChannelFailed, match="slack does not take the message: it answers 500"):
        send_waiting(channel="slack")
    assert send_waiting(channel="mail") == 1
    raise_alert(kind="payments.review", subject="7")
    with pytest.raises(ChannelFailed):
        send_waiting(channel="slack")
    assert Alert.objects.filter(kind="notices.undelivered").count() == 0
    slack.status = 200
    assert send_waiting(channel="slack") == 2
    assert ["backups.too_old" in text for text in texts(slack)] == [True, False]
    assert ["payments.review" in text for text in texts(slack)] == [False, True]


def test_a_channel_that_stays_broken_is_told_on_the_others_alone(slack: Webhook, mailbox: Mailbox) -> None:
    mailbox.refuse = "554 no"
    raise_alert(kind=OLD)
    an_hour_ago()
    for _ in range(3):
        with pytest.raises(ChannelFailed, match="mail does not take the message: SMTPDataError"):
            send_waiting(channel="mail")
    assert Alert.objects.get(kind="notices.undelivered").count == 3
    assert [(notice.channel, notice.kind) for notice in Notice.objects.filter(kind="notices.undelivered")] == [
        ("slack", "notices.undelivered")
    ]
    assert send_waiting(channel="slack") == 2
    assert "notices.undelivered opened" in texts(slack)[0]
    mailbox.refuse = ""
    assert send_waiting(channel="mail") == 1
    assert Alert.objects.get(kind="notices.undelivered").resolved_at is not None
    assert [notice.channel for notice in Notice.objects.filter(kind="notices.undelivered", what="resolved")] == ["slack"]


def test_the_webhooks_address_is_in_no_error_and_no_line_of_the_log(slack: Webhook, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = "http://127.0.0.1:1/services/T0/B0/secretpart"
    raise_alert(kind=OLD)
    an_hour_ago()
    with capture_logs() as lines, pytest.raises(ChannelFailed, match="ConnectionError") as failed:
        send_waiting(channel="slack")
    assert "secretpart" not in f"{lines} {failed.value!r} {failed.value.__cause__!r}"
    assert [alert.detail for alert in Alert.objects.filter(detail__contains="secretpart")] == []


def test_the_same_mail_again_bears_the_same_id(mailbox: Mailbox) -> None:
    raise_alert(kind=OLD)
    send_waiting(channel="mail")
    Notice.objects.update(sent_at=None)  # As if the worker had been killed before it noted that.
    send_waiting(channel="mail")
    first, second = (mail["Message-ID"] for mail in mailbox.mails)
    assert first == second


def test_without_a_channel_an_alert_is_one_statement_and_nothing_waits() -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        raise_alert(kind=OLD)
    assert len(queries) == 1
    assert Notice.objects.count() == 0


def test_a_job_is_added_for_each_channel_that_has_something(slack: Webhook, mailbox: Mailbox) -> None:
    assert look(run()) == {"channels": []}
    raise_alert(kind=OLD)
    assert look(run()) == {"channels": ["mail", "slack"]}
    assert look(run()) == {"channels": []}
    assert sorted(job.arguments["channel"] for job in Job.objects.filter(kind=SEND)) == ["mail", "slack"]
    assert send(run(), channel="slack") == {"told": 1}


def test_what_was_told_is_erased_after_a_week(slack: Webhook) -> None:
    raise_alert(kind=OLD)
    send_waiting(channel="slack")
    assert prune_notices(days=7) == 0
    Notice.objects.update(sent_at=timezone.now() - timedelta(days=8))
    raise_alert(kind=OLD, subject="2")
    assert prune_notices(days=7) == 1
    assert Notice.objects.get().subject == "2"


def test_the_command_sends_on_each_channel_and_says_which_failed(slack: Webhook, mailbox: Mailbox) -> None:
    said = StringIO()
    call_command("notify_test", stdout=said)
    assert said.getvalue() == "slack: sent\nmail: sent\n"
    assert "somebody has asked whether messages arrive" in texts(slack)[0]
    slack.status = 404
    said = StringIO()
    with pytest.raises(CommandError, match="1 of 2 channels failed"):
        call_command("notify_test", stdout=said)
    assert "slack: The channel slack does not take the message: it answers 404" in said.getvalue()


def test_the_command_says_what_is_missing() -> None:
    with pytest.raises(CommandError, match="No channel is set up"):
        call_command("notify_test")
