"""The compose file as Docker Compose reads it: variables filled in, anchors followed. There is no engine here to ask."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "docker-compose.staging.yml"
VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<kind>:-|:\?|-|\?)(?P<rest>[^}]*))?\})")


class Missing(KeyError):
    """A variable that the file asks for is not given."""


def filled(text: str, values: Mapping[str, str]) -> str:
    """As Compose does it: ${A}, ${A:-default}, ${A:?message}, and $$ for a dollar."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        given = values.get(found["name"], "")
        if given:
            return given
        if found["kind"] in {":?", "?"}:
            raise Missing(found["name"])
        return found["rest"] or "" if found["kind"] in {":-", "-"} else ""

    return VARIABLE.sub(value, text)


@cache
def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    whole = _filled_in(raw(), values)
    assert isinstance(whole, dict)
    return whole


def _filled_in(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return filled(node, values)
    if isinstance(node, list):
        return [_filled_in(item, values) for item in node]
    if isinstance(node, dict):
        return {key: _filled_in(value, values) for key, value in node.items()}
    return node


def variables() -> dict[str, bool]:
    """Every variable of the file, and whether it stops without it."""
    return {
        found["name"]: found["kind"] == ":?" for found in VARIABLE.finditer(FILE.read_text()) if found["name"] and found["name"] is not None
    }


def env_file(path: Path) -> dict[str, str]:
    """NAME=value lines; what begins with # is a comment."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
