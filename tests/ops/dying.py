"""What the deaths of restores and of the archive have in common: a process that dies, and what is noted of it."""

import os
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections


@dataclass(kw_only=True)
class Noting:
    """`problems` is what did not hold."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def expect(self, found: Any, expected: Any, what: str) -> None:
        if found != expected:
            self.problems.append(f"{what}: {found!r}, not {expected!r}")


def in_a_process(work: Callable[[], object]) -> int:
    """In a child of this one, until its end; the signal that ended it, or 0."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it is, this process has to end
            traceback.print_exc()
        finally:
            os._exit(0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.waitpid(child, 0)[1]) else 0
