"""The emulator's fixtures are everybody's by now (tests/conftest.py); these names are for who still imports them from here."""

from tests.conftest import _running, emulator

__all__ = ["_running", "emulator"]
