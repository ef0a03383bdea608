"""Nor can the ledger be emptied at once: TRUNCATE fires no trigger of rows."""

from django.db import migrations

PROTECT = """
CREATE TRIGGER payments_ledger_is_not_emptied BEFORE TRUNCATE ON payments_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION payments_ledger_is_final();
"""
UNPROTECT = "DROP TRIGGER payments_ledger_is_not_emptied ON payments_ledgerentry;"


class Migration(migrations.Migration):
    dependencies = [("payments", "0004_days_and_disputes")]

    operations = [migrations.RunSQL(PROTECT, UNPROTECT)]
