# When a buyer who came back last had Mercado Pago asked: bounds how often one payment is looked at.

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0002_ledger_is_final"),
    ]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="looked_at",
            field=models.DateTimeField(null=True),
        ),
    ]
