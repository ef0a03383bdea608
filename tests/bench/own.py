"""A Comanda of a bench's own: a folder, a PostgreSQL, settings that lead to them, and Django on these. Gone with the bench."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database
from tests.bench.payments.chaos import environment

if TYPE_CHECKING:
    from tests.ops.dying import Noting


@contextmanager
def own_comanda(name: str) -> Iterator[Path]:
    """Its folder, once Django is set up: what reads settings is imported in the block. Without tables."""
    with tempfile.TemporaryDirectory(prefix=f"comanda-{name}-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(environment(url, folder) | {"BACKUP_KEYS": new_backup_key(), "LOG_LEVEL": "CRITICAL"})
            import django  # noqa: PLC0415 - after the environment

            django.setup()
            yield folder


def conclude(noted: "Noting", *, seconds: float, well: str) -> bool:
    """Print all of it, `well` when all held; whether it did."""
    print(f"{seconds:.0f} s: {', '.join(f'{count} {what}' for what, count in sorted(noted.counts.items()))}")
    print("\n".join(noted.problems) or well)
    return not noted.problems
