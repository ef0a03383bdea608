"""Who has to wait while the process is busy: only hogs, only for the sake of others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.shares import MEMORY, MOST, Buckets, Shares, water_level


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def process(loads: dict[str, float], *, target: float = 0.5, seconds: float = 12.0) -> tuple[Shares, dict[str, float]]:
    """A process of one thread under these loads, each a part of it, with steps of 5 ms; and what each was let do of it at the end."""
    clock = Clock()
    shares = Shares(target=target, clock=clock)
    step, due = 0.005, dict.fromkeys(loads, 0.0)
    done = dict.fromkeys(loads, 0.0)
    for tick in range(int(seconds / step)):
        clock.now += step
        for key, load in loads.items():
            due[key] += load * step
            while due[key] >= step / 5:
                due[key] -= step / 5
                if not shares.is_too_much(key):
                    shares.charge(key, step / 5)
                    done[key] += step / 5 if tick > seconds / step / 2 else 0
    return shares, {key: value / (seconds / 2) for key, value in done.items()}


def test_who_is_alone_has_everything() -> None:
    _, done = process({"a": 0.98})
    assert done["a"] == pytest.approx(0.98, abs=0.02)


def test_nobody_waits_while_there_is_room() -> None:
    _, done = process({"a": 0.4, "b": 0.01, "c": 0.02})
    assert done == pytest.approx({"a": 0.4, "b": 0.01, "c": 0.02}, abs=0.01)


def test_a_hog_gets_what_the_others_leave() -> None:
    others = {f"c{n}": 0.018 for n in range(19)}
    shares, done = process({**others, "hog": 0.8})
    assert done["hog"] == pytest.approx(0.5 - 19 * 0.018, abs=0.05)
    assert {key: done[key] for key in others} == pytest.approx(others, abs=0.002)
    assert shares.busy() < 0.56


def test_two_hogs_are_held_to_the_same() -> None:
    _, done = process({"small": 0.05, "small2": 0.05, "x": 0.9, "y": 0.5})
    assert done["x"] == pytest.approx(0.2, abs=0.05)
    assert done["y"] == pytest.approx(0.2, abs=0.05)
    assert done["small"] == pytest.approx(0.05, abs=0.005)


def test_when_all_want_about_the_same_nobody_is_a_hog() -> None:
    loads = {"a": 0.3, "b": 0.25, "c": 0.35}
    _, done = process(loads)
    assert done == pytest.approx(loads, abs=0.01)


def test_a_hog_is_forgiven_soon() -> None:
    clock = Clock()
    shares = Shares(target=0.5, clock=clock)
    shares.charge("hog", 4.0)
    shares.charge("other", 0.1)
    clock.now += 0.2
    assert shares.is_too_much("hog")
    assert not shares.is_too_much("other")
    clock.now += 3 * MEMORY
    assert not shares.is_too_much("hog")


def test_only_so_many_are_remembered() -> None:
    clock = Clock()
    shares = Shares(target=0.5, clock=clock)
    for n in range(3 * MOST):
        shares.charge(n, 0.01)
    assert len(shares._used) <= 2 * MOST  # though nobody has asked for anything
    clock.now += 0.2
    shares.busy()
    assert len(shares._used) <= MOST
    clock.now += 100
    shares.busy()
    assert shares._used == {}


@given(st.lists(st.floats(0, 2), min_size=1, max_size=30), st.floats(0.1, 1))
def test_a_level_shares_out_the_target(uses: list[float], target: float) -> None:
    level = water_level(sorted(uses), target)
    given_out = sum(min(use, level) for use in uses)
    assert given_out == pytest.approx(min(target, sum(uses)))


def test_a_bucket_gives_its_rate_and_twice_that_at_once() -> None:
    clock = Clock()
    buckets = Buckets(rate=10, clock=clock)
    assert sum(buckets.take("a") for _ in range(50)) == 20
    assert buckets.take("b")
    clock.now += 1
    assert sum(buckets.take("a") for _ in range(50)) == 10
    for n in range(2 * MOST):
        buckets.take(n)
    assert len(buckets._left) == MOST
