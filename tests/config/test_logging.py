import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from django.core.exceptions import ImproperlyConfigured

from config.logging import configure_logging


@pytest.fixture
def restored() -> Iterator[None]:
    """The root logger and structlog as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configuration = structlog.get_config()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**configuration)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def lines(restored: None, capsys: pytest.CaptureFixture[str]) -> "Lines":
    configure_logging(json_lines=True, level="info")
    structlog.contextvars.bind_contextvars(request_id="r-1", cafeteria="la-espiga")
    return Lines(capsys)


class Lines:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def last(self) -> dict[str, object]:
        line: dict[str, object] = json.loads(self.capsys.readouterr().err.splitlines()[-1])
        return line


def test_each_line_knows_its_request_and_cafeteria(lines: Lines) -> None:
    structlog.get_logger("shop").info("order_placed", number=7)
    ours = lines.last()
    assert (ours["event"], ours["number"], ours["level"], ours["logger"]) == ("order_placed", 7, "info", "shop")
    assert (ours["request_id"], ours["cafeteria"]) == ("r-1", "la-espiga")
    logging.getLogger("django.db").warning("slow: %s", "/menu")
    theirs = lines.last()
    assert (theirs["event"], theirs["request_id"], theirs["cafeteria"]) == ("slow: /menu", "r-1", "la-espiga")


def test_outside_a_request_both_are_null(lines: Lines) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.get_logger("shop").info("started")
    line = lines.last()
    assert line["request_id"] is None
    assert line["cafeteria"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": "Bearer abcdefgh12345"},
        {"access_token": "abcdefgh12345"},
        {"body": {"password": "abcdefgh12345", "email": "a@b.c"}},
        {"headers": [{"Cookie": "comanda=abcdefgh12345"}]},
        {"note": "sent Bearer abcdefgh12345 along"},
        {"note": "refresh_token=abcdefgh12345&x=1"},
        {"note": "postgresql://app:abcdefgh12345@db/comanda"},
        {"note": "eyJhbGciOi.eyJzdWIi.abcdefgh12345"},
        {"code_verifier": "abcdefgh12345"},
        {"client_secret": "abcdefgh12345"},
        {"X-Signature": "ts=1766455693,v1=abcdefgh12345"},
        {"error": ValueError("client_secret=abcdefgh12345")},
        {"body": b'{"access_token": "abcdefgh12345"}'},
        {"notes": {"TG-abcdefgh12345-123"}},
    ],
)
def test_no_secret_is_written(lines: Lines, fields: dict[str, object]) -> None:
    structlog.get_logger("shop").info("said", **fields)
    assert "abcdefgh12345" not in json.dumps(lines.last())
    logging.getLogger("other").info("said", extra=fields)
    assert "abcdefgh12345" not in json.dumps(lines.last())


def test_counts_named_after_secrets_stay(lines: Lines) -> None:
    structlog.get_logger("shop").info("said", tokens_revoked=3, cookie_sent=False)
    line = lines.last()
    assert (line["tokens_revoked"], line["cookie_sent"]) == (3, False)


def test_a_traceback_is_one_line_without_its_secrets(lines: Lines) -> None:
    for log in (structlog.get_logger("shop"), logging.getLogger("other")):
        try:
            raise ValueError("password=abcdefgh12345")
        except ValueError:
            log.exception("failed")
        line = lines.last()
        assert "ValueError: password=[redacted]" in str(line["exception"])
        assert "abcdefgh12345\n" not in str(line["exception"])


def test_a_person_reads_columns(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=False, level="INFO")
    structlog.get_logger("shop").info("order_placed", number=7)
    structlog.get_logger("shop").debug("unseen")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("[info     ] order_placed [shop] number=7")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LOG_LEVEL is 'LOUD'"):
        configure_logging(json_lines=True, level="LOUD")
