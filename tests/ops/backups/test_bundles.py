import hashlib
from pathlib import Path

import pytest

from ops.backups.bundles.keys import bundle_keys
from ops.backups.bundles.reading import load_bundle, read_manifest
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tenants.snapshots import Source, TableShape, snapshot
from tests.ops.backups.bundles import members_of, written_bundle
from tests.world import World


@pytest.fixture
def bundle(committed_world: World, tmp_path: Path) -> Path:
    client = committed_world.a.client("customer")
    for _ in range(3):
        assert client.post("/api/v1/orders", committed_world.a.order(), content_type="application/json").status_code == 201
    path = tmp_path / "a.bundle"
    written = written_bundle(committed_world.a.ref, path)
    assert (written.size, written.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_a_bundle_says_what_is_in_it(committed_world: World, bundle: Path) -> None:
    manifest = read_manifest(bundle)
    rows = {table.name: table.rows for table in manifest.tables}
    assert (rows["shop_order"], rows["shop_orderitem"], rows["shop_product"]) == (3, 3, 3)
    assert manifest.sums == {"orders": "3", "total": "3000.00", "paid": "0.00"}
    assert manifest.uuid == committed_world.a.ref.uuid
    assert manifest.key_id == bundle_keys()[0].key_id
    assert manifest.sequences["shop_product.id"] >= 1000


def test_what_is_loaded_is_what_was_written(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    loaded: dict[str, bytes] = {}
    statements: list[str] = []

    def load(shape: TableShape, source: Source) -> None:
        text = b""
        while piece := source.read(1000):
            text += piece
        loaded[shape.name] = text

    load_bundle(bundle, manifest, make_schema=statements.extend, load_table=load)
    assert {table.name: table.sha256 for table in manifest.tables} == {
        name: hashlib.sha256(text).hexdigest() for name, text in loaded.items()
    }
    assert any(statement.startswith("CREATE TABLE shop_order ") for statement in statements)


def test_nothing_of_it_can_be_read_without_the_key(committed_world: World, bundle: Path) -> None:
    content = bundle.read_bytes()
    assert committed_world.a.canary.encode() not in content
    assert content.startswith(b"age-encryption.org/v1")


def test_the_same_rows_are_the_same_digests(committed_world: World, bundle: Path, tmp_path: Path) -> None:
    again = written_bundle(committed_world.a.ref, tmp_path / "again.bundle").manifest
    assert again.tables == read_manifest(bundle).tables


def test_a_snapshot_is_of_one_moment(committed_world: World, tmp_path: Path) -> None:
    with snapshot(committed_world.a.ref) as found:
        before = found.rows("SELECT count(*) FROM shop_order")[0][0]
        assert (
            committed_world.a.client("customer")
            .post("/api/v1/orders", committed_world.a.order(), content_type="application/json")
            .status_code
            == 201
        )
        assert found.rows("SELECT count(*) FROM shop_order")[0][0] == before
    with tenant_scope(committed_world.a.ref):
        assert Order.objects.count() == before + 1


def test_members_are_small_and_named(bundle: Path) -> None:
    names = [name for name, _ in members_of(bundle)]
    assert names[:2] == ["README.txt", "schema.sql"]
    assert names[-2:] == ["manifest.json", "manifest.hmac"]
    assert "tables/shop_order/000001.copy.zst" in names
