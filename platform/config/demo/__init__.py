"""The demo: three cafeterias with their people, menus and orders. For development only; config.demo.load brings them in."""

import json
from dataclasses import dataclass
from datetime import time
from functools import cache
from importlib.resources import files
from typing import Any

from tenants import routing

PASSWORD = "medialunas-2026"  # noqa: S105  Printed at every start: the demo refuses to load outside development.


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoPerson:
    role: str  # of accounts.User or of shop.people.Person
    full_name: str
    email: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoOrder:
    """One on the board of the first day."""

    by: str  # guest, or the role of one of the cafeteria's people
    status: str  # how far it has come
    lines: tuple[tuple[str, int, tuple[str, ...]], ...]  # product, quantity, choices; required ones that are left out are the first
    name: str = ""  # of a guest
    phone: str = ""
    table: str = ""
    notes: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoCafeteria:
    slug: str
    name: str
    description: str
    address: str
    currency: str
    timezone: str
    day_cutoff: time
    brand: str
    owner: str  # the e-mail of one of OWNERS
    menu: str  # files of this package
    sales: str | None  # compressed
    names: str | None
    people: tuple[DemoPerson, ...]
    board: tuple[DemoOrder, ...]


ADMIN = DemoPerson(role="admin", full_name="Equipo de Comanda", email="admin@comanda.example")
OWNERS = (
    DemoPerson(role="owner", full_name="Lucía Paredes", email="lucia@comanda.example"),
    DemoPerson(role="owner", full_name="Ignacio Neumann", email="ignacio@comanda.example"),
)


@cache
def demo_cafeterias() -> tuple[DemoCafeteria, ...]:
    return tuple(_cafeteria(facts) for facts in json.loads(read("cafeterias.json")))


def read(name: str) -> bytes:
    """A file of this package."""
    return (files(__name__) / name).read_bytes()


def sign_ins() -> list[tuple[str, str, str]]:
    """Who, at which address, with which "e-mail / password". Needs the settings, not the database."""
    rows = [(ADMIN.role, routing.platform_url(), ADMIN.email)]
    for owner in OWNERS:
        theirs = " and ".join(cafeteria.name for cafeteria in demo_cafeterias() if cafeteria.owner == owner.email)
        rows.append((f"owner of {theirs}", routing.platform_url(), owner.email))
    for cafeteria in demo_cafeterias():
        address = routing.site_url(cafeteria.slug)
        rows += [(f"{cafeteria.name}: {person.role}", address, person.email) for person in cafeteria.people]
    return [(who, address, f"{email} / {PASSWORD}") for who, address, email in rows]


def _cafeteria(facts: dict[str, Any]) -> DemoCafeteria:
    converted = {
        "day_cutoff": time.fromisoformat(facts["day_cutoff"]),
        "sales": facts.get("sales"),
        "names": facts.get("names"),
        "people": tuple(DemoPerson(**person) for person in facts["people"]),
        "board": tuple(_order(order) for order in facts["board"]),
    }
    return DemoCafeteria(**{**facts, **converted})


def _order(facts: dict[str, Any]) -> DemoOrder:
    lines = tuple((product, quantity, tuple(choices)) for product, quantity, choices in facts["lines"])
    return DemoOrder(**{**facts, "lines": lines})
