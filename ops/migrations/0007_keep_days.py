from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ops", "0006_tries")]

    operations = [migrations.AddField("clone", "keep_days", models.PositiveIntegerField(null=True))]
