"""HTTP: a thread for each connection, which stays open."""

import socket
import struct
import sys
import threading
import time
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from deploy.mercadopago import subscriptions
from deploy.mercadopago.emulator import Emulator
from deploy.mercadopago.errors import ApiError, bad_request
from deploy.mercadopago.messages import Request, Response, refusal
from deploy.mercadopago.routes import respond

LARGEST_BODY = 1_000_000
_TICK = 1.0  # seconds between looks at what the clock has made due


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], emulator: Emulator, *, verbose: bool) -> None:
        self.emulator, self.verbose = emulator, verbose
        self._stopping = threading.Event()
        super().__init__(address, Handler)

    def run(self) -> None:
        """Until `stop`, from a signal or another thread."""
        self.emulator.sender.start()
        threading.Thread(target=self._tick, daemon=True, name="ticker").start()
        try:
            self.serve_forever(poll_interval=0.1)
        finally:
            self._stopping.set()
            self.emulator.sender.stop()
            self.server_close()

    def stop(self) -> None:
        threading.Thread(target=self.shutdown, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  # the base class's
        """A client that goes away is no news."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()

    def _tick(self) -> None:
        while not self._stopping.wait(_TICK):
            with self.emulator.store.lock:
                due = subscriptions.next_due(self.emulator)
                if due is not None and due <= self.emulator.clock.now():
                    with self.emulator.transaction():
                        subscriptions.charge_due(self.emulator)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "MercadoPagoEmulator"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write for head and body
    server: Server

    def handle_one_request(self) -> None:
        """As the base class, without its dispatch on do_GET and so on."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            self.wfile.flush()
            return
        if self.parse_request():
            begun = time.monotonic()
            response = self._response()
            self._send(response)
            if self.server.verbose:
                sys.stderr.write(f"{self.command} {self.path} {response.status} {(time.monotonic() - begun) * 1000:.1f} ms\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """The base class's line for each request is not written."""

    def _response(self) -> Response:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            body = self._body()
            request = Request(method=self.command, path=parts.path, query=query, headers=self.headers, body=body)  # type: ignore[arg-type]
            return respond(self.server.emulator, request)
        except ApiError as error:
            self.close_connection = True
            return refusal(error)
        except Exception as problem:  # noqa: BLE001  # a defect of the emulator's: it says so and stays up
            traceback.print_exc()
            return refusal(ApiError(500, "internal_error", f"The emulator failed: {problem!r}"))

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise ApiError(411, "length_required", "Content-Length needed")
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= LARGEST_BODY:
            raise bad_request("Content-Length is wrong")
        return self.rfile.read(length)

    def _send(self, response: Response) -> None:
        if response.hang_up:
            self._reset()
            return
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)
        body = response.body[: len(response.body) // 2] if response.cut else response.body
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        """The other side sees a connection reset."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
