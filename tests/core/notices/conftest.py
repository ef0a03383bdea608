from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.core.notices.collectors import Mailbox, Webhook, mail_server, webhook_server


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    """The operators' mailbox, on a real mail server."""
    with mail_server() as box:
        settings.MAILERS = box.settings()
        settings.OPS_EMAILS = ["ops@comanda.test", "night@comanda.test"]
        yield box


@pytest.fixture
def slack(settings: Settings) -> Iterator[Webhook]:
    """The operators' Slack, as a real HTTP server."""
    with webhook_server() as webhook:
        settings.SLACK_WEBHOOK_URL = webhook.address
        yield webhook
