from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ops", "0005_offsite_media")]

    operations = [
        migrations.AddField("clone", "tries", models.PositiveSmallIntegerField(db_default=0, default=0)),
        migrations.AddField("restore", "tries", models.PositiveSmallIntegerField(db_default=0, default=0)),
    ]
