import pytest
from django.test import Client

from billing.plans import PLANS, plan_by_code
from tenants.models import Cafeteria
from tests.world import World

PLATFORM = "localhost:8000"


@pytest.fixture
def platform() -> Client:
    return Client(headers={"host": PLATFORM})


def test_the_landing_page_shows_every_price_as_argentina_writes_it(platform: Client) -> None:
    page = platform.get("/").text.replace("\N{NO-BREAK SPACE}", " ")
    assert [price in page for price in ("Gratis", "$ 24.900", "$ 59.900")] == [True] * len(PLANS)


def test_the_landing_page_leads_to_a_cafeteria_at_work(platform: Client) -> None:
    assert 'href="http://la-espiga.localhost:8000/"' in platform.get("/").text


@pytest.mark.parametrize(("lang", "words"), [("es", "Abrir una cafetería"), ("en", "Open a cafeteria"), ("fr", "Abrir una cafetería")])
def test_the_language_is_remembered(platform: Client, lang: str, words: str) -> None:
    response = platform.post("/language", {"lang": lang, "next": "/"})
    assert (response.status_code, response["Location"]) == (302, "/")
    assert words in platform.get("/").text


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", ""])
def test_the_language_switch_leads_nowhere_else(platform: Client, wanted: str) -> None:
    assert platform.post("/language", {"lang": "en", "next": wanted})["Location"] == "/"


def test_the_landing_page_sets_no_cookie(platform: Client) -> None:
    assert platform.get("/").cookies == {}


def test_the_design_page_shows_both_themes(platform: Client) -> None:
    page = platform.get("/design").text
    assert ('data-theme="light"' in page, 'data-theme="dark"' in page) == (True, True)


def test_the_design_page_is_not_served_in_production(platform: Client, settings: pytest.FixtureRequest) -> None:
    settings.DEVELOPMENT = False  # type: ignore[attr-defined]
    assert platform.get("/design").status_code == 404


def test_plans_are_found_by_their_code() -> None:
    assert [plan_by_code(plan.code) for plan in PLANS] == list(PLANS)


def test_the_directory_finds_open_cafeterias_by_name(world: World, platform: Client) -> None:
    assert [name in platform.get("/cafeterias").text for name in ("Café luna", "Café sol")] == [True, True]
    found = platform.get("/cafeterias?q=LUNA").text
    assert f"http://{world.a.host}/" in found
    assert "Café sol" not in found
    assert "«nada»" in platform.get("/cafeterias?q=nada").text


def test_the_directory_leaves_out_suspended_and_closed_ones(world: World, platform: Client) -> None:
    for status in ("suspended", "closed"):
        Cafeteria.objects.filter(pk=world.a.ref.id).update(status=status)
        assert "Café luna" not in platform.get("/cafeterias").text


def test_the_directory_turns_its_pages_and_says_when_it_is_empty(world: World, platform: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.site.views.CAFETERIAS_A_PAGE", 1)
    assert "Página 1 de 2" in platform.get("/cafeterias").text
    assert "Café sol" in platform.get("/cafeterias?page=99").text
    Cafeteria.objects.update(status="closed")
    assert "Todavía no hay ninguna cafetería abierta" in platform.get("/cafeterias").text
