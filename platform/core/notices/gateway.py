"""How a message leaves: to Slack's incoming webhook, or as mail. The webhook's address is a secret: no error bears it."""

from uuid import UUID

import requests
from django.conf import settings

from core.mail import send_mail
from core.notices.errors import ChannelFailed
from core.notices.models import Channel
from core.notices.texts import Message

TIMEOUT = (5, 10)  # seconds: to connect, to be answered


def send_message(channel: str, message: Message, *, message_id: UUID) -> None:
    """Raises ChannelFailed. The same id again is the same mail; Slack knows no such thing, so its text ends with it."""
    if channel == Channel.SLACK:
        _post(message, message_id)
    else:
        try:
            send_mail(to=settings.OPS_EMAILS, subject=message.subject, text=message.text(), message_id=f"notice-{message_id}")
        except OSError as error:  # smtplib's errors are ones of these. Their texts may quote addresses.
            raise ChannelFailed(channel=channel, why=type(error).__name__) from error


def _post(message: Message, message_id: UUID) -> None:
    body = {"text": f"{message.slack()}\n_{str(message_id)[:8]}_", "unfurl_links": False}
    try:
        answer = requests.post(settings.SLACK_WEBHOOK_URL, json=body, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise ChannelFailed(channel=Channel.SLACK.value, why=type(error).__name__) from None
    if answer.status_code != requests.codes.ok:
        raise ChannelFailed(channel=Channel.SLACK.value, why=f"it answers {answer.status_code}")
