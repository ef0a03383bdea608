"""Nobody sees half a restore: a crowd orders over HTTP, behind PgBouncer in transaction mode, while its cafeteria goes back."""

from pathlib import Path

from pytest_django.fixtures import Settings

from ops.backups.actions import take_backup
from tests.ops.restores.crowds import Crowd, restore_amid, web_behind_a_pooler
from tests.processes import committed_queue
from tests.world import World


def test_orders_are_on_one_side_or_the_other(committed_world: World, settings: Settings, tmp_path: Path) -> None:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    for parent in (tmp_path, *tmp_path.parents[:3]):  # PgBouncer runs as another user.
        parent.chmod(parent.stat().st_mode | 0o055)
    with committed_queue(), web_behind_a_pooler(tmp_path, connections=4) as port:
        backup = take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")
        crowd = Crowd(port=port, world=committed_world, buyers=6, readers=2)
        outcome = restore_amid(crowd, backup_id=backup.pk, before=0, after=0, orders=12)
    assert outcome.restore.phase == "done"
    assert (outcome.torn, outcome.lost, outcome.twice, crowd.impatient) == (0, 0, 0, 0)
    assert set(crowd.orders) <= {201, 503}
    assert set(crowd.looks) == {200}
    assert outcome.neighbour_is_the_same
    assert len(crowd.placed) > 20
