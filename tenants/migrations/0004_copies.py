from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_fence"),
    ]

    operations = [
        migrations.AddField(
            model_name="cafeteria",
            name="copied_moment",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="cafeteria",
            name="copy_of",
            field=models.UUIDField(blank=True, null=True),
        ),
    ]
