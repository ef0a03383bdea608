"""Some deaths of the worker and of PostgreSQL, and a full disk. `python -m tests.bench restore_deaths` goes through every step."""

import os
import subprocess
import sys

from tests.processes import REPOSITORY, UNMEASURED


def test_what_dies_is_gone_on_with_and_leaves_nothing() -> None:
    """In a process of its own, on a server of its own, which it kills."""
    command = [sys.executable, "-m", "tests.bench.restores.deaths", "--every", "40", "--rounds", "1"]
    found = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **UNMEASURED}, capture_output=True, text=True, timeout=240, check=False
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "servers killed" in found.stdout
