"""The page where a seller lets the application act for it, or does not."""

from html import escape
from urllib.parse import urlencode, urlsplit

from deploy.mercadopago.emulator import Emulator
from deploy.mercadopago.markup import button, document, message
from deploy.mercadopago.messages import Request, Response, page, redirect
from deploy.mercadopago.oauth import grant_code
from deploy.mercadopago.sites import SITES
from deploy.mercadopago.store import Document


def show_authorization(emulator: Emulator, request: Request) -> Response:
    return _refused(emulator, request) or page(_choice(emulator))


def answer_authorization(emulator: Emulator, request: Request) -> Response:
    if refused := _refused(emulator, request):
        return refused
    query, form = request.query, request.form()
    if form.get("action") != "allow":
        return redirect(_back(query, error="access_denied", error_description="The user denied the request"))
    seller = _chosen(emulator, form)
    if seller is None:
        return page(message("Elegí una cuenta", "Esa cuenta no existe.", tone="bad"), 400)
    code = grant_code(emulator, seller, redirect_uri=query["redirect_uri"], challenge=query["code_challenge"], method="S256")
    return redirect(_back(query, code=code))


def _refused(emulator: Emulator, request: Request) -> Response | None:
    """What is wrong with the link that led here."""
    query, reason = request.query, ""
    if query.get("client_id") != emulator.configuration.client_id:
        reason = "client_id no es el de la aplicación."
    elif query.get("response_type") != "code":
        reason = "response_type tiene que ser code."
    elif urlsplit(query.get("redirect_uri", "")).scheme not in {"http", "https"}:
        reason = "Falta redirect_uri."
    elif not query.get("code_challenge") or query.get("code_challenge_method") != "S256":
        reason = "La aplicación exige PKCE: faltan code_challenge y code_challenge_method=S256."
    return page(message("No se puede conectar", reason, tone="bad"), 400) if reason else None


def _choice(emulator: Emulator) -> str:
    platform = emulator.configuration.access_token
    sellers = [seller for seller in emulator.store.select("seller", {}) if seller.body["_token"] != platform]
    rows = [
        (f"seller-{seller.id}", seller.id, f"{seller.body['nickname']} ({SITES[seller.body['site_id']].name})") for seller in sellers[-20:]
    ]
    rows += [(f"new-{code}", f"new-{code}", f"Una cuenta nueva de {site.name}") for code, site in SITES.items()]
    choices = "".join(_radio(*row, chosen=index == 0) for index, row in enumerate(rows))
    content = (
        "<section><h1>Conectar tu cuenta</h1><p>La aplicación podrá cobrar en tu nombre y devolver cobros.</p></section>"
        f'<section><form method="post">{choices}<input type="text" name="nickname" placeholder="Nombre de la cuenta nueva" '
        f'aria-label="Nombre de la cuenta nueva" maxlength="60">'
        f"{button('allow', 'Permitir', main=True)}{button('deny', 'Ahora no')}</form></section>"
    )
    return document("Conectar tu cuenta", content)


def _radio(testid: str, value: str, text: str, *, chosen: bool) -> str:
    checked = " checked" if chosen else ""
    return f'<label><input type="radio" name="seller" value="{value}" data-testid="{testid}"{checked}>{escape(text)}</label>'


def _chosen(emulator: Emulator, form: dict[str, str]) -> Document | None:
    choice = form.get("seller", "")
    if choice.removeprefix("new-") in SITES:
        nickname = form.get("nickname", "").strip() or "TIENDA"
        return emulator.add_seller(site=choice.removeprefix("new-"), nickname=nickname[:60], user_id=None)
    return emulator.store.find("seller", choice)


def _back(query: dict[str, str], **parameters: str) -> str:
    url = query["redirect_uri"]
    state = {"state": query["state"]} if "state" in query else {}
    return f"{url}{'&' if '?' in url else '?'}{urlencode({**parameters, **state})}"
