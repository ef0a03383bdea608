from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction

from accounts.models import SecondFactor
from core.vault import VaultLocked, reseal
from payments.sellers.models import Connecting, Seller

SEALED: Sequence[tuple[type[models.Model], tuple[str, ...]]] = (
    (Seller, ("sealed_access_token", "sealed_refresh_token")),
    (Connecting, ("sealed_verifier",)),
    (SecondFactor, ("sealed_secret",)),
)
BATCH = 200


class Command(BaseCommand):
    help = "Encrypt everything that is sealed with the newest of VAULT_KEYS. Afterwards the older keys can be taken out of the settings."

    def handle(self, **_: Any) -> None:
        resealed, locked = 0, 0
        for model, columns in SEALED:
            done, failed = _reseal_all(model, columns)
            resealed, locked = resealed + done, locked + failed
        self.stdout.write(f"Sealed anew: {resealed}.")
        if locked:
            raise CommandError(f"{locked} could not be opened with any of VAULT_KEYS and stay as they are. Put the older key back.")


def _reseal_all(model: type[models.Model], columns: tuple[str, ...]) -> tuple[int, int]:
    """(rows sealed anew, rows that no key opens). In batches, each committed by itself: a killed run has lost nothing."""
    done, locked, last = 0, 0, None
    while True:
        with transaction.atomic():
            rows = model._default_manager.select_for_update().order_by("pk")
            batch = list((rows if last is None else rows.filter(pk__gt=last))[:BATCH])
            for row in batch:
                try:
                    for column in columns:
                        sealed = getattr(row, column)
                        setattr(row, column, reseal(sealed) if sealed else "")
                except VaultLocked:
                    locked += 1
                    continue
                row.save(update_fields=columns)
                done += 1
        if not batch:
            return done, locked
        last = batch[-1].pk
