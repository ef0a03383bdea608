"""A pytest plugin, loaded before Django's settings: the tests' own PostgreSQL and environment."""

import atexit
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from config.dev.postgres import embedded_database

_stack = ExitStack()


def start() -> None:
    # Short on purpose: the socket's path has a limit. Shared by the workers of pytest-xdist, which inherit the environment.
    if "DATABASE_URL" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="comanda-test-"))
        folder.chmod(0o755)
        atexit.register(_stack.close)
        os.environ["DATABASE_URL"] = _stack.enter_context(embedded_database(folder, settings={"fsync": "off"}))
        os.environ["COMANDA_DATA"] = str(folder)
        (folder / "static").mkdir()
    os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 40)
    os.environ.setdefault("VAULT_KEYS", "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMTE=")
    os.environ.setdefault("BACKUP_KEYS", "AGE-SECRET-KEY-1KGY4PJRZ28K07J0DLM6SRK3X986QJ3P9L6HSAK0GTDQ7STVALZ8QEVFNZU")
    os.environ.setdefault("METRICS_KEPT_SECONDS", "0")  # Each test's own figures.
    os.environ.setdefault("PUBLIC_URL", "http://localhost:8000")
    # A test sends as fast as it can: those of fair shares ask for them.
    os.environ.setdefault("FAIR_SHARE_PERCENT", "0")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"


start()
