"""`python -m tests.bench archive_deaths`: the archive killed at every step, on a PostgreSQL and a SeaweedFS of its own."""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.own import conclude, own_comanda

MANAGE = Path(__file__).resolve().parents[3] / "manage.py"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench archive_deaths", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="which steps: every Nth")
    parser.add_argument("--rounds", type=int, default=5, help="deaths of the program while it receives")
    options = parser.parse_args(arguments or [])
    with own_comanda("deaths") as folder:
        if not _run(folder, options):
            sys.exit(1)


def _run(folder: Path, options: argparse.Namespace) -> bool:
    from ops.archive.moments import folder_of_settings  # noqa: PLC0415 - needs the settings
    from ops.archive.offsite import Offsite  # noqa: PLC0415
    from ops.archive.source import source_of_settings  # noqa: PLC0415
    from tenants.fleet.public import migrate_public  # noqa: PLC0415
    from tests.bench.archive.losses import lead_to  # noqa: PLC0415
    from tests.ops.archive.deaths import ArchiveDeaths  # noqa: PLC0415
    from tests.ops.backups.offsite.storage import running_storage  # noqa: PLC0415
    from tests.world import build_world  # noqa: PLC0415

    migrate_public()
    place, source, began = build_world("luna", "sol").a, source_of_settings(), time.monotonic()
    deaths = ArchiveDeaths(place=place, folder=folder_of_settings(), source=source, keeper=lambda: _keeper(folder))
    deaths.run_all(every=options.every, rounds=options.rounds)
    (folder / "s3").mkdir()
    with running_storage(folder / "s3") as storage:
        lead_to(storage)
        deaths.shipments(Offsite(source.system_identifier))
    well = "Every time the next try worked, what is live was as it was, and nothing is left."
    return conclude(deaths, seconds=time.monotonic() - began, well=well)


@contextmanager
def _keeper(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    from tests.processes import kill_group  # noqa: PLC0415

    with (folder / "archive.log").open("ab") as output:
        process = subprocess.Popen([sys.executable, str(MANAGE), "archive"], stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        kill_group(process)


if __name__ == "__main__":
    main(sys.argv[1:])
