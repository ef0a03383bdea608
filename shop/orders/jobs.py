from django.core.files.storage import default_storage

from core.jobs import JobRun, Json
from shop.orders.imports import actions as imports
from tenants.job_scope import job_scope


def import_sales(run: JobRun, *, file: str, names: dict[str, str | None] | None = None) -> Json:
    """Imports a stored file of past sales. Run again, it imports nothing twice. The file stays, for the next attempt to read."""
    with default_storage.open(file) as stored:
        raw = stored.read()
    with job_scope(run):
        done = imports.import_sales(raw=raw, names=names, progress=run.progress)
    return {"imported": done.imported, "known": done.known, "left_out": done.left_out, "days": done.days, "revenue": str(done.revenue)}
