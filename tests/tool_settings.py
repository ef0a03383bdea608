"""The settings for tools that import them without running anything, such as mypy's plugin."""

import os

for _name, _value in {
    "SECRET_KEY": "only-for-tools-" + "x" * 40,
    "VAULT_KEYS": "b25seS1mb3ItdG9vbHMtb25seS1mb3ItdG9vbHMtMTE=",
    "DATABASE_URL": "postgresql://nobody@localhost/nothing",
    "PUBLIC_URL": "http://localhost:8000",
}.items():
    os.environ.setdefault(_name, _value)

from config.settings import *  # noqa: E402, F403
