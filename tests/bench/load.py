"""Load on this machine only, bounded in time: wrk (Debian) for HTTP, pgbench for SQL, and the processes under load."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, kw_only=True)
class Result:
    rate: float  # answers a second
    p50: float  # milliseconds
    p99: float  # milliseconds
    failed: int  # answers that were not 2xx or 3xx, and broken connections


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def web(application: str, *, workers: int = 2, threads: int = 1, environment: dict[str, str]) -> Iterator[tuple[int, psutil.Process]]:
    """A granian server as `make run` starts it; (its port, its process)."""
    port = free_port()
    options = {"interface": "wsgi", "host": "127.0.0.1", "port": port, "workers": workers, "blocking-threads": threads, "backlog": 2048}
    options |= {"http": "1", "backpressure": 1024, "log-level": "warning", "working-dir": str(REPOSITORY), "workers-kill-timeout": 5}
    command = (sys.executable, "-m", "granian", *(f"--{name}={value}" for name, value in options.items()), "--no-ws", application)
    process = subprocess.Popen(command, env={**os.environ, **environment, "PORT": str(port)}, stdin=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"Nothing answers on port {port}.")


def http_load(url: str, *, host: str, clients: int, seconds: int, script: str = "", folder: Path) -> Result:
    """wrk with one thread. `script` is Lua, for requests that differ."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("This bench needs wrk. Install Debian's package: apt-get install wrk")
    more: tuple[str, ...] = ()
    if script:
        (folder / "load.lua").write_text(script)
        more = ("-s", str(folder / "load.lua"))
    command = (wrk, "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}", *more, url)
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate, text
    bad = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    bad += sum(int(number) for line in re.findall(r"Socket errors: (.*)", text) for number in re.findall(r"\d+", line))
    return Result(rate=float(rate[1]), p50=_percentile(text, "50%"), p99=_percentile(text, "99%"), failed=bad)


def _percentile(text: str, name: str) -> float:
    found = re.search(rf"{re.escape(name)}\s+([\d.]+)(us|ms|s)\b", text)
    assert found, text
    return float(found[1]) * UNITS[found[2]]


def machine() -> str:
    """One line that says where the figures come from."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}"
