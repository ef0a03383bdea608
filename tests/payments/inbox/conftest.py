import pytest

from payments.inbox import actions, webhooks


@pytest.fixture(autouse=True)
def _tells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test's first forgery is told, whatever another test has told in this process."""
    monkeypatch.setitem(webhooks._told, "at", float("-inf"))


@pytest.fixture(autouse=True)
def _wakes_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test's first notification enqueues its job, whatever another test has enqueued in this half second."""
    monkeypatch.setitem(actions._woken, "span", 0)
