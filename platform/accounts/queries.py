from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.support import Standing, standings_of
from core.design.formats import format_day_and_time
from tenants.errors import SlugTaken
from tenants.models import Cafeteria, Pulse
from tenants.queries import cafeterias_of
from tenants.routing import site_url
from tenants.slugs import check_slug, free_slugs


@dataclass(frozen=True, kw_only=True)
class OwnedCafeteria:
    """A cafeteria on its owner's home."""

    cafeteria: Cafeteria
    url: str
    has_menu: bool
    has_orders: bool
    support: Standing
    plan: Any  # billing.queries.PlanLine, which stands above: None when it has none yet

    @property
    def short_url(self) -> str:
        return self.url.partition("://")[2]

    @property
    def is_open(self) -> bool:
        return self.cafeteria.status == Cafeteria.Status.OPEN

    @property
    def copied_moment(self) -> str:
        """What a copy of a cafeteria shows; empty for one that is none."""
        return self._told(self.cafeteria.copied_moment)

    @property
    def closes_at(self) -> str:
        """When a copy closes by itself; empty: only when somebody closes it."""
        return self._told(self.cafeteria.closes_at)

    @property
    def is_started(self) -> bool:
        return self.has_menu and self.has_orders

    def _told(self, moment: datetime | None) -> str:
        return format_day_and_time(moment, self.cafeteria.timezone) if moment is not None else ""


def owned_cafeterias(owner_id: int) -> list[OwnedCafeteria]:
    """Those of an owner, with how far each has come and its plan. Five queries however many: the pulse tells of menu and orders."""
    cafeterias = list(cafeterias_of(owner_id))
    pulses = {pulse.cafeteria_id: pulse for pulse in Pulse.objects.filter(cafeteria__in=cafeterias)}
    plans = import_string(settings.CAFETERIA_PLANS)(cafeterias)
    support = standings_of(cafeteria.pk for cafeteria in cafeterias)
    return [
        _owned(cafeteria, pulses.get(cafeteria.pk), plan=plans.get(cafeteria.uuid), support=support[cafeteria.pk])
        for cafeteria in cafeterias
    ]


def address_for(*, name: str, slug: str) -> str:
    """The slug that a cafeteria would get. Raises InvalidSlug, SlugReserved, SlugTaken for one that was asked for and cannot be had."""
    if not slug:
        return next(free_slugs(name)) if name.strip() else ""
    check_slug(slug)
    if Cafeteria.objects.filter(slug=slug).exists():
        raise SlugTaken(slug=slug)
    return slug


def _owned(cafeteria: Cafeteria, pulse: Pulse | None, *, plan: Any, support: Standing) -> OwnedCafeteria:
    return OwnedCafeteria(
        cafeteria=cafeteria,
        url=site_url(cafeteria.slug),
        has_menu=pulse is not None and pulse.menu > 1,
        has_orders=pulse is not None and pulse.orders > 1,
        support=support,
        plan=plan,
    )
