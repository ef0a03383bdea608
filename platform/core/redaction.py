"""What a secret looks like, by its name or by its form: for logs, for the errors kept with jobs, and for what leaves the machine."""

import re

REDACTED = "[redacted]"
SECRET_NAME = re.compile(r"authorization|token|passw|secret|cookie|api[_-]?key|csrf|signature|credential|verifier", re.IGNORECASE)

_NAMED = r"\b(\w*(?:token|passw(?:or)?d|passphrase|secret|signature|verifier|(?<!idempotency[_-])key)"
_IS = r"""(?:\\?["']?\s*(?:[=:]|%3[AD])\s*\\?["']?|["']\s*,\s*b?["'])"""  # in forms, addresses, JSON (also within a string) and pairs
_VALUE = r"""(?!\[\s*["'])(?:(?<=["'])[^"']+|[^\s,;&'"}]+)"""  # in quotes: up to the closing one
_SAID = (
    r"""\b((?:\w*token|password|secret)\s+(?:["']|(?=[^\s=]*\d)))[^\s,;&'"]+"""  # the token 'abc' and the token abc1, not the token expired
)

_PATTERNS = (
    # What is a secret by its form. TEST- and TG- are short: what follows must be as long as an identifier.
    (re.compile(r"APP_USR-[\w-]+|(?<![^\W_])TEST-(?:\d{6}[\w-]*|[\w-]{16,})|(?<![^\W_])TG-[\w-]{8,}"), REDACTED),  # Mercado Pago's
    (re.compile(r"gAAAA[\w-]{20,}={0,2}"), REDACTED),  # Fernet's, as in core.vault
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), REDACTED),  # a JWT
    (re.compile(r"(?i)\b(v1(?:=|%3D))[0-9a-f]{8,}"), rf"\1{REDACTED}"),  # in x-signature
    (re.compile(r"""(://)[^/\s"']+@"""), rf"\1{REDACTED}@"),  # user and password in an address
    (re.compile(r"(?i)\b(bearer\s+[\"']?)[^\s,;\"'\[\]]{6,}"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b(basic\s+)[\w.~+/=-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(rf"(?i){_NAMED}{_IS}){_VALUE}"), rf"\1{REDACTED}"),
    (re.compile(rf"(?i){_SAID}"), rf"\1{REDACTED}"),
)


def redact_text(text: str) -> str:
    """The text without the secrets in it. Twice gives the same. Rather too much goes than too little."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
