"""What every answer of both APIs has in common."""

import pytest
from django.test import Client

from tests.world import World


@pytest.fixture(params=["platform", "cafeteria"])
def client(request: pytest.FixtureRequest, world: World) -> Client:
    return world.platform_client() if request.param == "platform" else world.a.client()


def test_a_failed_validation_has_ninjas_list_and_a_code(client: Client) -> None:
    refused = client.post("/api/v1/auth/register", {"email": "nobody"}, content_type="application/json")
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid"
    assert ["body", "body", "email"] in [problem["loc"] for problem in refused.json()["detail"]]


def test_a_method_that_is_not_there(client: Client) -> None:
    refused = client.put("/api/v1/auth/me", headers={"origin": "http://localhost:3000"})
    assert (refused.status_code, refused["Content-Type"], refused["Allow"]) == (405, "application/json", "GET")
    assert refused.json() == {"detail": "This address does not take PUT.", "code": "method_not_allowed"}
    assert refused["Access-Control-Allow-Origin"] == "http://localhost:3000"


def test_options_tells_the_methods(client: Client) -> None:
    told = client.options("/api/v1/auth/me", headers={"origin": "http://localhost:3000"})
    assert (told.status_code, told.content, told["Allow"]) == (204, b"", "GET")
    assert told["Access-Control-Allow-Origin"] == "http://localhost:3000"
