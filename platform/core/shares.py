"""Fair shares of one web process: who has used how much of it lately, and who has to wait so that the others need not.

Nobody waits while the process is less than `target` busy, nor who is alone in using it, nor when all use about the same. Else whoever has
more than what is left under the target once all smaller ones have theirs waits, until it is less again.
"""

import time
from collections.abc import Callable, Hashable
from math import exp
from operator import itemgetter
from threading import Lock

MEMORY = 1.0  # seconds: what was used so long ago counts for 1/e. Short: until a hammer is noticed, the others wait behind it
LOOK_EACH = 0.1  # seconds between two looks at everybody
FAINT = 0.000_5  # of the process: below it, somebody counts as gone
MOST = 10_000  # whom to remember after a look at everybody; twice as many before the next one
SMALL = 0.15  # of the process: who uses less never waits. Single requests of a busy machine must not make hogs
HOG = 1.25  # times the mean: who has less is no hog, however busy the process is


class Shares:
    def __init__(self, *, target: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.target = target  # of the process, 0 to 1
        self._clock = clock
        self._lock = Lock()
        self._used: dict[Hashable, tuple[float, float]] = {}  # seconds as of then, then
        self._looked = float("-inf")
        self._total, self._level, self._count = 0.0, 1.0, 0

    def charge(self, key: Hashable, seconds: float) -> None:
        """`key` has used so many seconds of the process."""
        now = self._clock()
        with self._lock:
            self._used[key] = (_faded(self._used.get(key), now) + seconds, now)
            self._total += seconds / MEMORY  # At once: until the next look, a waiting crowd would all be let in.
            if len(self._used) > 2 * MOST:  # Nobody has asked for long, as nothing queues: whoever came since is remembered no longer.
                self._look(now)

    def is_too_much(self, key: Hashable) -> bool:
        """Whether the next request of `key` has to wait, for the sake of others."""
        now = self._clock()
        with self._lock:
            if now - self._looked >= LOOK_EACH:
                self._look(now)
            if self._total <= self.target or self._count < 2:
                return False
            return _faded(self._used.get(key), now) / MEMORY > max(SMALL, self._level, HOG * self._total / self._count)

    def busy(self) -> float:
        """How much of the process was in use lately, 0 to 1 and a little over."""
        now = self._clock()
        with self._lock:
            self._look(now)
            return self._total

    def _look(self, now: float) -> None:
        self._looked = now
        uses = sorted(((_faded(entry, now) / MEMORY, key) for key, entry in self._used.items()), key=itemgetter(0))
        heard = [(use, key) for use, key in uses[-MOST:] if use > FAINT]
        if len(heard) < len(uses):
            self._used = {key: self._used[key] for _, key in heard}
        present = [use for use, _ in heard]
        self._total, self._count = sum(present), len(present)
        self._level = water_level(present, self.target)


def water_level(uses: list[float], target: float) -> float:
    """The most that each may have so that all together have `target`, when those who want less get all they want. `uses` ascending."""
    left, level = target, target
    for waiting, use in zip(range(len(uses), 0, -1), uses, strict=True):
        level = left / waiting
        if use > level:
            return level
        left -= use
    return level + left


def _faded(entry: tuple[float, float] | None, now: float) -> float:
    if entry is None:
        return 0.0
    seconds, then = entry
    return seconds * exp((then - now) / MEMORY)


class Buckets:
    """So many requests a second for each key, and as many again twice over at once."""

    def __init__(self, *, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._lock = Lock()
        self._left: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable) -> bool:
        """False when the key has none left."""
        now, most = self._clock(), 2 * self.rate
        with self._lock:
            left, then = self._left.pop(key, (most, now))
            left = min(most, left + (now - then) * self.rate)
            taken = left >= 1
            self._left[key] = (left - taken, now)  # last in the order of use
            while len(self._left) > MOST:
                self._left.pop(next(iter(self._left)))
        return taken
