"""How `make run` chooses and keeps its stand-in for Mercado Pago."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.dev import mercadopago
from config.dev.environment import development_environment
from config.dev.mercadopago import HIGHEST, THEIRS, chosen_stand_in, free_port, is_free, is_wanted, kept_stand_in
from tests.processes import REPOSITORY


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*THEIRS, "COMANDA_ENV", "PORT", "PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMANDA_DATA", str(tmp_path))


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def test_it_is_near_the_port_of_the_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mercadopago, "is_free", lambda _port: True)
    for port, near in ((8000, 28000), (60000, 40000)):
        (tmp_path / str(port)).mkdir()
        assert chosen_stand_in(tmp_path / str(port), port=port).port == near <= HIGHEST


def test_it_is_kept_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    first = chosen_stand_in(tmp_path, port=free_port())
    assert chosen_stand_in(tmp_path, port=free_port()) == first == kept_stand_in(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mercadopago.json"]
    assert (tmp_path / "mercadopago.json").stat().st_mode & 0o777 == 0o600
    assert len({first.key, first.client_secret, first.webhook_secret, first.access_token}) == 4


def test_a_taken_port_gives_way_and_the_secrets_stay(tmp_path: Path, taken: int) -> None:
    assert not is_free(taken)
    mercadopago.keep(tmp_path / "mercadopago.json", mercadopago.StandIn(port=taken, key="kept-key"))
    again = chosen_stand_in(tmp_path, port=free_port())
    assert again.port != taken
    assert again.key == "kept-key"
    assert kept_stand_in(tmp_path) == again


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "mercadopago.json").write_text("{")
    with pytest.raises(ImproperlyConfigured, match="Remove it"):
        chosen_stand_in(tmp_path, port=8000)


@pytest.mark.parametrize("name", THEIRS)
def test_another_mercado_pago_takes_its_place(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert is_wanted()
    monkeypatch.setenv(name, "https://api.mercadopago.com")
    assert not is_wanted()


def test_production_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMANDA_ENV", "production")
    assert not is_wanted()


def test_every_command_finds_the_one_that_was_chosen(tmp_path: Path) -> None:
    with development_environment(["help"]):
        assert "MERCADOPAGO_URL" not in os.environ
    stand_in = chosen_stand_in(tmp_path, port=free_port())
    with development_environment(["help"]):
        assert os.environ["MERCADOPAGO_URL"] == f"http://127.0.0.1:{stand_in.port}"
        assert os.environ["MERCADOPAGO_AUTH_URL"] == f"http://localhost:{stand_in.port}"
        assert os.environ["MERCADOPAGO_EMULATOR_KEY"] == stand_in.key
        assert os.environ["MERCADOPAGO_APP_WEBHOOK_URL"] == "http://localhost:8000/webhooks/mp"
    assert "MERCADOPAGO_URL" not in os.environ


def settings_of(
    shows: str = "s.MERCADOPAGO_URL, s.MERCADOPAGO_EMULATOR_KEY, s.CAFETERIA_OPENED, s.FORM_TARGETS[0]", **environment: str
) -> subprocess.CompletedProcess[str]:
    """What a process of its own makes of the environment."""
    shown = f"from django.conf import settings as s; print({shows})"
    base = {"SECRET_KEY": "x" * 60, "PUBLIC_URL": "https://comanda.example", "DATABASE_URL": "postgresql://a@b/c"}
    values = {**os.environ, **base, "DJANGO_SETTINGS_MODULE": "config.settings", **environment}
    return subprocess.run(
        (sys.executable, "-c", shown), check=False, capture_output=True, text=True, cwd=REPOSITORY, env=values, timeout=60
    )


@pytest.mark.parametrize("name", ["MERCADOPAGO_URL", "MERCADOPAGO_AUTH_URL"])
def test_production_talks_to_mercado_pago_alone(name: str) -> None:
    refused = settings_of(COMANDA_ENV="production", **{name: "http://localhost:28000"})
    assert refused.returncode != 0
    assert "production talks to Mercado Pago" in refused.stderr
    fine = settings_of(COMANDA_ENV="production", MERCADOPAGO_EMULATOR_KEY="left-over")
    opened = ["shop.people.actions.admit_owner", "billing.actions.begin_trial"]
    assert fine.stdout == f"https://api.mercadopago.com  {opened} https://auth.mercadopago.com\n", fine.stderr


def test_only_with_a_stand_in_new_cafeterias_get_an_account() -> None:
    given = settings_of(
        MERCADOPAGO_URL="http://127.0.0.1:28000/", MERCADOPAGO_AUTH_URL="http://localhost:28000", MERCADOPAGO_EMULATOR_KEY="k"
    )
    hooks = ["shop.people.actions.admit_owner", "billing.actions.begin_trial", "config.demo.sellers.connect_test_seller"]
    assert given.stdout == f"http://127.0.0.1:28000 k {hooks} http://localhost:28000\n", given.stderr


def test_all_of_the_fee_cannot_be_the_platforms() -> None:
    assert "PLATFORM_FEE_PERCENT is 100 or more" in settings_of(PLATFORM_FEE_PERCENT="100").stderr


def test_plans_are_priced_in_a_currency_that_there_is() -> None:
    assert "PLATFORM_CURRENCY is 'EUR'" in settings_of(PLATFORM_CURRENCY="EUR").stderr


@pytest.mark.parametrize(("environment", "enforced"), [("production", "True"), ("development", "False")])
def test_who_does_not_pay_is_suspended_in_production_alone(environment: str, enforced: str) -> None:
    assert settings_of("s.BILLING_ENFORCED", COMANDA_ENV=environment).stdout == f"{enforced}\n"
