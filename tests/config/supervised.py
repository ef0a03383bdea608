"""A supervisor as a process of its own, with stand-in programs: python -m tests.config.supervised FOLDER NAME=CODE@RANK ..."""

import sys
from pathlib import Path

from config.dev import locks
from config.dev.guardian import guardian
from config.dev.interruption import interruption
from config.dev.supervisor import Program, say, supervise


def program(description: str) -> Program:
    name, _, rest = description.partition("=")
    code, _, rank = rest.rpartition("@")
    return Program(name=name, command=(sys.executable, "-c", code), environment={"STAND_IN": name}, stops=int(rank))


def main(folder: Path, *descriptions: str) -> int:
    with locks.opened(folder / "run.lock") as lock, interruption() as watch:
        locks.try_exclusive(lock)
        with guardian(folder, lock=lock) as guard:
            running = supervise(
                [program(description) for description in descriptions],
                guardian=guard,
                interruption=watch,
                ready=lambda: not (folder / "never").exists(),
                ready_seconds=1,
                stop_seconds=3,
                started=lambda: say("all started"),
            )
    return 0 if running else 3


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
