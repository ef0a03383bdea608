import hashlib


def digest(secret: str) -> str:
    """High-entropy secrets need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
