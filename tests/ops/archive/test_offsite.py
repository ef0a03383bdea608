"""The archive of which only the S3 is left."""

import secrets
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from ops.archive.cluster import recover_cluster
from ops.archive.data import FORMAT, PARTIAL, SEGMENT_SIZE, Card, State, lsn_as_text, lsn_from_text, segment_of
from ops.archive.errors import ArchiveDamaged
from ops.archive.folder import Folder
from ops.archive.offsite import LOG_END, Offsite, Shipping, forget_offsite, opened, sealed
from ops.archive.recovery import _fetch_log, material
from ops.archive.rescue import copy_as_of
from ops.archive.source import Source
from ops.backups.bundles.keys import bundle_keys, new_key
from ops.backups.offsite import gateway
from ops.backups.offsite.errors import OffsiteUnavailable
from ops.backups.offsite.files import FileFacts
from ops.postgres.programs import run_program
from ops.postgres.servers import connect, start, stop
from tests.ops.archive.deaths import running_below
from tests.ops.archive.test_moments import write
from tests.ops.backups.offsite.conftest import _running_storage, storage  # noqa: F401 - fixtures
from tests.ops.backups.offsite.storage import Storage
from tests.world import Place

NUMBERS = {"format": FORMAT, "start_lsn": "0/1", "end_lsn": "0/2", "began_at": "2026-11-24T12:00:00Z", "taken_at": "2026-11-24T12:00:00Z"}
NUMBERS |= {"size": 1, "release": "", "server_version": 180004, "manifest_sha256": ""}


@pytest.fixture
def offsite(storage: Storage, place: Place, archive: Folder, source: Source, settings: Settings, tmp_path: Path) -> Offsite:  # noqa: F811
    """With a base and the log, up to the newest write."""
    settings.BACKUP_FOLDER = tmp_path / "backups"
    write(place, 7)
    position, _now = source.mark()
    while (source.positions().received or 0) < position:
        time.sleep(0.1)
    found = Offsite(source.system_identifier)
    shipping = Shipping(archive, found)
    assert shipping.ship_bases() == 1
    assert shipping.ship_log() > 0
    assert shipping.ship_log() <= 1  # Other tests write to this server too: at most the segment that grows comes again.
    return found


def test_a_cluster_out_of_the_storage_alone(offsite: Offsite, place: Place, tmp_path: Path, source: Source) -> None:
    elsewhere = Folder(tmp_path / "elsewhere")
    _break_off(offsite, elsewhere, tmp_path, source)
    card, last = recover_cluster(material(elsewhere, offsite), tmp_path / "again", user=source.user, database=source.database)
    assert last is not None
    assert card.moment <= last <= datetime.now(UTC)
    assert [path.name for path in elsewhere.scratch.iterdir()] == []
    log = tmp_path / "again.log"
    server = start(tmp_path / "again", settings={"listen_addresses": ""}, log=log, user=source.user, database=source.database)
    try:
        own = connect(server, source.database)
        with own.cursor() as cursor:
            cursor.execute(f'SELECT price FROM "{place.ref.schema_name}".shop_product WHERE id = %s', [place.coffee])
            assert int(cursor.fetchone()[0]) == 1007  # type: ignore[index]
        own.close()
    finally:
        stop(server)
    assert "in production" not in run_program("pg_controldata", str(tmp_path / "again")).stdout


def _break_off(offsite: Offsite, elsewhere: Folder, tmp_path: Path, source: Source) -> None:
    """No server and no files are left of it."""

    def step(fraction: float, _what: str) -> None:
        if fraction >= 0.7:  # PostgreSQL has begun to replay.
            assert running_below(tmp_path / ".again.recovering") != []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover_cluster(material(elsewhere, offsite), tmp_path / "again", user=source.user, database=source.database, step=step)
    assert running_below(tmp_path / ".again.recovering") == []
    assert [path.name for path in tmp_path.glob("*again*")] == []


def _refuse_what_was_altered(offsite: Offsite, there: Storage, tmp_path: Path) -> None:
    label = offsite.cards()[0].label
    key = f"{offsite.root}bases/{label}.tar.zst.age"
    there.client.put_object(Bucket="backups", Key=key, Body=b"age-encryption.org/v1\nnothing")
    (tmp_path / "base").mkdir()
    with pytest.raises(ArchiveDamaged, match=label):
        offsite.fetch_base(label, tmp_path / "base")
    name = min(offsite.log_names())
    there.client.put_object(Bucket="backups", Key=f"{offsite.root}log/{name}{LOG_END}", Body=sealed("another", b"x" * 100))
    with pytest.raises(ArchiveDamaged, match=f"{name} is signed by nobody"):
        offsite.fetch_log(name, tmp_path / name)
    shutil.rmtree(tmp_path / "base")


