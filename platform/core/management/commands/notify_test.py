from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.notices.actions import set_up_channels
from core.notices.errors import ChannelFailed
from core.notices.gateway import send_message
from core.notices.models import Notice
from core.notices.texts import Group, Message


class Command(BaseCommand):
    help = "Send a message to the operators on each channel that is set up, now and past the queue, and say what came of it."

    def handle(self, **_: Any) -> None:
        channels = set_up_channels()
        if not channels:
            raise CommandError("No channel is set up. Set SLACK_WEBHOOK_URL, or OPS_EMAILS with EMAIL_URL.")
        detail = "Nothing is wrong: somebody has asked whether messages arrive."
        group = Group(what=Notice.What.HAPPENED, kind="test", severity="info", names=(), things=1, since=timezone.now(), detail=detail)
        failed = 0
        for channel in channels:
            try:
                send_message(channel, Message(groups=(group,)), message_id=uuid4())
                self.stdout.write(f"{channel}: sent")
            except ChannelFailed as error:
                failed += 1
                self.stdout.write(f"{channel}: {error}")
        if failed:
            raise CommandError(f"{failed} of {len(channels)} channels failed.")
