"""The pages where a buyer pays and a cafeteria subscribes."""

from html import escape
from urllib.parse import urlencode

from deploy.mercadopago import subscriptions
from deploy.mercadopago.emulator import Emulator, site_of
from deploy.mercadopago.markup import button, document, link, message, money
from deploy.mercadopago.messages import Request, Response, page, redirect
from deploy.mercadopago.payments import pay_preference
from deploy.mercadopago.preferences import is_open, total_of
from deploy.mercadopago.store import Document

_RETURNS = {"approved": "success", "rejected": "failure", "pending": "pending", "in_process": "pending"}
_TOLD = {
    "approved": ("¡Listo! Tu pago se acreditó", "Operación n.º {id}.", "good"),
    "rejected": ("Tu tarjeta rechazó el pago", "Podés intentar de nuevo con otra tarjeta.", "bad"),
    "pending": ("Falta que pagues en efectivo", "Mostrá este código en el local de cobro: {id}.", "wait"),
    "in_process": ("Estamos revisando tu pago", "Te avisaremos en menos de dos días hábiles. Operación n.º {id}.", "wait"),
}


def show_checkout(emulator: Emulator, request: Request) -> Response:
    preference = emulator.store.find("preference", request.query.get("pref_id", ""))
    return _refused(emulator, preference) or page(_checkout(emulator, _there(preference)))


def answer_checkout(emulator: Emulator, request: Request) -> Response:
    """A button of the page. A payment is told before or after the buyer is sent back, as the settings say."""
    found = emulator.store.find("preference", request.query.get("pref_id", ""))
    if refused := _refused(emulator, found):
        return refused
    preference, action = _there(found), request.form().get("action", "")
    if action == "back":
        return _go_back(preference)
    outcomes = {"pay": ["approved"], "reject": ["rejected"], "pending": [_waiting(preference)], "pay-twice": ["approved", "approved"]}
    if action not in outcomes or (action == "pending" and preference.body["binary_mode"]):
        return page(message("No se puede", "Esta forma de pagar no está disponible.", tone="bad"), 400)
    delay = emulator.settings["return_delay"] if emulator.settings["return"] == "redirect_before_webhook" else 0
    attempts = [pay_preference(emulator, preference, outcome=outcome, delay=delay) for outcome in outcomes[action]]
    sent = [delivery for _, deliveries in attempts for delivery in deliveries]
    response = _result(emulator, preference, attempts[-1][0])
    if emulator.settings["return"] != "webhook_before_redirect":
        return response

    def told() -> Response:
        emulator.sender.wait_for_first_attempts(sent)
        return response

    return Response(after=told)


def show_subscription(emulator: Emulator, request: Request) -> Response:
    preapproval = emulator.store.find("preapproval", request.query.get("preapproval_id", ""))
    if preapproval is None or preapproval.status != "pending":
        return page(message("Esta suscripción no está disponible", "El enlace ya se usó o no existe.", tone="bad"), 404)
    seller = emulator.seller(preapproval.owner or 0)
    assert seller is not None
    body, recurring, site = preapproval.body, preapproval.body["auto_recurring"], site_of(seller)
    trial = recurring.get("free_trial")
    units = {"days": "días", "months": "meses"}
    free = f"<p>Gratis los primeros {trial['frequency']} {units[trial['frequency_type']]}.</p>" if trial else ""
    content = (
        f"<section><small>Suscripción a {escape(seller.body['nickname'])}</small>"
        f'<h1 data-testid="title">{escape(body["reason"])}</h1>{free}'
        f'<p class="total"><span>Cada {recurring["frequency"]} {units[recurring["frequency_type"]]}</span>'
        f'<span data-testid="total">{money(recurring["transaction_amount"], site)}</span></p></section><section><form method="post">'
        f"{button('confirm', 'Confirmar', main=True)}{button('confirm-bad-card', 'Confirmar con una tarjeta que será rechazada')}"
        f"{button('back', 'Volver sin suscribirme')}</form></section>"
    )
    return page(document(body["reason"], content))


def answer_subscription(emulator: Emulator, request: Request) -> Response:
    preapproval = emulator.store.find("preapproval", request.query.get("preapproval_id", ""))
    if preapproval is None or preapproval.status != "pending":
        return show_subscription(emulator, request)
    action = request.form().get("action", "")
    if action in {"confirm", "confirm-bad-card"}:
        subscriptions.authorize(emulator, preapproval, card="approved" if action == "confirm" else "rejected")
    return redirect(_with(preapproval.body["back_url"], {"preapproval_id": preapproval.id}))


