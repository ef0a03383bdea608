"""A database that has lost its rows finds its backups again, by the cards that stand beside them."""

from dataclasses import dataclass, field

import structlog

from core.errors import AppError
from ops.backups.bundles.keys import bundle_keys
from ops.backups.errors import BundleRefused
from ops.backups.models import Backup
from ops.backups.offsite import gateway
from ops.backups.offsite.actions import card_key, key_of, prefix
from ops.backups.offsite.cards import LARGEST, backup_of_card
from ops.backups.offsite.errors import OffsiteUnavailable
from ops.backups.offsite.models import OffsiteErasure
from tenants.models import Cafeteria

log = structlog.get_logger()


@dataclass(kw_only=True)
class Adopted:
    adopted: int = 0
    known: int = 0  # there were rows of these already
    strangers: dict[str, int] = field(default_factory=dict)  # of cafeterias that are not here: how many, by slug
    refused: dict[str, str] = field(default_factory=dict)  # why, by key


def adopt_offsite() -> Adopted:
    """Make a row for each off-site backup of a cafeteria that is here and has none of it. Changes nothing off-site; twice is as once.

    Raises OffsiteNotSetUp, BackupsNotSetUp, OffsiteUnavailable.
    """
    bundle_keys()
    bucket = gateway.bucket_of_settings()
    sizes = dict(gateway.list_objects(bucket, prefix()))
    rows = {key_of(Backup(pk=pk, cafeteria_uuid=uuid)) for pk, uuid in Backup.objects.values_list("pk", "cafeteria_uuid")}
    rows |= set(OffsiteErasure.objects.values_list("key", flat=True))
    cafeterias = dict(Cafeteria.objects.values_list("uuid", "id"))
    found = Adopted()
    for key, size in sizes.items():
        if not key.endswith(".bundle") or card_key(key) not in sizes:
            continue
        if key in rows:
            found.known += 1
            continue
        try:
            backup = _row(bucket, key, size)
        except OffsiteUnavailable:
            raise
        except AppError as error:
            found.refused[key] = str(error)
            continue
        if backup.cafeteria_uuid not in cafeterias:
            found.strangers[backup.slug] = found.strangers.get(backup.slug, 0) + 1
            continue
        backup.cafeteria_id = cafeterias[backup.cafeteria_uuid]
        Backup.objects.bulk_create([backup], ignore_conflicts=True)
        found.adopted += 1
    log.info("backups_adopted", adopted=found.adopted, known=found.known, refused=len(found.refused))
    return found


def _row(bucket: gateway.Bucket, key: str, size: int) -> Backup:
    backup = backup_of_card(gateway.get_text(bucket, card_key(key), most=LARGEST))
    if (key_of(backup), backup.size) != (key, size):
        raise BundleRefused("its card is another one's.")
    backup.file, backup.offsite_key, backup.offsite_at = "", key, backup.finished_at
    return backup
