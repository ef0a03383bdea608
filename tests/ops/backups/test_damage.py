"""What was done to a bundle, and that it is refused with words before anything is handed out of it."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pyrage
import pytest
from backports.zstd import compress
from pytest_django.fixtures import Settings

from ops.backups.bundles.keys import BundleKey, bundle_keys, new_key
from ops.backups.bundles.reading import load_bundle, read_manifest
from ops.backups.errors import BackupsNotSetUp, BundleRefused
from tests.ops.backups.bundles import Members, members_of, put_together, written_bundle
from tests.world import World

ORDERS = "tables/shop_product/000001.copy.zst"


@pytest.fixture(scope="module")
def whole(module_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.bundle"
    written_bundle(module_world.a.ref, path)
    return path


def replaced(members: Members, name: str, content: bytes) -> Members:
    assert name in dict(members)
    return [(found, content if found == name else was) for found, was in members]


def without(members: Members, name: str) -> Members:
    assert name in dict(members)
    return [(found, content) for found, content in members if found != name]


def before_the_manifest(members: Members, *more: tuple[str, bytes]) -> Members:
    return [*members[:-2], *more, *members[-2:]]


def edited(members: Members, **changes: object) -> bytes:
    return orjson.dumps(orjson.loads(dict(members)["manifest.json"]) | changes, option=orjson.OPT_INDENT_2)


def signed(members: Members, **changes: object) -> Members:
    """As whoever holds the key could make it."""
    text = edited(members, **changes)
    return replaced(replaced(members, "manifest.json", text), "manifest.hmac", bundle_keys()[0].sign(text).encode())


def swapped(members: Members) -> Members:
    return [*members[:2], *reversed(members[2:-2]), *members[-2:]][::-1]


DAMAGE: dict[str, Callable[[Members], Members]] = {
    "hand-edited manifest": lambda members: replaced(members, "manifest.json", edited(members, slug="other")),
    "signature gone": lambda members: without(members, "manifest.hmac"),
    "manifest gone": lambda members: without(members, "manifest.json"),
    "signature of something else": lambda members: replaced(members, "manifest.hmac", b"0" * 64),
    "signature that is no text": lambda members: replaced(members, "manifest.hmac", b"\xff\xfe" * 32),
    "manifest that is no json": lambda members: replaced(members, "manifest.json", b"{"),
    "part gone": lambda members: without(members, ORDERS),
    "part twice": lambda members: before_the_manifest(members, (ORDERS, dict(members)[ORDERS])),
    "rows altered": lambda members: replaced(members, ORDERS, compress(b"1\tfree coffee\n")),
    "part cut off": lambda members: replaced(members, ORDERS, dict(members)[ORDERS][:-4]),
    "part with garbage behind it": lambda members: replaced(members, ORDERS, dict(members)[ORDERS] + b"more"),
    "part that is not compressed": lambda members: replaced(members, ORDERS, b"1\tfree coffee\n"),
    "part that is empty": lambda members: replaced(members, ORDERS, b""),
    "another table": lambda members: before_the_manifest(members, ("tables/shop_extra/000001.copy.zst", compress(b"1\n"))),
    "a picture too many": lambda members: before_the_manifest(members, (f"media/cafeterias/{'0' * 36}/a.webp", b"x")),
    "schema altered": lambda members: replaced(members, "schema.sql", b"DROP SCHEMA public CASCADE\n;\n"),
    "zip bomb": lambda members: replaced(members, ORDERS, compress(b"0" * 50_000_000)),
    "path upwards": lambda members: before_the_manifest(members, ("media/cafeterias/../../../etc/cron.d/x", b"x")),
    "absolute path": lambda members: [("/etc/cron.d/x", b"x"), *members],
    "unknown member": lambda members: [("notes.txt", b"x"), *members],
    "disorder": swapped,
    "format of later code": lambda members: signed(members, format=2),
    "manifest that lacks something": lambda members: signed(members, tables=[{"name": "shop_order"}]),
    "picture that is not there": lambda members: signed(
        members, media_included=True, media=[{"key": f"cafeterias/{'0' * 36}/a.webp", "bytes": 1, "sha256": "00"}]
    ),
    "nothing in it": lambda members: [],
}


def assert_refused(path: Path) -> str:
    with pytest.raises(BundleRefused) as refusal:
        read_manifest(path)
    assert refusal.value.reason.strip()
    return refusal.value.reason


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(whole: Path, tmp_path: Path, settings: Settings, damage: str) -> None:
    settings.RESTORE_MAX_BYTES = 40_000_000
    put_together(DAMAGE[damage](members_of(whole)), tmp_path / "damaged.bundle")
    assert not assert_refused(tmp_path / "damaged.bundle").startswith("it is cut off")  # It says more than that.


def test_put_together_without_damage_it_is_taken(whole: Path, tmp_path: Path) -> None:
    put_together(members_of(whole), tmp_path / "same.bundle")
    assert read_manifest(tmp_path / "same.bundle") == read_manifest(whole)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE], ids=["symlink", "link", "device", "folder"]
)
def test_only_files_are_taken(whole: Path, tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "schema.sql":
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    put_together([(name, content if name != "schema.sql" else b"") for name, content in members_of(whole)], tmp_path / "b", change=change)
    assert_refused(tmp_path / "b")


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_is_refused_wherever_it_is(whole: Path, tmp_path: Path, part: float) -> None:
    content = bytearray(whole.read_bytes())
    content[int(len(content) * part)] ^= 4
    (tmp_path / "flipped").write_bytes(content)
    assert_refused(tmp_path / "flipped")


@pytest.mark.parametrize("part", [0.0, 0.001, 0.01, 0.5, 0.99, 0.9999])
def test_a_cut_off_file_is_refused(whole: Path, tmp_path: Path, part: float) -> None:
    content = whole.read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * part)])
    assert_refused(tmp_path / "cut")


def test_something_behind_the_end_is_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(whole.read_bytes() + b"more")
    assert_refused(tmp_path / "longer")


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in assert_refused(tmp_path / "nowhere")


def test_an_encrypted_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(pyrage.encrypt(b"Dear Sir" * 1000, [bundle_keys()[0].identity.to_public()]))
    assert_refused(tmp_path / "letter")


def test_another_key_cannot_read_it(whole: Path, settings: Settings) -> None:
    settings.BACKUP_KEYS = [new_key()]
    assert "another key" in assert_refused(whole)


def test_whoever_has_only_the_public_key_cannot_sign(whole: Path, tmp_path: Path) -> None:
    stranger = BundleKey(new_key())
    members = members_of(whole)
    text = edited(members, key_id=stranger.key_id)
    forged = replaced(replaced(members, "manifest.json", text), "manifest.hmac", stranger.sign(text).encode())
    put_together(forged, tmp_path / "forged")
    assert "BACKUP_KEYS" in assert_refused(tmp_path / "forged")


def test_after_a_rotation_old_bundles_stay_readable(whole: Path, settings: Settings) -> None:
    settings.BACKUP_KEYS = [new_key(), *settings.BACKUP_KEYS]
    assert read_manifest(whole).key_id == bundle_keys()[1].key_id


def test_without_keys_nothing_is_read(whole: Path, settings: Settings) -> None:
    settings.BACKUP_KEYS = []
    with pytest.raises(BackupsNotSetUp):
        read_manifest(whole)


def test_a_file_that_is_exchanged_between_looking_and_loading(whole: Path, tmp_path: Path) -> None:
    manifest = read_manifest(whole)
    put_together(replaced(members_of(whole), ORDERS, b"cut"), tmp_path / "exchanged")
    with pytest.raises(BundleRefused):
        load_bundle(tmp_path / "exchanged", manifest, make_schema=lambda _: None, load_table=lambda _, source: read_all(source))


def read_all(source: object) -> None:
    while source.read(8192):  # type: ignore[attr-defined]
        pass
