"""Settings that come as files, as the secrets of containers do, and staging, which is production without real money."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env
from tests.processes import REPOSITORY

STAGING = {"COMANDA_ENV": "staging", "PUBLIC_URL": "https://comanda.test"}


def settings_of(shown: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"from django.conf import settings as s; print({shown}, end='')"
    values = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=values, capture_output=True, text=True, check=False)


def test_a_setting_comes_from_its_file_without_the_line_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-the-file\n")
    monkeypatch.setenv("COMANDA_SAMPLE_FILE", str(tmp_path / "secret"))
    assert env.text("COMANDA_SAMPLE") == "from-the-file"
    assert env.required("COMANDA_SAMPLE", hint="") == "from-the-file"
    assert env.words("COMANDA_SAMPLE") == ["from-the-file"]


def test_numbers_and_switches_come_from_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1\n")
    monkeypatch.setenv("COMANDA_SAMPLE_FILE", str(tmp_path / "one"))
    assert (env.integer("COMANDA_SAMPLE", 5), env.boolean("COMANDA_SAMPLE", default=False)) == (1, True)


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMANDA_SAMPLE_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ImproperlyConfigured, match=r"COMANDA_SAMPLE_FILE leads to .*nothing, which cannot be read \(No such file"):
        env.text("COMANDA_SAMPLE")


def test_a_value_and_a_file_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    monkeypatch.setenv("COMANDA_SAMPLE", "loud")
    monkeypatch.setenv("COMANDA_SAMPLE_FILE", str(tmp_path / "secret"))
    with pytest.raises(ImproperlyConfigured, match="both set") as caught:
        env.text("COMANDA_SAMPLE")
    assert "hush" not in str(caught.value)
    assert "loud" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "password", "whole"),
    [
        ("postgresql://c@db:5432/comanda", "a/b:c@d", "postgresql://c:a%2Fb%3Ac%40d@db:5432/comanda"),
        ("postgresql://c:own@db/comanda", "other", "postgresql://c:own@db/comanda"),
        ("postgresql://db/comanda", "other", "postgresql://db/comanda"),
        ("postgresql://c@db/comanda", "", "postgresql://c@db/comanda"),
        ("", "other", ""),
    ],
)
def test_the_password_joins_an_address_without_one(monkeypatch: pytest.MonkeyPatch, address: str, password: str, whole: str) -> None:
    monkeypatch.setenv("COMANDA_SAMPLE", address)
    assert env.with_password("COMANDA_SAMPLE", password) == whole


def test_staging_reads_its_database_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss\n")
    (tmp_path / "key").write_text("k" * 50)
    files = {"DATABASE_PASSWORD_FILE": str(tmp_path / "password"), "SECRET_KEY_FILE": str(tmp_path / "key"), "SECRET_KEY": ""}
    addresses = {"DATABASE_URL": "postgresql://c@pool:6432/c", "DATABASE_DIRECT_URL": "postgresql://c@db:5432/c"}
    shown = settings_of("s.DATABASES['default']['PASSWORD'], s.DATABASE_DIRECT_URL, s.SECRET_KEY[:3]", **STAGING, **files, **addresses)
    assert shown.stdout == "p@ss postgresql://c:p%40ss@db:5432/c kkk", shown.stderr


def test_staging_is_as_strict_as_production_but_for_money_and_files() -> None:
    elsewhere = {"MERCADOPAGO_URL": "http://mercadopago:8080", "S3_ENDPOINT": "http://s3:8333"}
    shown = settings_of("s.DEVELOPMENT, s.MERCADOPAGO_URL, s.S3_ENDPOINT, s.BILLING_ENFORCED", **STAGING, **elsewhere)
    assert shown.stdout == "False http://mercadopago:8080 http://s3:8333 True", shown.stderr
    assert "not https" in settings_of("s.HTTPS", **{**STAGING, "PUBLIC_URL": "http://comanda.test"}).stderr
    assert "too short" in settings_of("s.HTTPS", **STAGING, SECRET_KEY="short").stderr
