"""Every address says who may use it: pages through their door, operations of the API through `auth`."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from ninja import NinjaAPI

from config.api import cafeteria_api, platform_api
from core.doors import Anyone, Bearer, OptionalBearer

ACCESSES = {"anyone", "customer", "staff", "kitchen", "cashier", "manager", "owner", "admin", "signed_in"}
URLCONFS = ("config.urls_public", "config.urls_tenant")


def pages(urlconf: str) -> Iterator[tuple[str, Any]]:
    yield from walk(get_resolver(urlconf), "")


def walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            if not route.startswith("api/"):
                yield route, pattern.callback
        else:
            yield from walk(pattern, route)


@pytest.mark.parametrize("urlconf", URLCONFS)
def test_every_page_states_who_may_use_it(urlconf: str) -> None:
    silent = [route for route, view in pages(urlconf) if getattr(view, "access", None) not in ACCESSES]
    assert silent == []


@pytest.mark.parametrize("api", [platform_api, cafeteria_api])
def test_every_operation_states_who_may_use_it(api: NinjaAPI) -> None:
    get_resolver(URLCONFS[0]).url_patterns  # noqa: B018 - adds the routers
    get_resolver(URLCONFS[1]).url_patterns  # noqa: B018
    operations = [
        (path, operation) for _, router in api._routers for path, view in router.path_operations.items() for operation in view.operations
    ]
    silent = [(path, op.methods) for path, op in operations if not isinstance(op.auth_param, Anyone | Bearer | OptionalBearer)]
    assert len(operations) > 5
    assert silent == []


@pytest.mark.parametrize("api", [platform_api, cafeteria_api])
def test_every_operation_documents_its_errors(api: NinjaAPI) -> None:
    undocumented = []
    for path, methods in api.get_openapi_schema(path_prefix="/api/v1/")["paths"].items():
        for method, operation in methods.items():
            if not {str(status) for status in operation["responses"]} & {"200", "201", "202", "204"}:
                undocumented.append((path, method))
    assert undocumented == []
