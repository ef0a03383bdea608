"""The template: the verified script of one migration head, built once and kept in public for all processes and machines."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction

from tenants.errors import TemplateDiffers
from tenants.locks import TEMPLATE_LOCK, wait_for_lock
from tenants.models import SchemaTemplate
from tenants.provisioning.catalogue import describe_schema, differences
from tenants.provisioning.heads import Key, current_head
from tenants.provisioning.recording import migrate_scope_to_leaves
from tenants.provisioning.schema import create_schema, run_script, scratch_ref
from tenants.provisioning.script import script_of
from tenants.scope import unchecked_scope

_kept: dict[str, "Template"] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    head: str
    statements: tuple[str, ...]  # each sent by itself: Citus refuses several in one string
    migrations: tuple[Key, ...]  # for django_migrations, in the order in which they were applied


def current_template() -> Template:
    """The template of the code's head: from memory, from the database, or built now. Outside any scope."""
    head = current_head()
    found = _kept.get(head) or stored_template(head)
    if found is None:
        with transaction.atomic():
            wait_for_lock(TEMPLATE_LOCK)  # Twenty who open the first cafeterias at once build it once.
            found = stored_template(head) or store_template(build_template())
    _kept[head] = found
    return found


def stored_template(head: str) -> Template | None:
    row = SchemaTemplate.objects.filter(pk=head).first()
    if row is None:
        return None
    return Template(head=head, statements=tuple(row.statements), migrations=tuple((app, name) for app, name in row.migrations))


def store_template(template: Template) -> Template:
    values = {"statements": list(template.statements), "migrations": [list(key) for key in template.migrations]}
    SchemaTemplate.objects.update_or_create(head=template.head, defaults=values)
    return template


def build_template() -> Template:
    """Migrate an empty schema, write its script, and prove that the script makes the same. Leaves nothing in the database.

    Raises TemplateDiffers, UnsuitableMigration.
    """
    with discarded_transaction():
        migrated = scratch_ref(f"t_scratch_{secrets.token_hex(6)}")
        create_schema(migrated.schema_name)
        with unchecked_scope(migrated):
            applied = migrate_scope_to_leaves()
            template = Template(head=current_head(), statements=tuple(script_of(migrated.schema_name)), migrations=tuple(applied))
            expected = describe_schema(migrated.schema_name)
        check_made_alike(template, expected)
    return template


def verify_template(template: Template) -> None:
    """TemplateDiffers unless the template makes what the migrations on disk make."""
    with discarded_transaction():
        migrated = scratch_ref(f"t_scratch_{secrets.token_hex(6)}")
        create_schema(migrated.schema_name)
        with unchecked_scope(migrated):
            migrate_scope_to_leaves()
            expected = describe_schema(migrated.schema_name)
        check_made_alike(template, expected)


def check_made_alike(template: Template, expected: dict[str, str]) -> None:
    made = scratch_ref(f"t_scratch_{secrets.token_hex(6)}")
    create_schema(made.schema_name)
    with unchecked_scope(made):
        run_script(template.statements)
        found = describe_schema(made.schema_name)
    if problems := differences(expected, found):
        raise TemplateDiffers(problems="; ".join(problems[:10]))


@contextmanager
def discarded_transaction() -> Iterator[None]:
    with transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)


def forget_templates() -> None:
    """For tests that change the migrations on disk."""
    _kept.clear()
    current_head.cache_clear()
