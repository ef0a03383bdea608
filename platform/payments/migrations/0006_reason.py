from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0005_ledger_is_not_emptied")]

    operations = [
        migrations.AddField(
            model_name="seller",
            name="reason",
            field=models.CharField(
                blank=True, choices=[("refused", "Refused"), ("locked", "Locked")], db_default="", default="", max_length=10
            ),
        ),
    ]
