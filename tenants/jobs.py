"""The jobs of tenants."""

from core.jobs import JobRun, Json
from tenants import actions
from tenants.fleet.run import FleetOptions, migrate_fleet_schemas


def close_cafeteria(run: JobRun) -> Json:
    """Close the job's cafeteria. Closed already is done already."""
    if run.cafeteria.status != "closed":
        actions.close_cafeteria(cafeteria_id=run.cafeteria.id)
    return None


def drop_closed_cafeteria(run: JobRun) -> Json:
    """Drop the schema of the job's cafeteria, closed for long enough."""
    return {"dropped": actions.drop_closed_cafeteria(cafeteria_id=run.cafeteria.id)}


def migrate_fleet(run: JobRun, *, jobs: int = 2, only: str = "", canary: str = "", fail_after: int = 5) -> Json:
    """Bring all cafeterias to this code's head, from a worker of the long queue: tenants.fleet.run."""
    options = FleetOptions(jobs=jobs, only=only, canary=canary, fail_after=fail_after)

    def watch(done: int, total: int) -> None:
        run.check_cancelled()
        run.progress(done / total, f"{done} / {total}")

    report = migrate_fleet_schemas(options, on_progress=watch)
    return {"migrated": report.done, "failed": {failure.slug: failure.error for failure in report.failures}}
