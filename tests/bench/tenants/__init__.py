"""What cafeterias cost when there are many. In a process of its own, as it brings its own database."""

import subprocess
import sys


def main() -> None:
    subprocess.run((sys.executable, "-m", "tests.bench.tenants"), check=True)
