"""Whoever has an account hears by mail of what happens to its second factor: so does its owner when somebody else did it."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.notices import place_of
from core.identity.notices import ATTEMPTS, mail_account, told_moment, when_and_language
from core.jobs import Json, enqueue

type What = str  # on, moved, off, reset, codes_renewed, recovery_code_used


def tell(user_id: int, what: What, **facts: Json) -> None:
    """Add the job that mails it, in the caller's transaction. Nobody is told where no mail is sent."""
    if settings.MAIL_ENABLED:
        now = when_and_language()
        facts["at"] = now["at"]  # among the facts, where a worker of an older release does not mind it
        about: dict[str, Any] = {"user_id": user_id, "what": what, "language": now["language"], "facts": facts}
        enqueue("accounts.jobs.mail_second_factor_notice", max_attempts=ATTEMPTS, **about)


def mail_notice(*, user_id: int, what: What, language: str, facts: dict[str, Any], job_id: UUID) -> bool:
    """False for somebody who is not there any more, or whom no mail reaches. The same job again is the same mail.

    Raises OSError when the mail server may take it later.
    """
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return False
    place = place_of(user_id)
    with translation.override(language):
        subject, happened = _sentences(what, left=facts.get("left", 0))
        when = _("It happened on {moment}.").format(moment=told_moment(facts["at"], place.timezone)) if "at" in facts else ""
        not_you = _(
            "Was it not you? Then somebody else can sign in as you: choose another password at {url} and tell the people who run Comanda."
        ).format(url=place.forgotten)
    text = "\n\n".join(part for part in (happened, when, not_you) if part) + "\n"
    return mail_account(user, subject=subject, text=text, message_id=f"second-factor-{job_id}")


def _sentences(what: What, *, left: int) -> tuple[str, str]:
    match what:
        case "on":
            return _("Two-step verification is on"), _(
                "From now on, signing in to Comanda asks for the code of your app after the password."
            )
        case "moved":
            return _("Two-step verification has moved"), _(
                "Codes of another app count from now on; the former app's and recovery codes do not."
            )
        case "off":
            return _("Two-step verification is off"), _("From now on, the password alone signs in to Comanda.")
        case "reset":
            words = _(
                "The people who run Comanda have taken it away, and every device is signed out. "
                "Sign in with your password and set it up anew."
            )
            return _("Two-step verification was reset"), words
        case "codes_renewed":
            return _("There are new recovery codes"), _("The former ones are worth nothing any more.")
        case _:
            words = ngettext(
                "Somebody, probably you, has signed in to Comanda with a recovery code. %(left)d is left: make new ones in time.",
                "Somebody, probably you, has signed in to Comanda with a recovery code. %(left)d are left: make new ones in time.",
                left,
            )
            return _("A recovery code was used"), words % {"left": left}
