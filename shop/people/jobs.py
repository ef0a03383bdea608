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
