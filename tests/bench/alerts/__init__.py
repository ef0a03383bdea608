"""`python -m tests.bench alerts`: a real Prometheus on the real product, with the rules of deploy/prometheus; what should wake somebody is
made to happen, and the table says how long each alert took.

The rules' thresholds and expressions are those of production; only what they wait and look back over is seconds in place of minutes.
The tally needs Debian's prometheus, and root for the small disk that is filled.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database
from tests.bench.load import free_port


def main(_arguments: list[str] | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="comanda-alerts-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        url = stack.enter_context(embedded_database(folder))
        tls = free_port()
        os.environ |= {"DATABASE_URL": url, "COMANDA_DATA": name, "BACKUP_FOLDER": str(folder / "small-disk")}
        os.environ |= {"SECRET_KEY": "only-for-benches-" + "x" * 40, "BACKUP_KEYS": new_backup_key()}
        os.environ |= {"VAULT_KEYS": "b25seS1mb3ItYmVuY2hzb25seS1mb3ItYmVuY2hzMTE=", "PUBLIC_URL": f"https://localhost:{tls}"}
        os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR", "METRICS_KEPT_SECONDS": "1"}
        os.environ |= {"JOB_BEAT_SECONDS": "1", "JOB_STALL_SECONDS": "5", "SSL_CERT_FILE": str(folder / "certificate.pem")}
        import django  # noqa: PLC0415 - after the environment

        django.setup()
        from tests.bench.alerts.provoked import run  # noqa: PLC0415

        if not run(folder, tls):
            sys.exit(1)
