import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import REGISTRY

from config import env
from core.shared_cache import PAUSE, SharedCache
from tests.valkey import PASSWORD, Valkey, running_valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def cache(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedCache]:
    if valkey.process is None:
        valkey.start()
    monkeypatch.setattr(SharedCache, "_silent_until", 0.0)
    cache = a_cache(valkey)
    cache.clear()
    yield cache
    cache.close()


def a_cache(valkey: Valkey, release: str = "one") -> SharedCache:
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setenv("CACHE_URL", valkey.url)
        return SharedCache(env.cache_server("CACHE_URL", password=PASSWORD), {"KEY_PREFIX": release})


def looks(outcome: str) -> float:
    return REGISTRY.get_sample_value("comanda_shared_cache_looks_total", {"outcome": outcome}) or 0


def test_what_one_process_keeps_another_one_finds(cache: SharedCache, valkey: Valkey) -> None:
    hits, misses = looks("hit"), looks("miss")
    assert cache.get("menu") is None
    cache.set("menu", "<b>Café — ☕</b>", 60)
    assert a_cache(valkey).get("menu") == "<b>Café — ☕</b>"
    assert (looks("hit") - hits, looks("miss") - misses) == (1, 1)


def test_a_release_never_finds_what_another_one_has_drawn(cache: SharedCache, valkey: Valkey) -> None:
    cache.set("menu", "old", 60)
    assert a_cache(valkey, "two").get("menu") is None


def test_text_is_kept_as_it_is_and_nothing_else_is_kept(cache: SharedCache, valkey: Valkey) -> None:
    """Whoever can write there puts text into a page at worst: nothing of it is ever run."""
    cache.set("menu", "text", 60)
    direct = redis.Redis(port=valkey.port, password=PASSWORD)
    (key,) = direct.keys()
    assert direct.get(key) == b"text"
    direct.set(key, b"cos\nsystem\n(S'true'\ntR.")
    assert cache.get("menu") == "cos\nsystem\n(S'true'\ntR."
    direct.close()
    with pytest.raises(TypeError, match="keeps text"):
        cache.set("menu", ["a list"], 60)


def test_a_dead_one_costs_one_look_in_five_seconds_and_no_error(
    cache: SharedCache, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("menu", "text", 60)
    failed, skipped, now = looks("failed"), looks("skipped"), 1000.0
    monkeypatch.setattr("core.shared_cache.time", SimpleNamespace(monotonic=lambda: now))
    valkey.stop()
    for _ in range(4):
        assert cache.get("menu", "none") == "none"
    cache.set("menu", "text", 60)
    assert (looks("failed") - failed, looks("skipped") - skipped) == (1, 4)
    valkey.start()
    assert cache.get("menu") is None
    now += PAUSE
    cache.set("menu", "again", 60)
    assert cache.get("menu") == "again"


def test_one_that_takes_questions_and_does_not_answer_is_let_go(cache: SharedCache, valkey: Valkey) -> None:
    cache.set("menu", "text", 60)
    failed = looks("failed")
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        assert cache.get("menu") is None
        assert cache.get("menu") is None
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    assert looks("failed") - failed == 1


def test_a_wrong_password_is_no_error_of_a_page(valkey: Valkey, cache: SharedCache) -> None:
    failed = looks("failed")
    wrong = SharedCache(f"redis://:wrong@127.0.0.1:{valkey.port}/0", {})
    assert wrong.get("menu") is None
    assert looks("failed") - failed == 1


@pytest.mark.parametrize("address", ["valkey:6379", "http://valkey:6379", "redis://", "redis://valkey:port"])
def test_a_wrong_address_stops_the_start_and_is_not_quoted(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_URL", address)
    with pytest.raises(ImproperlyConfigured, match="redis://host:6379/0") as refused:
        env.cache_server("CACHE_URL", password="hush")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "whole"),
    [
        ("", ""),
        ("redis://valkey:6379/0", "redis://:a%2Fb@valkey:6379/0"),
        ("rediss://comanda@valkey:6379/0", "rediss://comanda:a%2Fb@valkey:6379/0"),
        ("redis://:own@valkey:6379/0", "redis://:own@valkey:6379/0"),
    ],
)
def test_the_password_comes_from_its_own_setting(address: str, whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_URL", address)
    assert env.cache_server("CACHE_URL", password="a/b") == whole