def test_what_is_only_there_is_kept_as_what_is_here_and_refused_by_name_when_it_was_altered(
    offsite: Offsite,
    storage: Storage,  # noqa: F811
    settings: Settings,
    tmp_path: Path,
) -> None:
    """The archive of this machine is new, or lost: its one base is of just now, and all of the window is off-site."""
    _refuse_what_was_altered(offsite, storage, tmp_path)
    [card] = offsite.cards()
    needed = {name for name in offsite.log_names() if (found := segment_of(name)) and found.number >= card.first_segment}
    now, keys, days = card.moment + timedelta(days=1), settings.BACKUP_KEYS, settings.ARCHIVE_DAYS
    later = lsn_as_text(lsn_from_text(card.start_lsn) + 9 * SEGMENT_SIZE)
    young = replace(card, label="20991231T235959000-full", taken_at=now.isoformat(), start_lsn=later)
    forget_offsite(offsite, [young], now=now)
    assert (offsite.cards(), set(offsite.log_names())) == ([card], needed)

    settings.BACKUP_KEYS = [new_key()]  # Whoever has set the wrong keys has lost nothing.
    stranger = Offsite(card.system_identifier)
    assert forget_offsite(stranger, [young], now=now + timedelta(days=days + 1)) == 0
    assert stranger.bases() == ([], {card.label})
    settings.BACKUP_KEYS = keys
    assert Offsite(card.system_identifier).cards() == [card]

    settings.BACKUP_KEYS = [new_key()]  # What nobody could read for so long goes in the end.
    assert forget_offsite(stranger, [young], now=now + timedelta(days=days + 31)) == 1 + len(needed)
    assert (stranger.bases(), offsite.log_names()) == (([], set()), {})


class Nowhere(Offsite):
    """Remembers what is sent; `full` becomes whole when the first file is."""

    def __init__(self, full: Path | None = None) -> None:
        self.root, self.bucket = "", gateway.Bucket(name="", endpoint="", region="", access_key="", secret_key="")
        self.sent, self.full = list[str](), full
        self.key_id, self.there = "", dict[str, int]()

    def cards(self) -> list[Card]:
        return []

    def state(self) -> State:
        return State(at="2026-11-24T12:00:00Z", key_id=self.key_id)

    def log_names(self) -> dict[str, int]:
        return self.there

    def put_log(self, name: str, content: bytes, folder: Folder) -> None:
        self.sent.append(name)
        if self.full is not None and self.full.exists():
            self.full.rename(self.full.with_suffix(""))


def test_a_segment_that_becomes_whole_while_others_are_sent_is_sent(tmp_path: Path) -> None:
    one, two = "000000010000000000000001", "000000010000000000000002"
    folder = Folder(tmp_path / "archive")
    folder.prepare()
    (folder.root / "wal" / one).touch()
    (full := folder.root / "wal" / f"{two}{PARTIAL}").touch()
    assert Shipping(folder, nowhere := Nowhere(full)).ship_log() == 2
    assert nowhere.sent == [one, two]


@pytest.mark.parametrize("known", [True, False])
def test_what_a_lost_key_has_encrypted_goes_there_again(tmp_path: Path, known: bool) -> None:
    name, folder, nowhere = "000000010000000000000001", Folder(tmp_path / "archive"), Nowhere()
    folder.prepare()
    (folder.root / "wal" / name).touch()
    nowhere.there, nowhere.key_id = {name: 1}, bundle_keys()[0].key_id if known else "lost"
    assert (Shipping(folder, nowhere).ship_log(), nowhere.sent) == ((0, []) if known else (1, [name]))


