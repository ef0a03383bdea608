"""Every operation of both APIs, fuzzed over HTTP: no server error, no status and no shape that the contract does not name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.urls import get_resolver
from hypothesis import HealthCheck, settings
from ninja import NinjaAPI
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from config.api import cafeteria_api, platform_api
from tests.servers import running_web
from tests.shop.orders.payments.calls import order_of
from tests.shop.orders.payments.test_reading import in_cash
from tests.world import World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FUZZ = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)


@pytest.fixture(scope="module")
def served(module_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("served")
    folder.chmod(0o755)
    with running_web(folder, LOGIN_FAILURES_PER_ACCOUNT="1000000", LOGIN_FAILURES_PER_ADDRESS="1000000") as port:
        yield port


def contract(urlconf: str, api: NinjaAPI) -> Any:
    get_resolver(urlconf).url_patterns  # noqa: B018 - adds the routers
    return schemathesis.openapi.from_dict(dict(api.get_openapi_schema(path_prefix="/api/v1/")))


cafeteria = contract("config.urls_tenant", cafeteria_api)
platform = contract("config.urls_public", platform_api)


@cafeteria.parametrize()
@FUZZ
def test_a_cafeterias_api_holds_its_contract(case: Any, served: int, module_world: World) -> None:
    headers = {"Host": module_world.a.host, "Authorization": f"Bearer {module_world.a.token('owner')}"}
    case.call_and_validate(base_url=f"http://127.0.0.1:{served}", headers=headers, checks=CHECKS)


@cafeteria.parametrize()
@settings(FUZZ, max_examples=3)
def test_a_cafeterias_api_holds_it_for_strangers(case: Any, served: int, module_world: World) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{served}", headers={"Host": module_world.a.host}, checks=CHECKS)


@pytest.fixture(scope="module")
def known(module_world: World) -> dict[str, Any]:
    """An order that was paid in cash, and its payment."""
    order = order_of(module_world.a)
    return {"order_id": order["id"], "payment_id": in_cash(module_world.a, order)}


@cafeteria.include(path_regex="/payments").parametrize()
@FUZZ
def test_payments_that_are_there_hold_it_too(case: Any, served: int, module_world: World, known: dict[str, Any]) -> None:
    headers = {"Host": module_world.a.host, "Authorization": f"Bearer {module_world.a.token('owner')}"}
    for place in (case.path_parameters, case.body, case.query):
        if isinstance(place, dict):
            place.update({name: value for name, value in known.items() if name in place})
    case.call_and_validate(base_url=f"http://127.0.0.1:{served}", headers=headers, checks=CHECKS)


@platform.parametrize()
@FUZZ
def test_the_platforms_api_holds_its_contract(case: Any, served: int, module_world: World) -> None:
    headers = {"Host": "localhost:8000", "Authorization": f"Bearer {module_world.platform_token(module_world.owner_a)}"}
    case.call_and_validate(base_url=f"http://127.0.0.1:{served}", headers=headers, checks=CHECKS)


@platform.parametrize()
@settings(FUZZ, max_examples=3)
def test_the_platforms_api_holds_it_for_strangers(case: Any, served: int, module_world: World) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{served}", headers={"Host": "localhost:8000"}, checks=CHECKS)
