"""RFC 6238, each code once; recovery codes once too, and none of it readable in the database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import Settings

from accounts.models import RecoveryCode, SecondFactor
from accounts.realm import platform_realm
from accounts.second_factor.codes import app_address, is_on, new_secret, step_of, use_code
from core.audit.models import AuditEntry
from core.identity.callers import Caller, Claims
from core.identity.errors import WrongCode
from core.jobs.models import Job
from core.vault import unseal
from tests.accounts.second_factor.phone import Phone, enrolled
from tests.world import World

# RFC 6238, appendix B: SHA-1, of the secret 12345678901234567890; the last six of its eight digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC = [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")]


def caller_of(world: World, user_id: int) -> Caller:
    caller = platform_realm.caller(Claims(account_id=user_id, session_id=world.user_sessions[user_id], token_version=1))
    assert caller is not None
    return caller


@pytest.mark.parametrize(("seconds", "code"), RFC)
def test_the_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    with time_machine.travel(datetime.fromtimestamp(seconds, UTC), tick=False):
        assert step_of(RFC_SECRET, code) == seconds // 30


@pytest.mark.parametrize(("steps", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(steps: int, counts: bool) -> None:
    with time_machine.travel(datetime(2026, 11, 24, 12, tzinfo=UTC), tick=False):
        phone = Phone(new_secret(), 0)
        assert (step_of(phone.secret, phone.code(later=steps)) is not None) == counts


def test_each_code_works_once_and_none_from_before_it(world: World) -> None:
    phone, _ = enrolled(world.admin)
    caller = caller_of(world, world.admin)
    with time_machine.travel(datetime(2026, 11, 24, 12, tzinfo=UTC), tick=False):
        use_code(caller, f" {phone.code()[:3]} {phone.code()[3:]} ")
        for used in (phone.code(), phone.code(later=-1), phone.wrong(), "", "١٢٣٤٥٦", "abc"):
            with pytest.raises(WrongCode):
                use_code(caller, used)
        use_code(caller, phone.code(later=1))


def test_another_persons_code_is_nobodys(world: World) -> None:
    phone, codes = enrolled(world.admin)
    enrolled(world.owner_a)
    for code in (phone.code(), codes[0]):
        with pytest.raises(WrongCode):
            use_code(caller_of(world, world.owner_a), code)
    with pytest.raises(WrongCode):
        use_code(caller_of(world, world.owner_b), phone.code())
    assert [is_on(user) for user in (world.admin, world.owner_a, world.owner_b)] == [True, True, False]


def test_a_recovery_code_works_once_however_it_is_typed(world: World) -> None:
    _, codes = enrolled(world.admin)
    caller = caller_of(world, world.admin)
    assert (len(set(codes)), {len(code) for code in codes}) == (10, {19})
    use_code(caller, codes[0].upper().replace("-", " ").replace("0", "O").replace("1", "l"))
    with pytest.raises(WrongCode):
        use_code(caller, codes[0])
    use_code(caller, codes[9])
    used = AuditEntry.objects.filter(action="second_factor.recovery_code_used").order_by("at", "id")
    assert [(entry.actor_id, entry.data) for entry in used] == [(world.admin, {"left": 9}), (world.admin, {"left": 8})]


def test_a_copy_of_the_database_shows_neither_secret_nor_codes(world: World) -> None:
    phone, codes = enrolled(world.admin)
    with connection.cursor() as cursor:
        cursor.execute("SELECT f::text || r::text FROM accounts_secondfactor f JOIN accounts_recoverycode r ON r.factor_id = f.user_id")
        rows = " ".join(row for (row,) in cursor.fetchall())
    kept = [text for text in (phone.secret, *codes, *(code.replace("-", "") for code in codes)) if text in rows]
    assert kept == []


def test_the_vaults_keys_can_be_changed(world: World, settings: Settings) -> None:
    phone, _ = enrolled(world.admin)
    old, new = settings.VAULT_KEYS, Fernet.generate_key().decode()
    settings.VAULT_KEYS = [new, *old]
    call_command("rotate_vault_keys", stdout=StringIO())
    settings.VAULT_KEYS = [new]
    assert unseal(SecondFactor.objects.get(user_id=world.admin).sealed_secret) == phone.secret


def test_an_app_tells_the_installations_and_the_people_apart() -> None:
    assert app_address(RFC_SECRET, email="ana@owners.test") == (
        f"otpauth://totp/Comanda%20%28localhost%29:ana%40owners.test?secret={RFC_SECRET}&issuer=Comanda%20%28localhost%29"
    )


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_many_with_the_same_code_at_once_one_comes_in(committed_world: World, kind: str) -> None:
    phone, codes = enrolled(committed_world.admin)
    caller = caller_of(committed_world, committed_world.admin)
    code = phone.code() if kind == "app" else codes[0]

    def attempt(_: int) -> bool:
        try:
            with transaction.atomic():
                use_code(caller, code)
        except WrongCode:
            return False
        finally:
            connection.close()
        return True

    try:
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(attempt, range(6))) == 1
    finally:
        Job.objects.filter(kind="accounts.jobs.mail_second_factor_notice").delete()
        AuditEntry.objects.filter(actor_id=caller.id).delete()
    assert RecoveryCode.objects.filter(factor__user_id=committed_world.admin, used_at=None).count() == (10 if kind == "app" else 9)
