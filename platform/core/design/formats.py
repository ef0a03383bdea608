"""How money and times are written. Money follows the cafeteria's country in every language; times follow its zone."""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal
from babel.units import format_unit
from django.utils.translation import get_language

from core.money import DECIMALS, quantize

NO_BREAK = "\N{NO-BREAK SPACE}"
Kind = Literal["time", "date", "datetime", "exact", "zoned"]
PATTERNS: dict[Kind, str] = {
    "time": "HH:mm",
    "date": "d MMM y",
    "datetime": "EEE d MMM, HH:mm",
    "exact": "d MMM y, HH:mm:ss",
    "zoned": "d MMM y, HH:mm (ZZZZ)",  # GMT-03:00: for whoever reads it elsewhere
}


@dataclass(frozen=True, kw_only=True)
class MoneyStyle:
    symbol: str
    comma_decimals: bool  # 1.234,50 as in the south; else 1,234.50
    short: bool  # whole amounts lose their decimals, as menus there write them


MONEY_STYLES = {
    "ARS": MoneyStyle(symbol="$", comma_decimals=True, short=True),
    "BRL": MoneyStyle(symbol="R$", comma_decimals=True, short=False),
    "CLP": MoneyStyle(symbol="$", comma_decimals=True, short=True),
    "COP": MoneyStyle(symbol="$", comma_decimals=True, short=True),
    "MXN": MoneyStyle(symbol="$", comma_decimals=False, short=False),
    "PEN": MoneyStyle(symbol="S/", comma_decimals=False, short=False),
    "UYU": MoneyStyle(symbol="$", comma_decimals=True, short=True),
}
SWAP_SEPARATORS = str.maketrans(",.", ".,")


def format_money(amount: Decimal, currency: str) -> str:
    """`$ 3.500`, `R$ 12,50`: as the currency's country writes it, with a no-break space. KeyError for a currency that we do not take."""
    style = MONEY_STYLES[currency]
    exact = quantize(amount, currency)
    decimals = 0 if style.short and exact == exact.to_integral_value() else DECIMALS[currency]
    number = f"{abs(exact):,.{decimals}f}"
    if style.comma_decimals:
        number = number.translate(SWAP_SEPARATORS)
    return f"{'-' if exact < 0 else ''}{style.symbol}{NO_BREAK}{number}"


def style_for_scripts(currency: str) -> str:
    """How this country writes money, for a script that keeps an amount counting."""
    style = MONEY_STYLES[currency]
    return json.dumps({"symbol": style.symbol, "comma": style.comma_decimals, "short": style.short, "decimals": DECIMALS[currency]})


def format_moment(moment: datetime, timezone: str, kind: Kind = "time") -> str:
    """The moment on the clock of that zone, in the active language. ValueError for a naive one, which has no zone to convert from."""
    if moment.tzinfo is None:
        raise ValueError("A moment without a time zone cannot be shown in another one.")
    local = moment.astimezone(ZoneInfo(timezone))
    return format_datetime(local, PATTERNS[kind], locale=_babel_locale())


def format_day_and_time(moment: datetime, timezone: str) -> str:
    """`24 nov 2025, 15:12`: for what may be long ago. ValueError as format_moment."""
    return f"{format_moment(moment, timezone, 'date')}, {format_moment(moment, timezone)}"


def format_day(day: date) -> str:
    """A calendar day in the active language: `24 nov 2025`."""
    return format_date(day, PATTERNS["date"], locale=_babel_locale())


def format_ago(moment: datetime, now: datetime) -> str:
    """`hace 3 horas`, `in 2 days`: how far from now, in the active language and the largest unit that fits."""
    return format_timedelta(moment - now, add_direction=True, threshold=1.5, locale=_babel_locale())


def format_lasting(seconds: float) -> str:
    """`0,04 s`, `12 s`, `3 min`: how long something took or takes, in the active language."""
    if seconds >= 90:
        return format_timedelta(timedelta(seconds=seconds), threshold=1.5, format="short", locale=_babel_locale())
    rounded = round(seconds, 2) if seconds < 1 else round(seconds, 1) if seconds < 5 else round(seconds)
    return format_unit(rounded, "duration-second", "short", locale=_number_locale())


def format_count(number: int) -> str:
    """`12.345` or `12,345`, as the active language writes it."""
    return format_decimal(number, locale=_number_locale())


def _number_locale() -> str:
    """Spanish numbers are written as the money beside them: es_419 writes them as Mexico does."""
    return "es_AR" if _babel_locale() == "es_419" else _babel_locale()


def _babel_locale() -> str:
    return "en" if (get_language() or "").startswith("en") else "es_419"
