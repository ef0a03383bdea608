from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.utils import timezone

from accounts.models import SecondFactor
from accounts.second_factor.locked import locked_factors
from core.vault import VaultLocked, fingerprint, reseal
from payments.sellers.models import Connecting, Seller
from payments.sellers.vault import keys_are_known, locked_accounts, look_over_accounts
from tenants.models import Cafeteria

SEALED: Sequence[tuple[type[models.Model], tuple[str, ...]]] = (
    (Seller, ("sealed_access_token", "sealed_refresh_token")),
    (Connecting, ("sealed_verifier",)),
    (SecondFactor, ("sealed_secret",)),
)
BATCH = 200
WHAT_NOW = "Put the key that sealed them back at the end of VAULT_KEYS. Is it lost for good: rotate_vault_keys --give-up."


class Command(BaseCommand):
    help = "Encrypt everything that is sealed with the newest of VAULT_KEYS. Afterwards the older keys can be taken out of the settings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--check", action="store_true", help="only name what no key opens; changes nothing")
        instead.add_argument(
            "--give-up",
            action="store_true",
            help="the keys are lost for good: hide online payment where the token does not open, and ask those owners to connect again",
        )

    def handle(self, *, check: bool, give_up: bool, **_: Any) -> None:
        if check:
            self._check()
        elif give_up:
            found = look_over_accounts(give_up=True)
            self.stdout.write(f"Accounts whose owners have to connect again: {found.marked}.")
            self._name_factors()
        else:
            self._rotate()

    def _rotate(self) -> None:
        Connecting.objects.filter(expires_at__lt=timezone.now()).delete()  # Of no use to anybody, whichever key it has.
        resealed, locked = 0, 0
        for model, columns in SEALED:
            done, failed = _reseal_all(model, columns)
            resealed, locked = resealed + done, locked + failed
        self.stdout.write(f"Sealed anew: {resealed}.")
        if locked:
            raise CommandError(f"{locked} could not be opened with any of VAULT_KEYS and stay as they are. Put the older key back.")

    def _check(self) -> None:
        """Raises CommandError when anything is locked, so that a script sees it."""
        known = "they open what was sealed last" if keys_are_known() else "they do not open what was sealed last"
        self.stdout.write(f"Keys with the fingerprint {fingerprint()}: {known}.")
        accounts = locked_accounts()
        slugs = dict(Cafeteria.objects.filter(uuid__in=[seller.cafeteria_uuid for seller in accounts]).values_list("uuid", "slug"))
        self.stdout.write(f"Accounts of Mercado Pago that no key opens: {len(accounts)}.")
        for seller in accounts:
            self.stdout.write(f"  {slugs.get(seller.cafeteria_uuid, seller.cafeteria_uuid)}: {seller.mp_user_id}, {seller.status}")
        if self._name_factors() or accounts:
            raise CommandError(WHAT_NOW)

    def _name_factors(self) -> int:
        factors = locked_factors()
        self.stdout.write(f"Second factors that no key opens: {len(factors)}.")
        for factor in factors:
            self.stdout.write(
                f"  {factor.user.email}: a recovery code signs in; without one, manage.py reset_two_factor {factor.user.email}"
            )
        return len(factors)


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
