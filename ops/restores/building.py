"""The side schema: a bundle's rows beside the live ones, proven to be what the bundle's manifest says."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.backups.bundles.data import Manifest
from ops.backups.bundles.reading import load_bundle
from ops.backups.errors import BundleRefused
from tenants.provisioning.heads import current_head, disk_loader
from tenants.provisioning.template import stored_template
from tenants.refs import TenantRef
from tenants.sides import Side, migrate_schema, new_side

type Step = Callable[[str], None]


def check_suits(manifest: Manifest, ref: TenantRef) -> None:
    """Raises BundleRefused for another cafeteria's bundle, and for one of newer code than this."""
    if manifest.uuid != ref.uuid:
        raise BundleRefused(f"it is of another cafeteria ({manifest.slug}).")
    check_is_readable(manifest)
    if manifest.currency != ref.currency:
        raise BundleRefused(f"the cafeteria sold in {manifest.currency} then and sells in {ref.currency} now.")


def check_is_readable(manifest: Manifest) -> None:
    """Raises BundleRefused for a bundle of newer code than this."""
    newer = _unknown(manifest.migrations)
    if newer:
        raise BundleRefused(f"newer code wrote it ({newer[0]} is not known here). Restore it with that code.")


def brought_to_code(schema_name: str, head: str) -> str:
    """The head of a schema that was made at `head`, once it can be live: it is migrated, unless newer code than this has made it."""
    template = stored_template(head)
    if head == current_head() or (template is not None and _unknown(template.migrations)):
        return head
    return migrate_schema(schema_name)


def _unknown(migrations: Iterable[tuple[str, str]]) -> list[str]:
    known = disk_loader().disk_migrations.keys()
    return [f"{app}.{name}" for app, name in migrations if (app, name) not in known]


@contextmanager
def built_side(schema_name: str, path: Path, manifest: Manifest, *, step: Step) -> Iterator[tuple[Side, str]]:
    """(the side with the bundle's rows, its head), at the code's head and not committed yet. Of the pictures it knows nothing.

    Raises BundleRefused when the rows are not, to the byte, those of the manifest.
    """
    with new_side(schema_name) as side:
        load_bundle(
            path,
            manifest,
            make_schema=side.run,
            load_table=side.load,
            step=step,
        )
        side.set_sequences(manifest.sequences)
        side.check()
        compare_side(side, manifest)
        step("migrations")
        head = side.migrate()
        yield side, head


def compare_side(side: Side, manifest: Manifest) -> None:
    """Read every row back. Raises BundleRefused for the first table that differs."""
    contents = side.contents
    expected = {table.name: table for table in manifest.tables}
    shapes = {shape.name: shape for shape in contents.tables()}
    if shapes.keys() != expected.keys():
        raise BundleRefused("its schema makes other tables than it has rows for.")
    for name, facts in expected.items():
        digest = Digest()
        contents.copy_out(facts.shape, digest)
        if (digest.sha256, digest.rows) != (facts.sha256, facts.rows):
            raise BundleRefused(f"the restored rows of {name} are not those of its manifest.")
    sequences = contents.sequences()
    for name, newest in manifest.sequences.items():
        if sequences.get(name, newest) != newest:
            raise BundleRefused(f"the sequence of {name} does not go on where it stood.")


class Digest:
    """What COPY writes to, to be compared only."""

    def __init__(self) -> None:
        self._digest, self.rows = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.rows += data.count(b"\n")
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
