import re
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.template import engines
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import translation

from core.design.drawings import drawing_for

COMPONENTS = "core/components"


def render(component: str, /, **values: Any) -> str:
    return re.sub(r"[ \n]+", " ", render_to_string(f"{COMPONENTS}/{component}.html", values))


def written(source: str, **values: Any) -> str:
    request = RequestFactory().get("/")
    return re.sub(r"\s+", " ", engines["django"].from_string(source).render(values, request))


def test_a_fields_error_and_hint_are_tied_to_its_input() -> None:
    html = render("field", label="Correo", name="email", type="email", value="ana@", hint="Para el comprobante.", error="Falta algo.")
    assert '<label for="email">Correo</label>' in html
    assert 'aria-invalid="true" aria-describedby="email-hint email-error"' in html
    assert '<p class="error" id="email-error">Falta algo.</p>' in html
    assert 'value="ana@"' in html


def test_a_field_without_faults_claims_none() -> None:
    html = render("field", label="Correo", name="email")
    assert ("aria-invalid" in html, "aria-describedby" in html) == (False, False)


@pytest.mark.parametrize("language", ["es", "en"])
def test_a_number_in_a_field_is_what_a_browser_reads(language: str) -> None:
    with translation.override(language):
        html = render("field", label="Precio", name="price", type="number", value=Decimal("3500.50"), min=0, step=Decimal("0.01"))
    assert ('value="3500.50"' in html, 'min="0"' in html, 'step="0.01"' in html) == (True, True, True)


def test_what_people_typed_is_escaped() -> None:
    html = render("field", label="Nombre", name="name", value='"><script>alert(1)</script>', error="<b>")
    assert ("<script" in html, "<b>" in html) == (False, False)


def test_a_bound_form_field_is_tied_to_its_error() -> None:
    class Form(forms.Form):
        email = forms.EmailField(help_text="Para el comprobante.")

    html = render("form_field", field=Form({"email": "ana"})["email"])
    assert 'aria-describedby="id_email_helptext id_email_error"' in html
    assert 'id="id_email_error"' in html


def test_a_stepper_works_without_javascript_and_enter_takes_nothing_away() -> None:
    html = render("stepper", label="Cantidad", value=3, submits=True)
    assert re.findall(r'<button[^>]*type="submit"[^>]*name="step"[^>]*value="(\w+)"', html) == ["set", "down", "up"]


def test_a_product_is_a_link_with_its_price_and_its_drawing() -> None:
    html = render("product", name="Café", href="/p/1", amount=Decimal(3500), currency="ARS", category="Cafetería", tags=["Vegano"])
    assert '<a class="product-name" href="/p/1" data-sheet>Café</a>' in html
    assert "$\N{NO-BREAK SPACE}3.500" in html
    assert "#draw-coffee" in html


def test_a_sold_out_product_says_so_in_words() -> None:
    with translation.override("en"):
        assert "Sold out" in render("product", name="Torta", href="/p/2", amount=1, currency="ARS", sold_out=True)


def test_an_empty_cart_leaves_its_place_empty() -> None:
    assert re.search(r'<aside [^>]*id="cart-bar"[^>]*></aside>', render("cart_bar", count=0))


def test_blocks_hold_what_is_written_in_them_and_escape_their_titles() -> None:
    html = written("{% card title=title %}<p>{{ words }}</p>{% endcard %}", title="<Horas>", words="<9 a 18>")
    assert "&lt;Horas&gt;" in html
    assert "<p>&lt;9 a 18&gt;</p>" in html


def test_a_sheet_is_a_whole_page_with_a_way_out() -> None:
    html = written('{% sheet title="Café" close="/" %}<p>…</p>{% endsheet %}')
    assert 'id="sheet-content"' in html
    assert '<a class="button button-quiet button-icon" href="/" data-close>' in html


def test_a_chart_says_its_values_to_those_who_do_not_see_it() -> None:
    html = written('{% columns_chart points "Pedidos" %}', points=[("8", 5, "5 pedidos"), ("9", 20, "20 pedidos")])
    assert re.findall(r'<rect x="(\d+)" y="([\d.]+)" width="8" height="([\d.]+)">', html) == [("1", "75.0", "25.0"), ("11", "0.0", "100.0")]
    assert "<td>20 pedidos</td>" in html


def test_a_chart_of_nothing_is_flat() -> None:
    assert 'height="0.0"' in written('{% columns_chart points "Pedidos" %}', points=[("8", 0, "0")])
    assert "<rect" not in written('{% bars_chart points "Pedidos" %}', points=[])


def test_steps_mark_the_present_one() -> None:
    steps = [("done", "Recibido", datetime(2025, 11, 24, 17, 2, tzinfo=UTC)), ("now", "Listo", None)]
    html = render("steps", steps=steps, timezone="America/Montevideo")
    assert html.count('aria-current="step"') == 1
    assert ">14:02</time>" in html


def test_a_navigation_link_to_a_page_that_this_host_lacks_is_not_written() -> None:
    assert written('{% nav_link "no_such_page" "Nada" %}') == ""


@pytest.mark.parametrize(
    ("category", "drawing"),
    [
        ("Cafetería", "coffee"),
        ("Panadería", "bread"),
        ("Tés e infusiones", "tea"),
        ("Café e infusiones", "coffee"),
        ("Café y té", "coffee"),
        ("Té y café", "tea"),
        ("Torta de café", "cake"),
        ("Pan dulce", "bread"),
        ("Cold sandwiches", "sandwich"),
        ("Cosas dulces", "sweet"),
        ("Jugos y licuados", "drink"),
        ("Tortas", "cake"),
        ("Sándwiches", "sandwich"),
        ("Desayunos", "breakfast"),
        ("Alfajores", "sweet"),
        ("Terraza", "other"),
        ("", "other"),
    ],
)
def test_a_categorys_name_finds_its_drawing(category: str, drawing: str) -> None:
    assert drawing_for(category) == drawing


def test_a_cafeterias_colour_reaches_the_page() -> None:
    request = RequestFactory().get("/")
    request.tenant = SimpleNamespace(name="Luna", brand="ocean")  # type: ignore[attr-defined]
    html = render_to_string("core/base.html", request=request)
    assert 'data-brand="ocean"' in html
    assert '<meta name="theme-color" content="#0d5279"' in re.sub(r"\s+", " ", html)
