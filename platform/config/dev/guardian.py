"""A small process beside `make run` that outlives it when it is killed, and then ends what it has left behind.

It reads "+ID" and "-ID" lines, process groups that have started and ended, from its input. When the input ends, its parent is gone,
however it went: the groups still there get SIGTERM, a moment later SIGKILL, and the data folder's PostgreSQL is stopped when nobody
else uses it. It holds the copy's lock until then, so that the next `make run` waits for a clean start.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.05
FAREWELL = "."  # Everything has ended in order.


class Guardian:
    """The parent's side: tell it of each process group."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def watch(self, group: int) -> None:
        self.tell(f"+{group}")

    def forget(self, group: int) -> None:
        self.tell(f"-{group}")

    def tell(self, line: str) -> None:
        with suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.write(f"{line}\n".encode())


@contextmanager
def guardian(data_folder: Path, *, lock: int) -> Iterator[Guardian]:
    """Keep a guardian for the block; `lock` is the file descriptor that it holds on to."""
    command = (sys.executable, "-m", "config.dev.guardian", str(data_folder))
    # Unbuffered: a line that a guardian who is gone did not take is not tried again when its pipe is closed.
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True, pass_fds=(lock,)) as process:
        guard = Guardian(process)
        yield guard
        guard.tell(FAREWELL)


def stop_group(group: int, number: int) -> bool:
    """Send the signal to the whole group; False when nobody is left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_groups(groups: AbstractSet[int], *, seconds: float) -> None:
    left = {group for group in groups if stop_group(group, signal.SIGTERM)}
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        left = {group for group in left if stop_group(group, 0)}
    for group in left:
        stop_group(group, signal.SIGKILL)


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        if line.strip() == FAREWELL:
            return
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    end_groups(groups, seconds=GRACE_SECONDS)
    from config.dev.postgres import stop_if_unused  # noqa: PLC0415  The guardian stays small as long as it only waits.

    stop_if_unused(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
