"""The database is lost: what there is off-site is found again, and nothing else is believed."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.forms import model_to_dict
from pytest_django.fixtures import Settings

from ops.backups.actions import file_of, take_backup
from ops.backups.bundles.keys import new_key
from ops.backups.models import Backup
from ops.backups.offsite.actions import copy_backup
from ops.backups.offsite.adopting import adopt_offsite
from ops.backups.offsite.models import OffsiteErasure
from ops.backups.proofs import prove_backup
from shop.menu.models import Product
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.ops.backups.offsite.storage import Storage
from tests.world import Place, World


def copied(place: Place) -> Backup:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert copy_backup(backup_id=backup.pk)
    backup.refresh_from_db()
    return backup


def card(storage: Storage, backup: Backup) -> dict[str, Any]:
    key = backup.offsite_key.replace(".bundle", ".json")
    return dict(json.loads(storage.client.get_object(Bucket="backups", Key=key)["Body"].read()))


def put_card(storage: Storage, backup: Backup, content: str) -> None:
    storage.client.put_object(Bucket="backups", Key=backup.offsite_key.replace(".bundle", ".json"), Body=content.encode())


def test_an_empty_table_is_filled_again(place: Place, storage: Storage) -> None:
    backups = [copied(place), copied(place)]
    before = {backup.pk: model_to_dict(backup) for backup in backups}
    for backup in backups:
        file_of(backup).unlink()
    Backup.objects.all().delete()
    found = adopt_offsite()
    assert (found.adopted, found.known, found.strangers, found.refused) == (2, 0, {}, {})
    again = {backup.pk: model_to_dict(backup) for backup in Backup.objects.all()}
    as_lost = {"file": "", "offsite_at": None, "offsite_due_at": None}
    assert {pk: {**row, **as_lost} for pk, row in again.items()} == {pk: {**row, **as_lost} for pk, row in before.items()}
    assert [backup.location for backup in Backup.objects.all()] == ["offsite", "offsite"]
    assert prove_backup(Backup.objects.get(pk=backups[0].pk)).proven_at is not None
    found = adopt_offsite()
    assert (found.adopted, found.known) == (0, 2)


def test_cafeterias_that_are_not_here_are_left_alone(committed_world: World, place: Place) -> None:
    backup = copied(committed_world.b)
    copied(place)
    Backup.objects.all().delete()
    found = adopt_offsite()
    assert (found.adopted, found.strangers) == (2, {})
    Backup.objects.all().delete()
    cafeteria = Cafeteria.objects.get(uuid=backup.cafeteria_uuid)
    Cafeteria.objects.filter(pk=cafeteria.pk).update(uuid="00000000-0000-4000-8000-000000000000")
    try:
        found = adopt_offsite()
    finally:
        Cafeteria.objects.filter(pk=cafeteria.pk).update(uuid=backup.cafeteria_uuid)
    assert (found.adopted, found.strangers) == (1, {committed_world.b.ref.slug: 1})


@pytest.mark.parametrize("change", ["facts", "signature", "no json", "another's", "lacking", "newer", "other key", "bundle"])
def test_what_is_not_ours_is_refused(place: Place, storage: Storage, settings: Settings, change: str) -> None:
    backup, other = copied(place), copied(place)
    Backup.objects.all().delete()
    found = card(storage, backup)
    if change == "facts":
        found["facts"]["slug"] = "another"
    elif change == "signature":
        found["signature"] = "0" * 64
    elif change == "another's":
        found = card(storage, other)
    elif change == "lacking":
        del found["facts"]["sha256"]
    elif change == "newer":
        found["facts"]["card"] = 2
    if change == "other key":
        settings.BACKUP_KEYS = [new_key()]
    elif change == "bundle":
        storage.client.put_object(Bucket="backups", Key=backup.offsite_key, Body=b"something else")
    else:
        put_card(storage, backup, "{" if change == "no json" else json.dumps(found))
    adopted = adopt_offsite()
    both = {backup.offsite_key, other.offsite_key}
    assert set(adopted.refused) == (both if change == "other key" else {backup.offsite_key})
    assert adopted.adopted == (0 if change == "other key" else 1)
    assert not Backup.objects.filter(pk=backup.pk).exists()


def test_a_bundle_without_its_card_and_what_is_being_erased_are_not_adopted(place: Place, storage: Storage) -> None:
    without, erased = copied(place), copied(place)
    Backup.objects.all().delete()
    storage.client.delete_object(Bucket="backups", Key=without.offsite_key.replace(".bundle", ".json"))
    OffsiteErasure.objects.create(key=erased.offsite_key, since=erased.finished_at)
    found = adopt_offsite()
    assert (found.adopted, found.known, found.refused) == (0, 1, {})


def test_the_command(place: Place, storage: Storage, settings: Settings) -> None:
    backup = copied(place)
    Backup.objects.all().delete()
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit, match="0"):
        call_command("backups_adopt", stdout=out, stderr=err)
    assert out.getvalue() == "1 backups adopted; 0 were known.\n"
    Backup.objects.all().delete()
    put_card(storage, backup, "{")
    with pytest.raises(SystemExit, match="1"):
        call_command("backups_adopt", stdout=out, stderr=err)
    assert err.getvalue() == f"{backup.offsite_key}: The bundle cannot be used: its card cannot be read.\n"
    settings.S3_BUCKET = ""
    with pytest.raises(CommandError, match="S3_BUCKET is not set"):
        call_command("backups_adopt")


def test_a_bundle_is_restored_from_its_address(place: Place) -> None:
    """From the command line, with the address that only the bucket knows."""
    backup = copied(place)
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="9999.00")
    Backup.objects.filter(pk=backup.pk).delete()
    call_command("restore", place.ref.slug, "--from-s3", f"s3://backups/{backup.offsite_key}", "--force")
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        assert str(Product.objects.get(pk=place.coffee).price) == "1000.00"
    with pytest.raises(CommandError):
        call_command("restore", place.ref.slug, "--from-s3", "s3://backups/nowhere.bundle", "--force")
