"""Checkout Pro's preferences: what is for sale, and where the buyer goes afterwards."""

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from deploy.mercadopago.clock import read_moment, stamp
from deploy.mercadopago.emulator import Emulator, site_of
from deploy.mercadopago.errors import bad_request, not_found
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.paging import paged, read_paging
from deploy.mercadopago.sites import Site, read_amount
from deploy.mercadopago.store import Document

_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104  # names of this machine, nothing is bound
_LONGEST = {"statement_descriptor": 13, "notification_url": 500, "additional_info": 600}
_KNOWN = (
    *("items", "external_reference", "payer", "back_urls", "auto_return", "notification_url", "expires", "expiration_date_from"),
    *("expiration_date_to", "statement_descriptor", "marketplace_fee", "binary_mode", "payment_methods", "metadata", "additional_info"),
    *("shipments", "marketplace", "purpose"),
)


def create_preference(emulator: Emulator, request: Request) -> Response:
    given = _known(request.json())
    _check(given, request)
    now, identifier = emulator.clock.now(), f"{request.owner.id}-{uuid4()}"
    link = f"{emulator.configuration.public_url}/checkout/v1/redirect?pref_id={identifier}"
    body = {"id": identifier, "init_point": link, "sandbox_init_point": link, "collector_id": request.owner_id}
    body |= {"client_id": emulator.configuration.client_id, "site_id": request.owner.body["site_id"], "date_created": stamp(now)}
    body |= {"operation_type": "regular_payment", "expires": False, "binary_mode": False, "back_urls": {}, "metadata": {}, **given}
    preference = Document(kind="preference", id=identifier, owner=request.owner_id, created=now, updated=now, body=body)
    preference.reference = given.get("external_reference")
    emulator.store.save(preference)
    return answer(preference.public(), 201)


def show_preference(emulator: Emulator, request: Request, identifier: str) -> Response:
    return answer(_own(emulator, request, identifier).public())


def change_preference(emulator: Emulator, request: Request, identifier: str) -> Response:
    preference = _own(emulator, request, identifier)
    given = _known(request.json())
    whole = {name: preference.body[name] for name in _KNOWN if name in preference.body} | given
    _check(whole, request)
    preference.body |= given
    preference.updated, preference.reference = emulator.clock.now(), whole.get("external_reference")
    preference.body["last_updated"] = stamp(preference.updated)
    emulator.store.save(preference)
    return answer(preference.public())


def search_preferences(emulator: Emulator, request: Request) -> Response:
    conditions: dict[str, Any] = {"owner": request.owner_id}
    if "external_reference" in request.query:
        conditions["reference"] = request.query["external_reference"]
    paging = read_paging(request.query)
    found = emulator.store.select("preference", conditions, descending=True, limit=paging.limit, offset=paging.offset)
    shown = [preference.public() for preference in found]
    total = emulator.store.count("preference", conditions)
    return answer({"elements": shown, "next_offset": paging.offset + len(shown), "total": total, **paged(paging, total)})


def total_of(preference: Document) -> Decimal:
    return sum((Decimal(str(item["unit_price"])) * item["quantity"] for item in preference.body["items"]), Decimal(0))


def is_open(preference: Document, *, now: int) -> bool:
    """Whether its dates let it be paid."""
    body = preference.body
    if not body.get("expires"):
        return True
    begin, end = body.get("expiration_date_from"), body.get("expiration_date_to")
    return (not begin or read_moment(begin, now=now) <= now) and (not end or now < read_moment(end, now=now))


def _own(emulator: Emulator, request: Request, identifier: str) -> Document:
    preference = emulator.store.find("preference", identifier)
    if preference is None or preference.owner != request.owner_id:
        raise not_found("preference not found")
    return preference


def _known(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _KNOWN if name in given}


def _check(given: dict[str, Any], request: Request) -> None:
    """Raises ApiError (400) as Mercado Pago does."""
    site = site_of(request.owner)
    _check_shapes(given)
    _check_items(given.get("items"), site)
    reference = given.get("external_reference")
    if reference is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(reference)):
        raise bad_request("external_reference must be 1 to 64 of A-Z a-z 0-9 _ -", error="invalid_external_reference")
    for name, longest in _LONGEST.items():
        text = given.get(name)
        if text is not None and (
            not isinstance(text, str) or len(text) > longest or (name == "statement_descriptor" and not text.isascii())
        ):
            raise bad_request(f"{name} must be text of at most {longest} characters", error=f"invalid_{name}")
    _check_urls(given)
    _check_dates(given)
    fee = given.get("marketplace_fee")
    if fee:
        if request.token is None or not request.token.body["oauth"]:
            raise bad_request("marketplace_fee needs the access token of a connected seller", error="invalid_marketplace_fee")
        total = sum((Decimal(str(item["unit_price"])) * item["quantity"] for item in given["items"]), Decimal(0))
        if not 0 < read_amount(fee, site, "marketplace_fee") < total:
            raise bad_request("marketplace_fee must be positive and below the total", error="invalid_marketplace_fee")


def _check_shapes(given: dict[str, Any]) -> None:
    for name in ("back_urls", "payer", "metadata", "payment_methods"):
        if not isinstance(given.get(name) or {}, dict):
            raise bad_request(f"{name} must be an object", error=f"invalid_{name}")
    excluded = (given.get("payment_methods") or {}).get("excluded_payment_types") or []
    if not isinstance(excluded, list) or not all(isinstance(kind, dict) for kind in excluded):
        raise bad_request("excluded_payment_types must be a list of objects", error="invalid_payment_methods")


def _check_items(items: Any, site: Site) -> None:
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise bad_request("items needed", error="invalid_items")
    for item in items:
        title, quantity = item.get("title"), item.get("quantity")
        if not isinstance(title, str) or not 0 < len(title) <= 256:
            raise bad_request("title of an item needed, of at most 256 characters", error="invalid_items")
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
            raise bad_request("quantity must be a whole number above 0", error="invalid_items")
        if item.setdefault("currency_id", site.currency) != site.currency:
            raise bad_request(f"currency_id invalid: this seller charges in {site.currency}", error="invalid_items")
        if read_amount(item.get("unit_price"), site, "unit_price") <= 0:
            raise bad_request("unit_price invalid", error="invalid_items")


def _check_urls(given: dict[str, Any]) -> None:
    urls = given.get("back_urls") or {}
    for name, url in {**urls, "notification_url": given.get("notification_url")}.items():
        if url and (not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}):
            raise bad_request(f"{name} must be an address on the web", error=f"invalid_{name}")
    auto_return = given.get("auto_return")
    if not auto_return:
        return
    if auto_return not in {"approved", "all"}:
        raise bad_request("auto_return must be approved or all", error="invalid_auto_return")
    success = urlsplit(urls.get("success") or "")
    host = success.hostname or ""
    if success.scheme != "https" or host in _LOCAL or host.endswith(".localhost"):
        error = bad_request("auto_return invalid. back_url.success must be defined", error="invalid_auto_return")
        error.cause = None
        raise error


def _check_dates(given: dict[str, Any]) -> None:
    for name in ("expiration_date_from", "expiration_date_to"):
        if given.get(name) is not None:
            try:
                read_moment(str(given[name]), now=0)
            except ValueError:
                raise bad_request(f"{name} must be like 2026-11-01T12:30:00.000-03:00", error=f"invalid_{name}") from None
