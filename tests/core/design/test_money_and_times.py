from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from babel.numbers import format_decimal
from django.utils import translation

from core.design.formats import MONEY_STYLES, format_day, format_moment, format_money
from core.money import DECIMALS
from core.templatetags.comanda import extra_money, money

MENU_PRICES = [
    ("ARS", "3500", "$ 3.500"),
    ("ARS", "3500.50", "$ 3.500,50"),
    ("ARS", "1234567.00", "$ 1.234.567"),
    ("BRL", "12.5", "R$ 12,50"),
    ("BRL", "1250", "R$ 1.250,00"),
    ("CLP", "3500", "$ 3.500"),
    ("COP", "12900", "$ 12.900"),
    ("MXN", "1234.5", "$ 1,234.50"),
    ("PEN", "12.5", "S/ 12.50"),
    ("UYU", "350", "$ 350"),
    ("UYU", "350.5", "$ 350,50"),
    ("ARS", "-800", "-$ 800"),
    ("ARS", "0", "$ 0"),
]
LOCALES = {"ARS": "es_AR", "BRL": "pt_BR", "CLP": "es_CL", "COP": "es_CO", "MXN": "es_MX", "PEN": "es_PE", "UYU": "es_UY"}


@pytest.mark.parametrize(("currency", "amount", "written"), MENU_PRICES)
@pytest.mark.parametrize("language", ["es", "en"])
def test_money_is_written_as_the_country_writes_it_in_every_language(currency: str, amount: str, written: str, language: str) -> None:
    with translation.override(language):
        assert format_money(Decimal(amount), currency).replace("\N{NO-BREAK SPACE}", " ") == written


def test_every_currency_that_we_take_has_its_style() -> None:
    assert MONEY_STYLES.keys() == DECIMALS.keys()


@pytest.mark.parametrize("currency", DECIMALS)
def test_digits_are_grouped_as_cldr_says(currency: str) -> None:
    pattern = "#,##0." + "0" * DECIMALS[currency] if DECIMALS[currency] else "#,##0"
    expected = format_decimal(Decimal("98765.43") if DECIMALS[currency] else Decimal(98765), format=pattern, locale=LOCALES[currency])
    amount = Decimal("98765.43") if DECIMALS[currency] else Decimal(98765)
    assert format_money(amount, currency).split("\N{NO-BREAK SPACE}")[1] == expected


def test_halves_go_up_at_the_currencys_last_decimal() -> None:
    assert (money(Decimal("0.005"), "BRL")[-4:], money(Decimal("0.5"), "CLP")[-1:]) == ("0,01", "1")


def test_a_float_is_never_money() -> None:
    with pytest.raises(TypeError):
        money(3.5, "ARS")  # type: ignore[arg-type]


def test_nothing_is_written_for_no_amount() -> None:
    assert (money(None, "ARS"), extra_money(None, "ARS"), extra_money(Decimal(0), "ARS")) == ("", "", "")


def test_what_a_choice_adds_has_its_sign() -> None:
    assert [extra_money(Decimal(amount), "ARS").replace("\N{NO-BREAK SPACE}", " ") for amount in (300, -300)] == ["+ $ 300", "-$ 300"]


def test_times_are_the_cafeterias() -> None:
    moment = datetime(2025, 11, 24, 2, 5, tzinfo=UTC)
    assert format_moment(moment, "America/Argentina/Buenos_Aires") == "23:05"
    with translation.override("en"):
        assert format_moment(moment, "America/Argentina/Buenos_Aires", "datetime") == "Sun 23 Nov, 23:05"
    with translation.override("es"):
        assert format_day(date(2025, 11, 24)) == "24 nov 2025"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        format_moment(datetime(2025, 11, 24, 2, 5), "UTC")  # noqa: DTZ001 - what is tried
