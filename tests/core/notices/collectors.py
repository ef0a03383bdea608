"""A mail server and an HTTP server that keep what they are sent, for tests."""

import email.policy
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

PATIENCE = 30  # seconds: on a busy machine


class Mailbox:
    """Takes mail, unless it is told to refuse."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refuse = ""
        self.refuse_recipients = ""
        self.port = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        if not self.refuse_recipients:
            envelope.rcpt_tos.append(address)
        return self.refuse_recipients or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuse:
            return self.refuse
        self.recipients.append(list(envelope.rcpt_tos))
        self.mails.append(message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def settings(self) -> dict[str, Any]:
        options = {"host": "127.0.0.1", "port": self.port, "timeout": PATIENCE}
        return {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}}


class AnyPort(Controller):
    """On a port that the system gives, which nobody can have taken meanwhile."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # It writes from a thread, past what pytest captures.
    box = Mailbox()
    server = AnyPort(box, hostname="127.0.0.1", port=0, ready_timeout=PATIENCE)
    server.start()
    box.port = server.port
    try:
        yield box
    finally:
        server.stop()


class Webhook:
    """Takes what is posted, and answers with `status`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.address = ""


@contextmanager
def webhook_server() -> Iterator[Webhook]:
    webhook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if webhook.status == 200:
                webhook.bodies.append(json.loads(body))
            self.send_response(webhook.status)
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    webhook.address = f"http://127.0.0.1:{server.server_port}/services/T0/B0/secretpart"
    try:
        yield webhook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
