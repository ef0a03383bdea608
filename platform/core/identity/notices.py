"""Whoever has an account hears by mail that it has another password: so does its owner when somebody else chose it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog
from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.design.formats import format_moment
from core.identity.models import Account
from core.identity.realm import Realm
from core.mail import AddressRefused, send_mail

log = structlog.get_logger()

type How = Literal["changed", "chosen"]  # by whoever knew the former one, or had a mailed link
NOBODY = ".invalid"  # addresses that nobody can have (RFC 2606), as the support's inside a cafeteria
ATTEMPTS = 10  # about two hours: a mail server that is away for so long makes nobody miss the news


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the account is, in the words of a mail."""

    name: str
    timezone: str  # IANA name
    forgotten: str  # the address of the page that mails a new link


def tell_new_password(realm: Realm, account: Account, *, how: How) -> None:
    """Inside the scope. Add the job that mails it, in the transaction of the change. Nobody is told where no mail is sent."""
    if settings.MAIL_ENABLED:
        realm.enqueue_password_notice(account.pk, {"how": how, **when_and_language()})


def when_and_language() -> dict[str, str]:
    """What a notice's job has to remember of now."""
    return {"at": timezone.now().isoformat(), "language": get_language() or settings.LANGUAGE_CODE}


def mail_new_password(realm: Realm, *, account_id: int, about: Mapping[str, str], place: Place, job_id: UUID) -> bool:
    """False for an account that is not there (any more), or that no mail reaches. The same job again is the same mail.

    Raises OSError when the mail server may take it later.
    """
    with realm.scope():
        account = realm.accounts._default_manager.filter(pk=account_id, is_active=True).first()
    if account is None:
        return False
    with translation.override(about["language"]):
        subject = _("Your password at {place} has changed").format(place=place.name)
        text = _text(about["how"], place=place, moment=told_moment(about["at"], place.timezone))
    return mail_account(account, subject=subject, text=text, message_id=f"password-{job_id}")


def told_moment(at: str, zone: str) -> str:
    """With the zone, which whoever reads a mail does not know otherwise. In the active language."""
    return format_moment(datetime.fromisoformat(at), zone, "zoned")


def mail_account(account: Account, *, subject: str, text: str, message_id: str) -> bool:
    """Whether the mail server took it: not for an address that it takes no mail for, now or later, nor where no mail is sent.

    Raises OSError when a later try may fare better.
    """
    if not settings.MAIL_ENABLED or account.email.endswith(NOBODY):
        return False
    try:
        send_mail(to=[account.email], subject=subject, text=text, message_id=message_id)
    except AddressRefused as refused:
        log.warning("mail_refused", message_id=message_id, account_id=account.pk, code=refused.code)
        return False
    return True


def _text(how: str, *, place: Place, moment: str) -> str:
    if how == "chosen":
        happened = _("On {moment} a new password was chosen at {place}, with a link that had been mailed to this address.")
        if_not = _(
            "Was it not you? Then somebody else reads your mail: change the password of your mailbox first, then choose another one here:"
        )
    else:
        happened = _("On {moment} the password at {place} was changed by somebody who knew the former one.")
        if_not = _("Was it not you? Then somebody else can sign in as you. Choose another password now, which signs them out:")
    parts = [
        f"{happened.format(moment=moment, place=place.name)} {_('Every other device is signed out.')}",
        _("Was it you? Then nothing has to be done."),
        f"{if_not}\n\n{place.forgotten}",
        _("And tell the people who run {place}.").format(place=place.name),
    ]
    return "\n\n".join(parts) + "\n"
