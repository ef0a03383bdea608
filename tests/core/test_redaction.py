import pytest
from cryptography.fernet import Fernet

from core.redaction import REDACTED, redact_text

SIGNATURE = "0a1b2c3d" * 8
FERNET = Fernet(Fernet.generate_key()).encrypt(b"APP_USR-1").decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token APP_USR-1234567890-010203-0a1b2c-99 refused", f"token {REDACTED} refused"),
        ("APP_USR-123-ñandú", REDACTED),
        ("with TEST-1234567890123456-010203-0a1b2c-99", f"with {REDACTED}"),
        ("with TEST-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", f"with {REDACTED}"),
        ("grant TG-603fd4ab9c2b5e001a2b3c4d-241983636 was used", f"grant {REDACTED} was used"),
        ("seller_TG-603fd4ab9c2b5e00", f"seller_{REDACTED}"),
        ("client_secret=hunter2&x=1", f"client_secret={REDACTED}&x=1"),
        ("client_secret%3Dhunter2", f"client_secret%3D{REDACTED}"),
        ('{"client_secret": "hun ter2", "x": 1}', f'{{"client_secret": "{REDACTED}", "x": 1}}'),
        (r'"{\"code_verifier\":\"hunter2\"}"', rf'"{{\"code_verifier\":\"{REDACTED}"}}"'),
        ("{'code_verifier': 'hunter2'}", f"{{'code_verifier': '{REDACTED}'}}"),
        ("[('client_secret', 'hunter2'), ('x', '1')]", f"[('client_secret', '{REDACTED}'), ('x', '1')]"),
        (f"ts=1766455693,v1={SIGNATURE}", f"ts=1766455693,v1={REDACTED}"),
        (f"x-signature: ts=1766455693,v1={SIGNATURE.upper()}", f"x-signature: {REDACTED},v1={REDACTED}"),
        ("the password 'hunter' is wrong", f"the password '{REDACTED}' is wrong"),
        ("the password hunter2 is wrong", f"the password {REDACTED} is wrong"),
        ("https://user:p@ss@bank.test/x", f"https://{REDACTED}@bank.test/x"),
        ("https://0a1b2c@sentry.test/1", f"https://{REDACTED}@sentry.test/1"),
        ("api-key: hunter2; x", f"api-key: {REDACTED}; x"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {REDACTED}"),
        ("APIKEY=abc", f"APIKEY={REDACTED}"),
    ],
)
def test_a_secret_goes_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


def test_what_the_vault_has_sealed_goes() -> None:
    assert redact_text(f"row 7: {FERNET}, row 8") == f"row 7: {REDACTED}, row 8"
    assert redact_text(f"b'{FERNET}'") == f"b'{REDACTED}'"


@pytest.mark.parametrize(
    "text",
    [
        "The access token has expired.",
        "duplicate key value violates unique constraint core_job_idempotency_key",
        "idempotency_key=order-7-refund-1",
        '{"token_type":"bearer","expires_in":15552000}',
        "LATEST-release of TEST-7, on TG-4",
        "payment v1=paid of order 7, v2=abcdef0123",
        'code_challenge="abc" state=queued tokens_revoked=3',
        "https://bank.test/pay?mail=ana",
        "job_failed job=payments.sellers.jobs.refresh_token attempt=2",
        '{"password": ["This is too short."]}',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("text", ["a" * 200_000, "a-" * 100_000, "token " * 30_000], ids=["word", "hyphens", "names"])
def test_a_long_text_is_no_trap(text: str) -> None:
    assert redact_text(text) == text
