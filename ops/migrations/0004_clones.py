from django.db import migrations, models

import core.jobs.models


class Migration(migrations.Migration):
    dependencies = [
        ("ops", "0003_moments"),
    ]

    operations = [
        migrations.CreateModel(
            name="Clone",
            fields=[
                ("id", models.UUIDField(default=core.jobs.models.new_job_id, editable=False, primary_key=True, serialize=False)),
                ("cafeteria_uuid", models.UUIDField()),
                ("slug", models.CharField(max_length=63)),
                ("copy_uuid", models.UUIDField(unique=True)),
                ("copy_id", models.BigIntegerField()),
                ("backup_id", models.UUIDField(null=True)),
                ("file", models.CharField(blank=True, default="", max_length=400)),
                ("with_staff", models.BooleanField(default=False)),
                (
                    "phase",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("done", "Done"), ("failed", "Failed")], default="waiting", max_length=10
                    ),
                ),
                ("moment", models.DateTimeField(null=True)),
                ("media", models.JSONField(default=list)),
                ("requested_by", models.CharField(blank=True, default="", max_length=254)),
                ("job_id", models.UUIDField(null=True)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, default="", max_length=500)),
                ("report", models.JSONField(default=dict)),
            ],
            options={
                "indexes": [models.Index(fields=["cafeteria_uuid", "-started_at"], name="ops_clone_newest")],
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("phase", "waiting")), fields=("slug",), name="ops_one_clone_an_address")
                ],
            },
        ),
    ]
