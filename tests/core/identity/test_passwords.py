import pytest
from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.realm import platform_realm
from core import passwords
from core.identity.actions import sign_in
from tests.passwords import PRODUCTS
from tests.world import World


def test_hashes_are_argon2id_with_the_advised_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cost in PRODUCTS.items():
        monkeypatch.setattr(passwords.Argon2PasswordHasher, name, cost)
    assert passwords.hash_password("seven green kettles").startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_matches_its_password_only() -> None:
    encoded = passwords.hash_password("seven green kettles")
    assert passwords.matches("seven green kettles", encoded)
    assert not passwords.matches("seven green kettle", encoded)
    assert not passwords.needs_rehash(encoded)


@pytest.mark.parametrize(
    "encoded",
    [None, "", "gibberish", "md5$salt$hash", passwords.unusable_password()],
    ids=["none", "empty", "gibberish", "md5", "unusable"],
)
def test_what_is_no_hash_matches_nothing(encoded: str | None) -> None:
    assert not passwords.matches("Nobody's password: its hash costs what a real one costs.", encoded)


@pytest.mark.parametrize(
    "password", ["short", "x" * 129, "password123", "ana@example.test", "ANA@EXAMPLE.TEST1", "Ana Suárez", "ana suárez!"]
)
def test_weak_ones_are_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        passwords.check_new_password(password, email="ana@example.test", full_name="Ana Suárez")


@pytest.mark.parametrize("password", ["seven green kettles", "ñandú señal café", "x9$kLm2!", "🙂🙃🙂🙃 caballo", "x" * 127 + "y"])
def test_good_ones_are_not(password: str) -> None:
    passwords.check_new_password(password, email="ana@example.test", full_name="Ana Suárez")


def test_an_old_kind_of_hash_is_renewed_at_the_next_sign_in(world: World) -> None:
    weaker = passwords.Argon2PasswordHasher()
    weaker.memory_cost = 1024
    User.objects.filter(pk=world.owner_a).update(password=weaker.encode("seven green kettles", weaker.salt()))
    user = User.objects.get(pk=world.owner_a)
    sign_in(platform_realm, email=user.email, password="seven green kettles", address="127.0.0.1")
    user.refresh_from_db()
    assert not passwords.needs_rehash(user.password)
    assert passwords.matches("seven green kettles", user.password)
