from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ops", "0004_clones"),
    ]

    operations = [
        migrations.CreateModel(
            name="OffsiteMedia",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("cafeteria_uuid", models.UUIDField()),
                ("sha256", models.CharField(max_length=64)),
                ("key_id", models.CharField(max_length=80)),
                ("offsite_key", models.CharField(max_length=300, unique=True)),
                ("noted_at", models.DateTimeField()),
                ("copied_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("cafeteria_uuid", "sha256", "key_id"), name="ops_picture_offsite_once_a_key")
                ],
            },
        ),
    ]
