from django.db import migrations, models

KINDS = [
    ("hourly", "Hourly"),
    ("weekly", "Weekly"),
    ("manual", "Manual"),
    ("safety", "Safety"),
    ("final", "Final"),
    ("moment", "Moment"),
]


class Migration(migrations.Migration):
    dependencies = [("ops", "0002_offsite")]

    operations = [migrations.AlterField("backup", "kind", models.CharField(choices=KINDS, max_length=8))]
