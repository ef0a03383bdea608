"""A backup is one when it has been restored. Each newest bundle is, into a scratch schema that is taken back, every day."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from secrets import token_hex

import orjson
import structlog
from django.db import DatabaseError, transaction
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.errors import AppError
from ops.backups.bundles.data import Manifest, manifest_from_json
from ops.backups.bundles.reading import read_manifest
from ops.backups.bundles.writing import order_sums
from ops.backups.errors import BundleRefused, said_of
from ops.backups.media import is_there
from ops.backups.models import Backup
from ops.backups.offsite.actions import local_bundle
from ops.restores.building import built_side, check_suits
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid

log = structlog.get_logger()

type Step = Callable[[float, str], None]


@dataclass(kw_only=True)
class Proofs:
    proven: int = 0
    unchanged: int = 0  # proven already, and nothing newer
    failed: list[str] = field(default_factory=list)  # slugs
    missing: list[str] = field(default_factory=list)  # slugs of cafeterias without any backup


def prove_backup(backup: Backup) -> Backup:
    """Restore it into a scratch schema, compare rows, sums, sequences and pictures with its manifest, and take the schema back.

    Marks it proven, which closes the alert of one that failed unless a newer one has. Raises BundleRefused when it is not good,
    after an alert.
    """
    try:
        _prove(backup)
    except (AppError, DatabaseError, OSError) as error:
        Backup.objects.filter(pk=backup.pk).update(error=said_of(error)[:300])
        detail = f"The backup of {backup.slug} of {backup.taken_at:%Y-%m-%d %H:%M} UTC failed its proof: {said_of(error)}"
        raise_alert(kind="backups.proof_failed", cafeteria_uuid=backup.cafeteria_uuid, detail=detail, severity="critical")
        raise
    backup.proven_at, backup.error = timezone.now(), ""
    backup.save(update_fields=["proven_at", "error"])
    newer = Backup.objects.filter(cafeteria_uuid=backup.cafeteria_uuid, taken_at__gt=backup.taken_at)
    if not newer.exclude(error="").exists():  # A good older one says nothing of a newer one that failed.
        resolve_alerts(kind="backups.proof_failed", cafeteria_uuid=backup.cafeteria_uuid)
    return backup


def prove_due_backups(*, step: Step = lambda _fraction, _what: None, only: str = "", again: bool = False) -> Proofs:
    """Prove the newest backup of each cafeteria that is not proven yet (or, `again`, whatever it is). One that fails stops no other.

    Killed, the next run goes on with those that are left.
    """
    proofs = Proofs()
    cafeterias = Cafeteria.objects.filter(copy_of=None).exclude(status=Cafeteria.Status.CLOSED).exclude(schema_head="").order_by("id")
    cafeterias = cafeterias.filter(slug=only) if only else cafeterias
    total = cafeterias.count()
    for number, (uuid, slug) in enumerate(cafeterias.values_list("uuid", "slug")):
        step(number / max(total, 1), slug)
        newest = Backup.objects.filter(cafeteria_uuid=uuid).exclude(kind=Backup.Kind.MOMENT).order_by("-taken_at").first()
        if newest is None:
            proofs.missing.append(slug)
        elif newest.proven_at is not None and not again:
            proofs.unchanged += 1
        else:
            _count(newest, proofs)
    return proofs


def _count(backup: Backup, proofs: Proofs) -> None:
    try:
        prove_backup(backup)
    except (AppError, DatabaseError, OSError) as error:
        log.warning("proof_failed", backup=str(backup.pk), error=said_of(error))
        proofs.failed.append(backup.slug)
    else:
        proofs.proven += 1


def _prove(backup: Backup) -> None:
    path = local_bundle(backup)
    manifest = read_manifest(path)
    if manifest.as_json() != _kept_manifest(backup):
        raise BundleRefused("it is not the one that was written.")
    ref = ref_by_uuid(backup.cafeteria_uuid)
    check_suits(manifest, ref)
    name = f"{ref.schema_name}_p{token_hex(4)}"
    with transaction.atomic():
        with built_side(name, path, manifest, step=lambda _: None) as (side, _head):
            _check_sums(manifest, order_sums(side.contents, {table.name: table.columns for table in manifest.tables}))
        transaction.set_rollback(True)
    if not manifest.media_included:
        gone = [facts.key for facts in manifest.media if not is_there(facts)]
        if gone:
            raise BundleRefused(f"{len(gone)} of its pictures are not in the storage, e.g. {gone[0]}.")


def _kept_manifest(backup: Backup) -> bytes:
    return manifest_from_json(orjson.dumps(backup.manifest)).as_json()


def _check_sums(manifest: Manifest, found: dict[str, str]) -> None:
    for name, expected in manifest.sums.items():
        if Decimal(found[name]) != Decimal(expected):
            raise BundleRefused(f"the sum of {name} is {found[name]}, not {expected}.")
