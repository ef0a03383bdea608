from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("core", "0003_alerts")]

    operations = [
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("resolved_at__isnull", True)),
                fields=["kind", "severity"],
                name="core_alert_open",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("resolved_at__isnull", False)),
                fields=["resolved_at"],
                name="core_alert_resolved",
            ),
        ),
    ]
