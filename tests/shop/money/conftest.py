from tests.payments.conftest import _running, emulator

__all__ = ["_running", "emulator"]