def _there(preference: Document | None) -> Document:
    assert preference is not None  # _refused has seen to that
    return preference


def _refused(emulator: Emulator, preference: Document | None) -> Response | None:
    if preference is None:
        return page(message("No encontramos este pago", "El enlace no es válido.", tone="bad"), 404)
    if not is_open(preference, now=emulator.clock.now()):
        url = preference.body["back_urls"].get("failure")
        more = link(url, "Volver al sitio", testid="return") if url else ""
        return page(message("Este pago venció", "El enlace ya no se puede pagar.", tone="bad", more=more), 410)
    return None


def _checkout(emulator: Emulator, preference: Document, notice: str = "") -> str:
    seller = emulator.seller(preference.owner or 0)
    assert seller is not None
    body, site = preference.body, site_of(seller)
    lines = "".join(
        f"<li><span>{item['quantity']} x {escape(item['title'])}</span><span>{money(item['unit_price'], site)}</span></li>"
        for item in body["items"]
    )
    title = escape(body["items"][0]["title"])
    buttons = (
        button("pay", "Pagar con tarjeta", main=True)
        + button("reject", "Pagar con una tarjeta que será rechazada")
        + button("pending", "Dejar el pago pendiente", disabled=bool(body["binary_mode"]))
        + button("pay-twice", "Pagar dos veces")
        + button("back", "Volver sin pagar")
    )
    content = (
        f'{notice}<section><small>Le pagás a <b data-testid="seller">{escape(seller.body["nickname"])}</b></small>'
        f'<h1 data-testid="title">{title}</h1><ul data-testid="items">{lines}</ul>'
        f'<p class="total"><span>Total</span><span data-testid="total">{money(float(total_of(preference)), site)}</span></p></section>'
        f'<section><form method="post">{buttons}</form></section>'
    )
    return document(f"Pagar {body['items'][0]['title']}", content)


def _result(emulator: Emulator, preference: Document, payment: Document) -> Response:
    """What the buyer sees next: the shop at once, or how it went and a way back."""
    body, status = preference.body, payment.body["status"]
    if emulator.settings["return"] == "close_tab":
        return page(message("Cerraste la pestaña", "La tienda se entera solo por la notificación.", tone="wait"))
    url = body["back_urls"].get(_RETURNS[status])
    address = _with(url, _told_on_return(preference, payment)) if url else ""
    automatic = body.get("auto_return")
    if address and (automatic == "all" or (automatic == "approved" and status == "approved")):
        return redirect(address)
    title, text, tone = _TOLD[status]
    back = link(address, "Volver al sitio", testid="return", main=status != "rejected") if address else ""
    text = text.format(id=payment.id)
    if status == "rejected":
        notice = f'<section class="{tone}" data-testid="message"><h1>{title}</h1><p>{text}</p>{back}</section>'
        return page(_checkout(emulator, preference, notice))
    return page(message(title, text, tone=tone, more=back))


def _go_back(preference: Document) -> Response:
    url = preference.body["back_urls"].get("failure")
    if not url:
        return page(message("No pagaste", "Podés cerrar esta página."))
    return redirect(_with(url, _told_on_return(preference, None)))


def _told_on_return(preference: Document, payment: Document | None) -> dict[str, object]:
    told = payment.body if payment else {}
    number, status = told.get("id", "null"), told.get("status", "null")
    return {
        "collection_id": number,
        "collection_status": status,
        "payment_id": number,
        "status": status,
        "external_reference": preference.body.get("external_reference") or "null",
        "payment_type": told.get("payment_type_id", "null"),
        "merchant_order_id": (told.get("order") or {}).get("id", "null"),
        "preference_id": preference.id,
        "site_id": preference.body["site_id"],
        "processing_mode": "aggregator",
        "merchant_account_id": "null",
    }


def _waiting(preference: Document) -> str:
    """Cash that is still to be paid, or where that is excluded a card under review."""
    excluded = (preference.body.get("payment_methods") or {}).get("excluded_payment_types") or []
    return "in_process" if "ticket" in {kind.get("id") for kind in excluded} else "pending"


def _with(url: str, parameters: dict[str, object]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
