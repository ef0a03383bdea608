"""What PostgreSQL's catalogue says of one schema, in rows that are equal for equal schemas whatever their names."""

import re

from django.db import connection

# Each query takes the schema's name and gives (object, definition). They run with that schema first in the path, so that the functions
# that print definitions leave its name out.
RELATIONS = """
SELECT 'relation ' || c.relname, concat_ws(' ', c.relkind, c.relpersistence, c.relreplident, c.reloptions::text, c.relrowsecurity)
FROM pg_class c WHERE c.relnamespace = %s::regnamespace"""
COLUMNS = """
SELECT 'column ' || c.relname || '.' || a.attname, concat_ws(' ',
    row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
    a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid, true), a.attcollation, a.attstorage::text, a.attcompression::text,
    a.attstattarget, a.attoptions::text)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'c')"""
# NOT NULL is told by the columns; since PostgreSQL 18 it is a constraint as well.
CONSTRAINTS = """
SELECT 'constraint ' || conrelid::regclass || '.' || conname, concat_ws(' ', contype::text, pg_get_constraintdef(oid, true), convalidated,
    conislocal, (SELECT nspname FROM pg_class f JOIN pg_namespace n ON n.oid = f.relnamespace
        WHERE f.oid = confrelid AND f.relnamespace <> connamespace))
FROM pg_constraint WHERE connamespace = %s::regnamespace AND contype <> 'n'"""
INDEXES = """
SELECT 'index ' || i.indexrelid::regclass, concat_ws(' ', pg_get_indexdef(i.indexrelid, 0, true), i.indisvalid, i.indisprimary,
    i.indisclustered, i.indisreplident)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = %s::regnamespace"""
SEQUENCES = """
SELECT 'sequence ' || c.relname, concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache,
    s.seqcycle, (SELECT d.refobjid::regclass::text || '.' || d.refobjsubid::text || d.deptype::text
        FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relnamespace = %s::regnamespace"""
FUNCTIONS = "SELECT 'function ' || oid::regprocedure, md5(prosrc) FROM pg_proc WHERE pronamespace = %s::regnamespace"
TYPES = """
SELECT 'type ' || typname, typtype::text FROM pg_type t WHERE typnamespace = %s::regnamespace AND typtype <> 'b'
    AND NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')"""
TRIGGERS = """
SELECT 'trigger ' || t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid, true)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = %s::regnamespace AND NOT t.tgisinternal"""
RULES = """
SELECT 'rule ' || r.ev_class::regclass || '.' || r.rulename, pg_get_ruledef(r.oid, true)
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = %s::regnamespace"""
STATISTICS = "SELECT 'statistics ' || stxname, stxkind::text FROM pg_statistic_ext WHERE stxnamespace = %s::regnamespace"
COMMENTS = """
SELECT 'comment ' || d.objoid::regclass || '.' || d.objsubid, d.description
FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = %s::regnamespace"""

# PostgreSQL prints `status IN ('a', 'b')` on a varchar with the cast around the array, reads that back and then prints it around each
# element. Both fold to the same constant.
TEXT_CASTS = re.compile(r"::(?:character varying|text)(?:\[\])?")

QUERIES = (RELATIONS, COLUMNS, CONSTRAINTS, INDEXES, SEQUENCES, FUNCTIONS, TYPES, TRIGGERS, RULES, STATISTICS, COMMENTS)


def describe_schema(schema_name: str) -> dict[str, str]:
    """Every object of the schema and its definition. Only inside that schema's scope."""
    described: dict[str, str] = {}
    with connection.cursor() as cursor:
        for query in QUERIES:
            cursor.execute(query, [schema_name])
            described.update((name, TEXT_CASTS.sub("", definition or "")) for name, definition in cursor.fetchall())
    return described


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """A sentence for each object that is not the same."""
    missing = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    surplus = [f"{name} should not be there" for name in sorted(found.keys() - expected.keys())]
    both = sorted(expected.keys() & found.keys())
    changed = [f"{name} is [{found[name]}], not [{expected[name]}]" for name in both if expected[name] != found[name]]
    return missing + surplus + changed
