"""python -m deploy.mercadopago --port N --data FILE.sqlite"""

import argparse
import os
import signal
import sys
from pathlib import Path

from deploy.mercadopago.configuration import Misconfigured, read_configuration
from deploy.mercadopago.emulator import Emulator
from deploy.mercadopago.server import Server

TAKEN = 3  # the exit code when something else has the port


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.mercadopago", description="A stand-in for Mercado Pago.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="its SQLite file, made if it is not there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--public-url", default="", help="where browsers reach it; http://localhost:<port> if not given")
    parser.add_argument("--verbose", action="store_true", help="a line for each request")
    options = parser.parse_args(arguments)
    try:
        configuration = read_configuration(os.environ, public_url=options.public_url or f"http://localhost:{options.port}")
    except Misconfigured as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    emulator = Emulator(options.data, configuration)
    try:
        server = Server((options.host, options.port), emulator, verbose=options.verbose)
    except OSError as problem:
        sys.stderr.write(f"The Mercado Pago emulator cannot listen on {options.host}:{options.port}: {problem.strerror}.\n")
        return TAKEN
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
