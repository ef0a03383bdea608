"""The settings of the off-site storage: wrong ones end the start, with what to do."""

import os
import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

RIGHT = {"S3_BUCKET": "backups", "S3_ACCESS_KEY": "AKTEST", "S3_SECRET_KEY": "only-for-tests"}


def settings_of(**environment: str) -> subprocess.CompletedProcess[str]:
    code = "from django.conf import settings as s; print(repr((s.S3_BUCKET, s.S3_PREFIX, s.S3_ENDPOINT, s.S3_REGION, s.BACKUP_LOCAL_DAYS)))"
    ours = {name: value for name, value in os.environ.items() if not name.startswith("S3_")}
    values = {**ours, "PUBLIC_URL": "https://comanda.test", "DJANGO_SETTINGS_MODULE": "config.settings", **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=values, capture_output=True, text=True, check=False)


def test_it_is_off_without_a_bucket() -> None:
    assert settings_of().stdout.strip() == "('', '', '', 'us-east-1', 7)"


def test_everything_can_be_said() -> None:
    said = {"S3_ENDPOINT": "https://s3.example.com/", "S3_REGION": "sa-east-1", "S3_PREFIX": "/a/b/", "BACKUP_LOCAL_DAYS": "3"}
    found = settings_of(COMANDA_ENV="production", **RIGHT, **said)
    assert found.stdout.strip() == "('backups', 'a/b', 'https://s3.example.com', 'sa-east-1', 3)", found.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"S3_SECRET_KEY": ""}, "Set all three, or none."),
        ({"S3_BUCKET": "s3://backups"}, "Give its name alone"),
        ({"S3_BUCKET": "ab"}, "Give its name alone"),
        ({"S3_ENDPOINT": "s3.example.com"}, "without user, bucket or path"),
        ({"S3_ENDPOINT": "https://s3.example.com/backups"}, "without user, bucket or path"),
        ({"S3_ENDPOINT": "https://user:password@s3.example.com"}, "without user, bucket or path"),
        ({"S3_ENDPOINT": "http://s3.example.com"}, "is plain http to another machine"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
def test_what_is_wrong_is_said(change: dict[str, str], said: str) -> None:
    refused = settings_of(COMANDA_ENV="production", **{**RIGHT, **change})
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "only-for-tests" not in refused.stderr
    assert "password" not in refused.stderr


@pytest.mark.parametrize(
    ("environment", "address"),
    [("development", "http://s3.lan:9000"), ("production", "http://localhost:9000"), ("production", "http://127.0.0.1:9000")],
)
def test_plain_http_goes_no_further_than_it_may(environment: str, address: str) -> None:
    assert address in settings_of(COMANDA_ENV=environment, **RIGHT, S3_ENDPOINT=address).stdout
