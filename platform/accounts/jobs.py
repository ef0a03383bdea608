from django.conf import settings

from accounts.realm import platform_realm
from core.identity.recovery import mail_link
from core.jobs import JobRun, Json


def mail_reset_link(run: JobRun, *, account_id: int, page: str, language: str) -> Json:
    """Mail a user of the platform the link to a new password; nobody for an account 0."""
    link = f"{settings.PLATFORM_URL}{page}"
    sent = mail_link(platform_realm, account_id=account_id, page=link, place="Comanda", language=language, job_id=run.job_id)
    return {"sent": sent}
