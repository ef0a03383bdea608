"""A sign-in costs these tests' own process little; the processes that they start hash as the product does."""

from core.passwords import Argon2PasswordHasher

PRODUCTS = {name: getattr(Argon2PasswordHasher, name) for name in ("memory_cost", "time_cost")}
CHEAP = {"memory_cost": 2048, "time_cost": 1}


def make_cheap() -> None:
    for name, cost in CHEAP.items():
        setattr(Argon2PasswordHasher, name, cost)
