import pytest

from payments.inbox import webhooks


@pytest.fixture(autouse=True)
def _tells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test's first forgery is told, whatever another test has told in this process."""
    monkeypatch.setitem(webhooks._told, "at", float("-inf"))
