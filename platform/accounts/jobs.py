from typing import Any

from django.conf import settings

from accounts.notices import place_of
from accounts.realm import platform_realm
from accounts.second_factor.notices import mail_notice
from core.identity.notices import mail_new_password
from core.identity.recovery import mail_link
from core.jobs import JobRun, Json


def mail_reset_link(run: JobRun, *, account_id: int, page: str, language: str) -> Json:
    """Mail a user of the platform the link to a new password; nobody for an account 0."""
    link = f"{settings.PLATFORM_URL}{page}"
    sent = mail_link(platform_realm, account_id=account_id, page=link, place="Comanda", language=language, job_id=run.job_id)
    return {"sent": sent}


def mail_password_notice(run: JobRun, *, account_id: int, about: dict[str, str]) -> Json:
    """Tell a user of the platform by mail that their password has changed: how, when, and in which language."""
    place = place_of(account_id)
    return {"sent": mail_new_password(platform_realm, account_id=account_id, about=about, place=place, job_id=run.job_id)}


def mail_second_factor_notice(run: JobRun, *, user_id: int, what: str, language: str, facts: dict[str, Any]) -> Json:
    """Tell a user of the platform by mail what became of their second factor."""
    return {"sent": mail_notice(user_id=user_id, what=what, language=language, facts=facts, job_id=run.job_id)}
