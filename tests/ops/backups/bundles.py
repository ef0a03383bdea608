"""Bundles for tests: written from a committed cafeteria, and taken apart and put together again to be damaged."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyrage

from ops.backups.bundles.keys import BundleKey, bundle_keys
from ops.backups.bundles.writing import Schema, Written, write_bundle
from tenants.provisioning.template import current_template
from tenants.refs import TenantRef
from tenants.snapshots import snapshot

type Members = list[tuple[str, bytes]]


def written_bundle(ref: TenantRef, path: Path) -> Written:
    template = current_template()
    schema = Schema(head=template.head, statements=template.statements, migrations=template.migrations)
    with snapshot(ref) as found:
        return write_bundle(path, found, ref=ref, schema=schema, media=(), open_media=None, key=bundle_keys()[0], step=lambda _: None)


def members_of(path: Path) -> Members:
    plain = pyrage.decrypt(path.read_bytes(), [key.identity for key in bundle_keys()])
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def put_together(
    members: Members, path: Path, *, key: BundleKey | None = None, change: Callable[[tarfile.TarInfo], None] | None = None
) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change is not None:
                change(info)
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(pyrage.encrypt(plain.getvalue(), [(key or bundle_keys()[0]).identity.to_public()]))
