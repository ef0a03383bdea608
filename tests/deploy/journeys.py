"""What people do with the platform, from the outside alone: through the proxy, on the addresses that they would type."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

import pyotp

from tests.deploy.compose import REPOSITORY
from tests.deploy.stack import DOMAIN, Stack
from tests.deploy.visitor import Visitor

PASSWORD = "correct horse battery"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A cafeteria that its owner has opened and connected, with one product."""

    url: str
    product: int
    owner: Visitor
    email: str


def open_a_cafeteria(stack: Stack, slug: str) -> Opened:
    """The owner signs up, opens a cafeteria, connects Mercado Pago and writes the menu: pages and forms, a dozen requests."""
    owner, email = Visitor(stack.client()), f"{slug}@owners.example"
    owner.open(f"{stack.url}/sign-up").submit("", email=email, password=PASSWORD, full_name="Luz Prueba")
    owner.open(f"{stack.url}/home/open").submit("", name=f"Café {slug}", slug=slug, place="America/Argentina/Buenos_Aires")
    owner.open(f"{stack.url}/home").submit("/enter")
    url = stack.site(f"{slug}.{DOMAIN}")
    assert owner.url.startswith(url), owner.url
    owner.open(f"{url}/staff/payments").submit("connect")
    assert owner.url.startswith(stack.site(f"mercadopago.{DOMAIN}")), owner.url
    owner.submit("", action="allow", seller="new-MLA")
    assert owner.url.startswith(url), owner.url
    owner.open(f"{url}/staff/menu").submit("/add", name="Cortado", category="Café", price="1500", stock="100")
    [product] = owner.session.get(f"{url}/api/v1/products", timeout=30).json()
    return Opened(url=url, product=product["id"], owner=owner, email=email)


def order_and_pay(stack: Stack, place: Opened, *, seconds: float = 30) -> dict[str, str]:
    """A guest orders, pays at Mercado Pago's page, which sends them back; the address of the order once its page says paid."""
    guest = Visitor(stack.client())
    guest.open(f"{place.url}/p/{place.product}").submit("/add", quantity="2")
    guest.open(f"{place.url}/cart").submit("/place", name="Ana", pay="online")
    assert "pref_id=" in guest.url, f"{guest.url}: {guest.text[:1500]}"
    guest.submit("", action="pay")
    assert guest.url.startswith(f"{place.url}/o/"), guest.url
    deadline = time.monotonic() + seconds
    while "Pagado" not in guest.open(guest.url.partition("?")[0]).text:
        assert time.monotonic() < deadline, guest.text[:3000]
        time.sleep(0.3)
    return {"url": guest.url}


def admin_looks(stack: Stack, email: str) -> Visitor:
    """An admin, made on the command line, signs in and is led to set up the second factor that the console waits for."""
    made = stack.manage("create_admin", email, "--generate")
    password = made.strip().rpartition(" ")[2]
    admin = Visitor(stack.client())
    admin.open(f"{stack.url}/sign-in").submit("", email=email, password=password)
    secret = re.search(r'<code translate="no">([A-Z2-7 ]+)</code>', admin.open(f"{stack.url}/console/").text)
    assert secret, admin.url
    admin.submit("", code=pyotp.TOTP(secret[1].replace(" ", "")).now())
    return admin


def smoke(stack: Stack, **more: str) -> subprocess.CompletedProcess[str]:
    """As its own container: nothing of the product's, and pytest's configuration of its own."""
    given = {
        "SMOKE_URL": stack.url,
        "SMOKE_CONNECT": stack.front,
        "SMOKE_CONNECT_HTTP": f"{stack.address('proxy')}:8080",
        "SMOKE_CA": str(stack.authority),
        "SMOKE_RELEASE": "by-hand",
        **more,
    }
    return subprocess.run(
        (sys.executable, *("-m", "pytest", "-c", "tests/smoke/pytest.ini", "tests/smoke", "-rs")),
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "SMOKE_SECONDS": "20", **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
