from django.conf import settings
from django.urls import reverse

from core.identity.notices import Place, mail_new_password
from core.identity.recovery import mail_link
from core.jobs import JobRun, Json
from shop.people.realm import realm_of_cafeteria
from tenants.refs import TenantRef
from tenants.routing import site_url


def mail_reset_link(run: JobRun, *, account_id: int, page: str, language: str) -> Json:
    """Mail one of the cafeteria's people the link to a new password; nobody for an account 0."""
    ref: TenantRef = run.cafeteria
    if ref.copy_of is not None:  # A copy of a cafeteria has its people's addresses, and writes to none of them.
        return {"sent": False}
    link, realm = f"{site_url(ref.slug)}{page}", realm_of_cafeteria(ref)
    sent = mail_link(realm, account_id=account_id, page=link, place=ref.name, language=language, job_id=run.job_id)
    return {"sent": sent}


def mail_password_notice(run: JobRun, *, account_id: int, about: dict[str, str]) -> Json:
    """Tell one of the cafeteria's people by mail that their password has changed: how, when, and in which language."""
    ref: TenantRef = run.cafeteria
    if ref.copy_of is not None:  # as above
        return {"sent": False}
    forgotten = f"{site_url(ref.slug)}{reverse('forgotten_password', urlconf=settings.ROOT_URLCONF)}"
    place = Place(name=ref.name, timezone=ref.timezone, forgotten=forgotten)
    sent = mail_new_password(realm_of_cafeteria(ref), account_id=account_id, about=about, place=place, job_id=run.job_id)
    return {"sent": sent}
