"""Mail. In development it is written into the data folder, which the log says; else it goes to the server of EMAIL_URL."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, mailers
from django.core.mail.backends.base import BaseEmailBackend

log = structlog.get_logger()

PERMANENT = 500  # SMTP's codes from here on: asking again is in vain


class AddressRefused(OSError):
    """The mail server takes no mail for this address, and says that it will not later."""

    def __init__(self, code: int) -> None:
        self.code = code  # SMTP's
        super().__init__(f"The mail server refuses the address: {code}.")


def send_mail(*, to: Sequence[str], subject: str, text: str, message_id: str) -> None:
    """One mail, outside of every transaction. The same `message_id` again is the same mail to whoever receives it.

    Raises OSError, of which smtplib's errors are kinds: AddressRefused when no later try would fare better.
    """
    headers = {"Message-ID": f"<{message_id}@{settings.BASE_DOMAIN}>", "Auto-Submitted": "auto-generated"}
    one_line = " ".join(subject.split())
    mail = EmailMessage(subject=one_line, body=text, from_email=settings.MAIL_FROM, to=list(to), headers=headers)
    mailer = mailers["default"]
    try:
        mailer.send_messages([mail])
    except SMTPRecipientsRefused as error:  # by all of them
        codes = [code for code, _ in error.recipients.values()]
        if min(codes) < PERMANENT:
            raise
        raise AddressRefused(codes[0]) from None  # Its text quotes the address.
    finally:
        mailer.close()  # A connection on which TLS or the sign-in failed is still open.


class FileBackend(BaseEmailBackend):
    """A file for each mail, which every mail program opens."""

    def __init__(self, *, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self.folder = folder

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for mail in email_messages:
            message = mail.message()
            name = re.sub(r"[^\w.-]+", "", str(message["Message-ID"]).partition("@")[0])
            path = self.folder / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{name}.eml"
            path.write_bytes(message.as_bytes())
            log.info("mail_written", file=str(path))
        return len(email_messages)
