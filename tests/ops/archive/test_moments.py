"""Any moment of one cafeteria, out of base backups and PostgreSQL's log: equal to an oracle of that moment, or refused by name."""

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.archive.bases import take_base
from ops.archive.data import SEGMENT_SIZE, Card, segment_name, segment_of
from ops.archive.errors import ArchiveDamaged, OutsideWindow
from ops.archive.folder import Folder
from ops.archive.moments import take_moment
from ops.archive.scratch import sweep_scratch
from ops.archive.source import Source
from ops.backups.actions import take_backup
from ops.backups.models import Backup
from ops.restores.actions import run_restore, start_restore, undo_restore
from shop.menu.models import Category, Product
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.processes import wait_for
from tests.world import Place, World


def now(source: Source) -> datetime:
    """By the server's clock, a moment after everything that is committed."""
    time.sleep(0.002)
    with source.connected() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0].astimezone(UTC)
    time.sleep(0.002)
    return found


def write(place: Place, number: int) -> None:
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        Category.objects.create(name=f"Category {number}")
        Product.objects.filter(pk=place.coffee).update(price=1000 + number)


def contents(backup: Backup) -> dict[str, str]:
    return {table["name"]: table["sha256"] for table in backup.manifest["tables"]}


def is_swept(archive: Folder) -> bool:
    return not list(archive.scratch.iterdir()) and not list((archive.root / "part").iterdir())


def _needed(archive: Folder, card: Card) -> list[tuple[str, Path]]:
    """Whole segments of the base's log whose digest is noted."""
    found = archive.segments().items()
    return [(name, path) for name, path in found if archive.sum_of(name) and segment_of(name).number == card.first_segment]  # type: ignore[union-attr]


def test_a_moment_is_equal_to_its_oracle(place: Place, archive: Folder, source: Source) -> None:
    oracles: dict[datetime, dict[str, str]] = {}
    for number in range(6):
        write(place, number)
        oracles[now(source)] = contents(take_backup(cafeteria_uuid=place.ref.uuid, kind="manual"))
        if number == 2:
            assert take_base(archive, source, full=False).kind == "incremental"
    write(place, 99)
    for at in random.Random(4).sample(sorted(oracles), 3):
        taken = take_moment(cafeteria_uuid=place.ref.uuid, at=at)
        assert contents(taken) == oracles[at]
        assert (taken.kind, taken.taken_at) == ("moment", at)
        assert take_moment(cafeteria_uuid=place.ref.uuid, at=at) == taken
    assert is_swept(archive)


def test_a_cafeteria_goes_back_to_a_moment(place: Place, archive: Folder, source: Source) -> None:
    write(place, 1)
    at = now(source)
    write(place, 2)
    restore = run_restore(restore_id=start_restore(cafeteria_uuid=place.ref.uuid, at=at).pk)
    assert (restore.phase, restore.moment) == ("done", at)
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        assert int(Product.objects.get(pk=place.coffee).price) == 1001
    undo_restore(restore_id=restore.pk)
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        assert int(Product.objects.get(pk=place.coffee).price) == 1002
    assert is_swept(archive)


def test_what_is_outside_is_refused(place: Place, archive: Folder, source: Source) -> None:
    first = archive.cards()[0].moment
    for at in (first - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)):
        with pytest.raises(OutsideWindow):
            start_restore(cafeteria_uuid=place.ref.uuid, at=at)
    assert not Backup.objects.filter(cafeteria_uuid=place.ref.uuid).exists()


def test_damage_is_named_before_anything_is_touched(place: Place, archive: Folder, source: Source) -> None:
    write(place, 1)
    at = now(source)
    card = archive.cards()[0]
    victim = archive.bases / card.label / "global" / "pg_control"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(ArchiveDamaged, match=rf"{card.label} has a file that is not what was written: global/pg_control"):
        take_moment(cafeteria_uuid=place.ref.uuid, at=at)
    victim.write_bytes(whole)
    take_base(archive, source, full=True)  # Ends a segment.
    wait_for(lambda: _needed(archive, card))
    name, path = _needed(archive, card)[0]
    text = bytearray(path.read_bytes())
    text[5000] ^= 1
    path.write_bytes(text)
    with pytest.raises(ArchiveDamaged, match=f"the log segment {name} is not what was received"):
        take_moment(cafeteria_uuid=place.ref.uuid, at=at)
    assert is_swept(archive)


def in_one_segment(place: Place, archive: Folder, source: Source) -> tuple[int, datetime, Path]:
    """(a position, a moment after it, the unfinished segment that holds both and what came after)."""
    start, _at = source.mark()
    write(place, 1)
    at = now(source)
    write(place, 2)
    end, _at = source.mark()
    wait_for(lambda: (source.positions().received or 0) >= end)
    name = segment_name(1, start // SEGMENT_SIZE)
    found = [path for path in archive.partials().values() if path.name.startswith(name)]
    # Other tests write to this server too, and may have ended the segment.
    return (start, at, found[0]) if found else in_one_segment(place, archive, source)


def test_a_damaged_segment_that_is_not_whole_yet_is_named(place: Place, archive: Folder, source: Source) -> None:
    start, at, path = in_one_segment(place, archive, source)
    with path.open("r+b") as file:
        file.seek(start % SEGMENT_SIZE + 40)
        file.write(b"\xaa" * 64)
    name = segment_name(1, start // SEGMENT_SIZE)
    with pytest.raises(OutsideWindow, match=rf"ends before it, at \S+ in segment {name}: .* this segment is damaged"):
        take_moment(cafeteria_uuid=place.ref.uuid, at=at)
    assert is_swept(archive)


def test_a_cafeteria_that_was_not_there_yet(place: Place, committed_world: World, archive: Folder, source: Source) -> None:
    from tenants.actions import open_cafeteria  # noqa: PLC0415

    at = now(source)
    young = open_cafeteria(owner_id=committed_world.owner_a, name="Young", slug=f"young-{place.ref.id}", currency="ARS")
    with pytest.raises(OutsideWindow, match="was not there yet"):
        take_moment(cafeteria_uuid=young.uuid, at=at)
    assert sweep_scratch(archive) == 0
