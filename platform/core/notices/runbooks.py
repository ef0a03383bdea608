"""What to do about each kind of alert and act: a file of docs/runbooks. A test finds each kind that the product raises here."""

from django.conf import settings

RUNBOOKS = {
    "archive.": "archive-of-wal",
    "backups.": "backups-and-proofs",
    "backups.offsite": "offsite-copies",
    "backups.local_damaged": "offsite-copies",
    "billing.": "billing",
    "cafeteria.": "billing",
    "certificates.": "certificate",
    "notices.": "notices",
    "payments.": "payments",
    "payments.books_differ": "money-differs",
    "recovery.": "database-down",
    "restore.": "one-cafeteria-damaged",
    "restores.": "one-cafeteria-damaged",
    "test": "notices",
    "vault.": "vault-keys",
}


def runbook_address(path: str) -> str:
    """Where it can be read: below RUNBOOKS_URL where that is set, else its path in the repository."""
    return f"{settings.RUNBOOKS_URL}/{path.rpartition('/')[2]}" if path and settings.RUNBOOKS_URL else path


def runbook_of(kind: str) -> str:
    """Its path in the repository; the longest prefix of the kind counts. Empty for a kind that has none."""
    found = max((prefix for prefix in RUNBOOKS if kind.startswith(prefix)), key=len, default="")
    return f"docs/runbooks/{RUNBOOKS[found]}.md" if found else ""
