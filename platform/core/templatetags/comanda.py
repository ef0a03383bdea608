"""Comanda's template language, built in for every template (settings.TEMPLATES)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.template.context import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone as clock
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.design.drawings import DRAWINGS, drawing_for
from core.design.formats import NO_BREAK, Kind, format_ago, format_count, format_day, format_lasting, format_moment, format_money

register = template.Library()


@register.filter
def money(amount: Decimal | int | str | None, currency: str) -> str:
    """`{{ product.price|money:cafeteria.currency }}`. Nothing for None; TypeError for a float."""
    if amount is None or amount == "":
        return ""
    if isinstance(amount, float):
        raise TypeError("Money is never a float.")
    return format_money(Decimal(amount), currency)


@register.filter
def extra_money(amount: Decimal | int | str | None, currency: str) -> str:
    """What a choice adds: `+ $ 300`, or nothing when it costs nothing."""
    if not amount or Decimal(amount) == 0:
        return ""
    written = money(amount, currency)
    return written if written.startswith("-") else f"+{NO_BREAK}{written}"


@register.filter(name="local_time")
def local_time_filter(moment: datetime | None, timezone: str) -> str:
    """The time of day in that zone, as plain text, for sentences and attributes."""
    return format_moment(moment, timezone) if moment else ""


@register.filter
def exact_time(moment: datetime | None, timezone: str) -> str:
    """Day and time of day to the second in that zone, as plain text."""
    return format_moment(moment, timezone, "exact") if moment else ""


@register.simple_tag
def local_time(moment: datetime | None, timezone: str, kind: Kind = "time") -> str:
    """`{% local_time order.created_at cafeteria.timezone "datetime" %}`: a <time> element."""
    if moment is None:
        return ""
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), format_moment(moment, timezone, kind))


@register.simple_tag
def time_since(moment: datetime, timezone: str) -> str:
    """How long ago, kept counting by comanda.js; without it, the time of day."""
    return format_html('<time datetime="{}" data-since>{}</time>', moment.isoformat(), format_moment(moment, timezone))


@register.simple_tag
def ago(moment: datetime | None, timezone: str) -> str:
    """`hace 3 horas`, with the exact moment in that zone for whoever points at it."""
    if moment is None:
        return ""
    exact = f"{format_moment(moment, timezone, 'exact')} ({timezone})"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, format_ago(moment, clock.now()))


@register.filter
def lasting(seconds: float | None) -> str:
    """How long something took: `0,04 s`."""
    return "" if seconds is None else format_lasting(seconds)


@register.filter
def count(number: int | None) -> str:
    """`12.345`, as the active language writes it."""
    return "" if number is None else format_count(number)


@register.filter
def day(value: date | None) -> str:
    """A calendar day in the active language: `24 nov 2025`."""
    return format_day(value) if value else ""


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing of core/sprite.svg, 1.25 times the text, hidden from screen readers: the words beside it speak."""
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("core/sprite.svg"), name)


@register.simple_tag
def drawing(name: str) -> SafeString:
    """The placeholder for a product without a picture: one of core.design.drawings.DRAWINGS, or a category's name to guess it from."""
    chosen = name if name in DRAWINGS else drawing_for(name)
    address = f"{static('core/sprite.svg')}#draw-{chosen}"
    return format_html('<div class="placeholder"><svg aria-hidden="true"><use href="{}"></use></svg></div>', address)


@register.simple_tag(takes_context=True)
def nav_link(context: Context, name: str, label: str, icon_name: str = "") -> str:
    """A link to the URL of that name, marked when it is the present page; nothing where this host has no such page."""
    try:
        address = reverse(name)
    except NoReverseMatch:
        return ""
    request = context.get("request")
    current = format_html(' aria-current="{}"', "page") if request is not None and request.path == address else ""
    return format_html('<a href="{}"{}>{}{}</a>', address, current, icon(icon_name) if icon_name else "", label)


@register.simple_block_tag(takes_context=True)
def card(context: Context, content: str, title: str = "", level: int = 2) -> str:
    """`{% card title=_("Hours") %}…{% endcard %}`."""
    return _block(context, "card", content=content, title=title, level=level)


@register.simple_block_tag(takes_context=True)
def sheet(context: Context, content: str, title: str, close: str) -> str:
    """A page that comanda.js can open over another one; `close` is the address that it closes to without JavaScript."""
    return _block(context, "sheet", content=content, title=title, close=close)


@register.simple_block_tag(takes_context=True)
def notice(context: Context, content: str, kind: str = "info") -> str:
    """Something to know on this page: kind good, info, warn or bad."""
    return _block(context, "notice", content=content, kind=kind, icon_name=NOTICE_ICONS[kind])


NOTICE_ICONS = {"good": "check", "info": "info", "warn": "warning", "bad": "warning"}


def _block(context: Context, component: str, **values: Any) -> str:
    return render_to_string(f"core/components/{component}.html", values, request=context.get("request"))


@dataclass(frozen=True, kw_only=True)
class Bar:
    label: str
    text: str  # the value as people read it
    percent: str  # of the largest, with a point whatever the language
    offset: str  # of a column, from the left
    rest: str  # 100 less percent: SVG counts from the top


Point = tuple[str, Decimal | int, str]  # label, value, value as people read it


@register.inclusion_tag("core/components/chart_columns.html")
def columns_chart(points: Sequence[Point], caption: str) -> dict[str, Any]:
    """Values over time. Each point is (label, value, value as people read it)."""
    return {"bars": list(_bars(points)), "caption": caption, "width": len(points) * 10}


@register.inclusion_tag("core/components/chart_bars.html")
def bars_chart(points: Sequence[Point], caption: str) -> dict[str, Any]:
    """Things compared, largest as wide as there is room. Points as in columns_chart."""
    return {"bars": list(_bars(points)), "caption": caption}


def _bars(points: Sequence[Point]) -> Iterable[Bar]:
    largest = max((Decimal(value) for _label, value, _text in points), default=Decimal(0)) or Decimal(1)
    for index, (label, value, text) in enumerate(points):
        percent = max(Decimal(0), Decimal(value) * 100 / largest).quantize(Decimal("0.1"))
        yield Bar(label=label, text=text, percent=str(percent), offset=str(index * 10 + 1), rest=str(100 - percent))
