import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from core.alerts.models import Alert
from core.jobs import JobRun
from core.jobs.models import Job
from core.jobs.run import Claim
from ops.certificates.jobs import check
from tests.ops.measuring.test_metrics import scraped
from tests.world import World

pytestmark = pytest.mark.django_db


def certificate(folder: Path, *, days: float) -> Path:
    """A certificate for localhost and luna.localhost, with its key in the same file; it vouches for itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key(), serial_number=1)
    builder = builder.not_valid_before(now - timedelta(days=90)).not_valid_after(now + timedelta(days=days))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("luna.localhost")])
    signed = builder.add_extension(names, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
    made = signed.sign(key, hashes.SHA256())
    file = folder / f"{days}.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@contextmanager
def serving(file: Path, *, port: int = 0) -> Iterator[int]:
    """A TLS server of this certificate; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with socket.create_server(("127.0.0.1", port)) as listening:

        def serve() -> None:
            while True:
                try:
                    connected, _ = listening.accept()
                except OSError:
                    return
                with connected:
                    try:
                        context.wrap_socket(connected, server_side=True).close()
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def https(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Names under localhost lead to this machine, which not every resolver knows."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    settings.HTTPS = True
    return settings


def look(https: Settings, monkeypatch: pytest.MonkeyPatch, folder: Path, *, days: float, trusted: bool = True) -> object:
    file = certificate(folder, days=days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with serving(file) as port:
        https.PUBLIC_PORT = port
        claim = Claim(job_id=uuid4(), token=uuid4(), kind="", queue="long", attempt=1, cafeteria_uuid=None, arguments={})
        return check(JobRun(claim))


def told() -> list[tuple[str, str, str]]:
    return list(Alert.objects.filter(resolved_at=None).order_by("kind", "subject").values_list("kind", "subject", "severity"))


def test_a_certificate_with_weeks_left_is_measured(world: World, https: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = look(https, monkeypatch, tmp_path, days=60)
    facts = {"state": "succeeded", "idempotency_key": "2026-11-24", "finished_at": datetime.now(UTC)}  # As PERIODIC_JOBS adds it.
    Job.objects.create(kind="ops.certificates.jobs.check", queue="long", result=result, **facts)
    https.HTTPS = False
    found = scraped(world.platform_client())
    left = found["comanda_certificate_end_seconds"][(("hosts", "platform"),)] - datetime.now(UTC).timestamp()
    assert 59 < left / 86400 < 61
    assert found["comanda_certificates_bad"] == {(("hosts", "cafeterias"),): 0, (("hosts", "platform"),): 0}
    assert told() == []


@pytest.mark.parametrize(("days", "severity"), [(10, "warning"), (2, "critical")])
def test_one_near_its_end_is_an_alert_until_it_is_renewed(
    days: int, severity: str, world: World, https: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look(https, monkeypatch, tmp_path, days=days)
    hosts = sorted(["localhost", f"{world.a.ref.slug}.localhost"])
    assert [row for row in told() if row[1] == "localhost"] == [("certificates.ending", "localhost", severity)]
    assert {subject for _, subject, _ in told()} <= set(hosts)
    look(https, monkeypatch, tmp_path, days=60)
    assert told() == []


def test_one_that_has_ended_or_is_nobodys_is_bad(world: World, https: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = look(https, monkeypatch, tmp_path, days=-1)
    assert isinstance(result, dict)
    assert result["bad"]["platform"] == 1
    assert ("certificates.bad", "localhost", "critical") in told()
    assert "expired" in Alert.objects.get(kind="certificates.bad", subject="localhost").detail


def test_a_host_that_does_not_answer_is_bad(world: World, https: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    https.PUBLIC_PORT = 1
    connect, asked = socket.create_connection, Counter[str]()

    def counted(address: tuple[str, int], timeout: float) -> socket.socket:
        asked[address[0]] += 1
        return connect(address, timeout=timeout)

    monkeypatch.setattr(socket, "create_connection", counted)
    claim = Claim(job_id=uuid4(), token=uuid4(), kind="", queue="long", attempt=1, cafeteria_uuid=None, arguments={})
    assert check(JobRun(claim)) == {"ends": {}, "bad": {"cafeterias": 1, "platform": 1}}
    assert set(asked.values()) == {2}
    assert "does not answer (ConnectionRefusedError)" in Alert.objects.get(kind="certificates.bad", subject="localhost").detail


def test_without_https_there_is_nothing_to_look_at(world: World) -> None:
    claim = Claim(job_id=uuid4(), token=uuid4(), kind="", queue="long", attempt=1, cafeteria_uuid=None, arguments={})
    assert check(JobRun(claim)) == {"ends": {}, "bad": {}}
