from pathlib import Path

from pytest_django.fixtures import Settings

from ops.backups.actions import take_backup
from tests.world import World


def test_backups_are_measured(committed_world: World, settings: Settings, tmp_path: Path) -> None:
    settings.BACKUP_FOLDER = tmp_path
    backup = take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")
    lines = committed_world.platform_client().get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode().splitlines()
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line and not line.startswith("#"))}
    assert values['comanda_backups{kind="manual"}'] >= 1
    assert values['comanda_backup_bytes{kind="manual"}'] >= backup.size
    assert values["comanda_restores_under_way"] == 0
    assert "comanda_backups_not_ok" in values
    assert committed_world.a.ref.slug not in "\n".join(lines)
