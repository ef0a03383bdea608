from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_copies")]

    operations = [migrations.AddField("cafeteria", "closes_at", models.DateTimeField(blank=True, null=True))]
