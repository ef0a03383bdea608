"""The ledger is written once: the database refuses to change or erase an entry, whoever asks."""

from django.db import migrations

PROTECT = """
CREATE FUNCTION payments_ledger_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'A ledger entry is never changed. Write another one that corrects it.' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER payments_ledger_is_final BEFORE UPDATE OR DELETE ON payments_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION payments_ledger_is_final();
"""
UNPROTECT = "DROP TRIGGER payments_ledger_is_final ON payments_ledgerentry; DROP FUNCTION payments_ledger_is_final();"


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_initial")]

    operations = [migrations.RunSQL(PROTECT, UNPROTECT)]