def test_what_stands_before_the_base_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be encrypted with a key that is lost."""
    card = Card(label="a", kind="full", parent="", system_identifier="1", timeline=3, **NUMBERS | {"start_lsn": "0/6000028"})  # type: ignore[arg-type]
    whole = [f"00000003000000000000000{number}" for number in (5, 6, 7)]
    nowhere = Nowhere()
    nowhere.there = dict.fromkeys(["00000002.history", "00000003.history", "00000004.history", *whole, f"{whole[2]}{PARTIAL}"], 1)
    monkeypatch.setattr(nowhere, "fetch_log", lambda name, _target: nowhere.sent.append(name))
    _fetch_log(nowhere, card, tmp_path, {whole[1]}, 2**62, lambda *_: None)
    assert nowhere.sent == ["00000003.history", whole[2], "00000004.history"]


def test_of_several_archives_a_person_names_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest may be that of the new machine, which is empty."""
    monkeypatch.setattr("ops.management.commands.recover_cluster.clusters", lambda: ["71", "72"])
    monkeypatch.setattr("ops.management.commands.recover_cluster.Offsite", lambda _name: Nowhere())
    with pytest.raises(CommandError, match=r"Say which one .*\n--system 71: no readable base; log until not known\n--system 72: "):
        call_command("recover_cluster", "--from-s3", "--into", str(tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_the_storage_as_it_was_before_an_intruder(storage: Storage, settings: Settings) -> None:  # noqa: F811
    client, name = storage.client, f"kept-{secrets.token_hex(4)}"
    for bucket in (name, f"{name}-anew"):
        client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    settings.S3_BUCKET = name
    for key, text in (("base", b"whole"), ("erased by us", b"old"), ("card", b"signed")):
        client.put_object(Bucket=name, Key=f"comanda/one/{key}", Body=text, Metadata={"sha256": key})
    time.sleep(1.1)  # The storage tells whole seconds; of one second what was there counts as there.
    client.delete_object(Bucket=name, Key="comanda/one/erased by us")
    time.sleep(1.1)
    at = datetime.now(UTC)
    time.sleep(1.1)
    client.put_object(Bucket=name, Key="comanda/one/card", Body=b"spoilt")
    client.put_object(Bucket=name, Key="comanda/one/ransom", Body=b"pay")
    client.delete_object(Bucket=name, Key="comanda/one/base")
    out = StringIO()
    call_command("offsite_as_of", "--at", at.isoformat(), "--to", f"{name}-anew", stdout=out)
    assert out.getvalue().startswith("2 objects of ")
    found = {key: client.get_object(Bucket=f"{name}-anew", Key=f"comanda/one/{key}") for key in ("base", "card")}
    assert {key: (text["Body"].read(), text["Metadata"]["sha256"]) for key, text in found.items()} == {
        "base": (b"whole", "base"),
        "card": (b"signed", "card"),
    }
    assert copy_as_of(storage.bucket(name), storage.bucket(f"{name}-anew"), at) == 0
    settings.S3_BUCKET = f"{name}-anew"
    with pytest.raises(CommandError, match=f"nothing stood in the bucket {name}-anew .* does it keep versions"):
        call_command("offsite_as_of", "--at", (at - timedelta(days=1)).isoformat(), "--to", name)


def test_a_base_that_was_packed_is_not_packed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, sent = Folder(tmp_path / "archive"), list[str]()
    folder.prepare()
    card = Card(label="20261124T120000000-full", kind="full", parent="", system_identifier="1", timeline=1, **NUMBERS)  # type: ignore[arg-type]
    (folder.bases / card.label).mkdir()
    (folder.bases / card.label / "card.json").write_bytes(card.as_json())

    def put_file(_bucket: object, _key: str, _path: Path, facts: FileFacts, **_: Any) -> None:
        sent.append(facts.sha256)
        if len(sent) == 1:
            raise OffsiteUnavailable("the connection broke.")

    monkeypatch.setattr(gateway, "put_file", put_file)
    monkeypatch.setattr(gateway, "put_text", lambda *_: None)
    with pytest.raises(OffsiteUnavailable):
        Nowhere().put_base(folder, card)
    folder.sweep_unfinished()  # As the next keeper does.
    Nowhere().put_base(folder, card)
    assert sent[0] == sent[1]  # By age each packing is another one.
    assert list((folder.root / "outbox").iterdir()) == []
    folder.packed("gone").touch()
    folder.sweep_packed(keep={card.label})
    assert list((folder.root / "outbox").iterdir()) == []


def test_a_storage_that_stumbles_does_not_end_a_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, stumbles = "000000010000000000000001", [1, 2, 3]

    def get_text(*_: Any, **__: Any) -> bytes:
        if stumbles:
            stumbles.pop()
            raise OffsiteUnavailable("the connection broke.")
        return sealed(name, b"whole")

    monkeypatch.setattr(gateway, "get_text", get_text)
    monkeypatch.setattr("ops.archive.offsite.FETCH_PAUSES", (0.0, 0.0, 0.0))
    Nowhere().fetch_log(name, tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"whole"
    stumbles += [1, 2, 3, 4]
    with pytest.raises(OffsiteUnavailable):
        Nowhere().fetch_log(name, tmp_path / name)


def test_the_log_under_a_key_of_others_is_refused(settings: Settings) -> None:
    name, content = "000000010000000000000001", b"x" * 1_000_000
    text = sealed(name, content)
    assert opened(name, text) == content
    assert len(text) < 1_000
    settings.BACKUP_KEYS = [new_key()]
    with pytest.raises(ArchiveDamaged, match=f"{name} is cut off or altered"):
        opened(name, text)
