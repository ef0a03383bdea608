"""Runs a Python module with a hosts file of its own: `python -m tests.deploy.hosts comanda.test=127.0.0.9 MODULE ARGUMENTS`.

The host and all below it lead to the address, as DNS will have it on a server.
"""

import runpy
import socket
import sys
from typing import Any


def main() -> None:
    name, _, address = sys.argv[1].partition("=")
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        ours = isinstance(host, str) and (host == name or host.endswith(f".{name}"))
        return look_up(address if ours else host, *arguments, **options)

    socket.getaddrinfo = getaddrinfo
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
