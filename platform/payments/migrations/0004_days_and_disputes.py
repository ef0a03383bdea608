# What our side says of a day, fees included, beside what theirs says; and open disputes, which every page of the staff counts.

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0003_buyers_look")]

    operations = [
        migrations.AddField(
            model_name="daystatement",
            name="our_fees",
            field=models.DecimalField(db_default=0, decimal_places=2, default=0, max_digits=12),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(condition=models.Q(("disputed", True)), fields=["cafeteria_uuid"], name="payments_charge_disputed"),
        ),
    ]
