"""The console's search finds jobs by their kind, however many there are. Jobs run meanwhile."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("core", "0006_jobs_know_their_request")]

    operations = [
        # One that was killed while it was made is there all the same, and of no use: it is made again.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS core_job_kind", migrations.RunSQL.noop),
        AddIndexConcurrently("job", models.Index(fields=["kind"], name="core_job_kind")),
    ]
