"""The one look of the emulator's pages, which say what they are."""

from html import escape

from deploy.mercadopago.sites import Site, as_decimal

_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#f0f3f7;color:#1d2733;font:16px/1.45 system-ui,sans-serif}
header{background:#0a5ea8;color:#fff;padding:.75rem 1rem;font-size:.875rem}header b{display:block;font-size:1.05rem}
main{max-width:26rem;margin:1rem auto;padding:0 1rem 2rem}
section{background:#fff;border-radius:.75rem;padding:1rem;margin-bottom:1rem;box-shadow:0 1px 2px rgb(0 0 0/.12)}
h1{font-size:1.25rem;margin:0 0 .5rem}p{margin:.25rem 0}ul{list-style:none;margin:.5rem 0;padding:0}
li{display:flex;justify-content:space-between;gap:1rem;padding:.4rem 0;border-bottom:1px solid #e6eaf0}
.total{display:flex;justify-content:space-between;font-weight:700;font-size:1.15rem;padding-top:.5rem}
form{display:grid;gap:.6rem}label{display:flex;gap:.5rem;align-items:center;min-height:2.75rem}
input[type=text]{font:inherit;padding:.6rem;border:1px solid #8794a5;border-radius:.5rem;width:100%}
button,a.button{display:block;width:100%;min-height:3rem;padding:.7rem 1rem;border:1px solid #0a5ea8;border-radius:.5rem;background:#fff;
color:#0a5ea8;font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
button.main,a.main{background:#0a5ea8;color:#fff}button:disabled{opacity:.45;cursor:not-allowed}
button:focus-visible,a:focus-visible,input:focus-visible{outline:3px solid #ffb703;outline-offset:2px}
.bad{border-left:.4rem solid #b3261e}.good{border-left:.4rem solid #18794e}.wait{border-left:.4rem solid #b26a00}small{color:#4b5a6b}
"""


def document(title: str, content: str) -> str:
    """`content` is markup already."""
    return (
        f'<!doctype html><html lang="es"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        "<header><b>Emulador de Mercado Pago</b>Página de pruebas: acá no se mueve dinero de verdad.</header>"
        f"<main>{content}</main></body></html>"
    )


def message(title: str, text: str, *, tone: str = "", more: str = "") -> str:
    return document(title, f'<section class="{tone}" data-testid="message"><h1>{escape(title)}</h1><p>{escape(text)}</p>{more}</section>')


def link(url: str, text: str, *, testid: str, main: bool = False) -> str:
    return f'<a class="button{" main" if main else ""}" href="{escape(url)}" data-testid="{testid}">{escape(text)}</a>'


def button(value: str, text: str, *, testid: str = "", main: bool = False, disabled: bool = False) -> str:
    look, state = (' class="main"' if main else ""), (" disabled" if disabled else "")
    return f'<button name="action" value="{value}" data-testid="{testid or value}"{look}{state}>{escape(text)}</button>'


def money(amount: float, site: Site) -> str:
    """$ 4.500,50"""
    text = f"{as_decimal(amount):,.{site.decimals}f}".replace(",", " ").replace(".", ",").replace(" ", ".")
    return f"{site.currency} {text}"
