from config.demo.sellers import connect
from core.jobs import JobRun, Json


def connect_test_seller(run: JobRun) -> Json:
    """An account at the stand-in for the job's cafeteria. In development only."""
    return {"connected": connect(run.cafeteria.uuid)}
