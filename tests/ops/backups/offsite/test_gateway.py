"""Files in a real S3: put whole or not at all, gone on with, noticed when they are not what they were."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from ops.backups.offsite import gateway
from ops.backups.offsite.errors import BadAddress, OffsiteDamaged, OffsiteNotFound, OffsiteUnavailable
from ops.backups.offsite.files import PART, FileFacts, Stretch, look_at
from ops.backups.offsite.gateway import Bucket
from tests.ops.backups.offsite.storage import ACCESS_KEY, SECRET_KEY, Storage
from tests.processes import REPOSITORY, wait_for
from tests.servers import free_port

MB = 1024 * 1024


def a_file(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        while left := size - file.tell():
            file.write(os.urandom(min(left, MB)))
    return path


def put(storage: Storage, key: str, path: Path) -> FileFacts:
    facts = look_at(path)
    gateway.put_file(storage.bucket(), key, path, facts)
    return facts


def fetched(storage: Storage, key: str, target: Path) -> bytes:
    size, sha256 = gateway.fetch_file(storage.bucket(), key, target)
    content = target.read_bytes()
    assert (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return content


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 12_345])
def test_what_is_put_is_what_is_fetched(storage: Storage, tmp_path: Path, size: int) -> None:
    path = a_file(tmp_path / "file", size)
    facts = put(storage, "a/file", path)
    assert len(facts.digests) == max(1, -(-size // PART))
    stored = gateway.look(storage.bucket(), "a/file")
    assert stored is not None
    assert (stored.size, stored.etag, stored.sha256) == (size, facts.etag, hashlib.sha256(path.read_bytes()).hexdigest())
    assert fetched(storage, "a/file", tmp_path / "back") == path.read_bytes()


def test_a_file_of_more_parts_than_there_may_be_has_larger_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ops.backups.offsite.files.PART", 10)
    monkeypatch.setattr("ops.backups.offsite.files.MOST_PARTS", 4)
    facts = look_at(a_file(tmp_path / "file", 101))
    assert (facts.part, len(facts.digests), [facts.place(number) for number in (1, 4)]) == (26, 4, [(0, 26), (78, 23)])


def test_putting_it_again_sends_nothing(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 2 * PART)
    put(storage, "file", path)
    before = storage.client.head_object(Bucket="backups", Key="file")["LastModified"]
    steps: list[float] = []
    gateway.put_file(storage.bucket(), "file", path, look_at(path), step=steps.append)
    assert steps == []
    assert storage.client.head_object(Bucket="backups", Key="file")["LastModified"] == before


def test_a_put_that_ended_early_is_gone_on_with(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 4 * PART)
    facts = look_at(path)

    def end(_fraction: float) -> None:
        raise InterruptedError

    for _ in range(2):
        with pytest.raises(InterruptedError):
            gateway.put_file(storage.bucket(), "file", path, facts, step=end)
    assert storage.names() == []
    upload = storage.uploads()[0]
    parts = storage.client.list_parts(Bucket="backups", Key="file", UploadId=upload["UploadId"])["Parts"]
    assert [part["PartNumber"] for part in parts] == [1, 2]
    sent: list[float] = []
    gateway.put_file(storage.bucket(), "file", path, facts, step=sent.append)
    assert sent == [3 / 5, 4 / 5, 1.0]
    assert (storage.names(), storage.uploads()) == (["file"], [])
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()


def test_parts_of_something_else_are_sent_anew_and_other_uploads_end(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", PART + 5)
    facts = look_at(path)
    old = storage.client.create_multipart_upload(Bucket="backups", Key="file")["UploadId"]
    time.sleep(1.1)  # S3 counts in seconds.
    newer = storage.client.create_multipart_upload(Bucket="backups", Key="file", Metadata={"sha256": facts.sha256})["UploadId"]
    neighbour = storage.client.create_multipart_upload(Bucket="backups", Key="file2")["UploadId"]
    for upload in (old, newer):
        storage.client.upload_part(Bucket="backups", Key="file", UploadId=upload, PartNumber=1, Body=b"x" * PART)
    gateway.put_file(storage.bucket(), "file", path, facts)
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()
    assert [upload["UploadId"] for upload in storage.uploads()] == [neighbour]


def test_an_upload_that_somebody_else_has_begun_is_not_taken_for_ours(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", PART + 5)
    storage.client.create_multipart_upload(Bucket="backups", Key="file", Metadata={"sha256": "0" * 64})
    with pytest.raises(OffsiteDamaged, match="taken away"):
        put(storage, "file", path)
    assert storage.names() == []
    put(storage, "file", path)
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()


def test_a_file_that_changes_meanwhile_is_not_taken(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 2 * PART)
    facts = look_at(path)
    with path.open("r+b") as file:
        file.seek(PART + 100)
        file.write(b"other")
    with pytest.raises(OffsiteUnavailable, match="BadDigest"):
        gateway.put_file(storage.bucket(), "file", path, facts)
    assert storage.names() == []


UPLOADER = """
import sys
from pathlib import Path
import django; django.setup()
from ops.backups.offsite import gateway
from ops.backups.offsite.files import look_at
path = Path(sys.argv[1])
print("begins", flush=True)
gateway.put_file(gateway.bucket_of_settings(), sys.argv[2], path, look_at(path), step=lambda fraction: print(fraction, flush=True))
import resource
print("most", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


def process_with(storage: Storage, program: str, path: Path, key: str) -> subprocess.Popen[bytes]:
    keys = {"S3_ENDPOINT": storage.url, "S3_BUCKET": "backups", "S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path), key],
        cwd=REPOSITORY,
        env={**os.environ, **keys},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


def test_a_killed_process_leaves_nothing_half_and_the_next_one_goes_on(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 8 * PART)
    with process_with(storage, UPLOADER, path, "file") as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
    assert storage.names() == []
    upload = wait_for(storage.uploads)[0]
    there = len(storage.client.list_parts(Bucket="backups", Key="file", UploadId=upload["UploadId"])["Parts"])
    assert 4 <= there < 8
    with process_with(storage, UPLOADER, path, "file") as process:
        assert process.stdout is not None
        said = process.stdout.read().decode().split("\n")
    assert process.returncode == 0
    assert len([line for line in said if line.startswith("0.")]) == 8 - there
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()
    assert storage.uploads() == []


FETCHER = """
import resource, sys
from pathlib import Path
import django; django.setup()
from ops.backups.offsite import gateway
gateway.fetch_file(gateway.bucket_of_settings(), sys.argv[2], Path(sys.argv[1]).with_suffix(".back"))
print("most", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


def test_memory_is_flat(storage: Storage, tmp_path: Path) -> None:
    most: dict[tuple[str, int], float] = {}
    for megabytes in (1, 300):
        path = a_file(tmp_path / f"{megabytes}", megabytes * MB)
        for name, program in {"put": UPLOADER, "fetch": FETCHER}.items():
            with process_with(storage, program, path, f"of-{megabytes}") as process:
                said, _ = process.communicate()
            assert process.returncode == 0
            most[name, megabytes] = int(said.split()[-1]) / 1024
        assert path.with_suffix(".back").stat().st_size == megabytes * MB
    assert most["put", 300] - most["put", 1] < 40, most
    assert most["fetch", 300] - most["fetch", 1] < 40, most


def test_the_storage_is_killed_in_the_middle_of_a_put(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 4 * PART)
    facts = look_at(path)

    def kill(fraction: float) -> None:
        if fraction == 2 / 5:
            storage.stop()

    with pytest.raises(OffsiteUnavailable, match="nothing answers"):
        gateway.put_file(storage.bucket(), "file", path, facts, step=kill)
    storage.start()
    assert storage.names() == []
    gateway.put_file(storage.bucket(), "file", path, facts)
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()


def test_the_storage_is_killed_in_the_middle_of_a_fetch(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 8 * PART)  # more than a connection's buffers hold: up to 36 MB on Linux
    put(storage, "file", path)
    killed = threading.Event()

    def kill(_: float) -> None:
        if not killed.is_set():
            killed.set()
            storage.stop()

    with pytest.raises(OffsiteUnavailable):
        gateway.fetch_file(storage.bucket(), "file", tmp_path / "back", step=kill)
    storage.start()
    assert fetched(storage, "file", tmp_path / "again") == path.read_bytes()


def test_a_connection_that_breaks_is_taken_up_where_it_broke(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_file(tmp_path / "file", PART)
    put(storage, "file", path)
    whole, starts = gateway._pieces, []

    def breaking(bucket: Bucket, key: str, stored: gateway.Stored, *, start: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        starts.append(start)
        for number, piece in enumerate(whole(bucket, key, stored, start=start)):
            if number == 3 and len(starts) < 6:
                raise OffsiteUnavailable("the connection broke.")
            yield piece

    monkeypatch.setattr(gateway, "_pieces", breaking)
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()
    assert starts == [number * 3 * 256 * 1024 for number in range(6)]


@pytest.mark.parametrize("size", [1000, 2 * PART])
def test_a_flipped_byte_is_noticed(storage: Storage, tmp_path: Path, size: int) -> None:
    path = a_file(tmp_path / "file", size)
    facts = put(storage, "file", path)
    content = bytearray(path.read_bytes())
    content[size // 2] ^= 1
    storage.client.put_object(Bucket="backups", Key="file", Body=bytes(content), Metadata={"sha256": facts.sha256})
    with pytest.raises(OffsiteDamaged):
        gateway.fetch_file(storage.bucket(), "file", tmp_path / "back")
    assert not gateway.holds(storage.bucket(), "file", facts)
    put(storage, "file", path)
    assert fetched(storage, "file", tmp_path / "again") == path.read_bytes()


def test_an_etag_that_tells_nothing_is_made_up_for_by_reading(storage: Storage, tmp_path: Path) -> None:
    """As with keys of the storage's own, or parts of another size."""
    path = a_file(tmp_path / "file", 1000)
    facts = look_at(path)
    upload = storage.client.create_multipart_upload(Bucket="backups", Key="file", Metadata={"sha256": facts.sha256})["UploadId"]
    target = {"Bucket": "backups", "Key": "file", "UploadId": upload}
    etag = storage.client.upload_part(**target, PartNumber=1, Body=path.read_bytes())["ETag"]
    storage.client.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    stored = gateway.look(storage.bucket(), "file")
    assert stored is not None
    assert stored.etag != facts.etag
    assert gateway.holds(storage.bucket(), "file", facts)


def test_two_at_once_put_one_whole_file(storage: Storage, tmp_path: Path) -> None:
    path = a_file(tmp_path / "file", 6 * PART)
    facts, errors = look_at(path), []

    def run() -> None:
        try:
            gateway.put_file(storage.bucket(), "file", path, facts)
        except OffsiteUnavailable as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) < 3
    assert fetched(storage, "file", tmp_path / "back") == path.read_bytes()


def test_old_uploads_are_ended_and_young_ones_are_not(storage: Storage) -> None:
    for key in ("one/a", "one/b", "two/c"):
        storage.client.create_multipart_upload(Bucket="backups", Key=key)
    assert gateway.abort_uploads(storage.bucket(), "one/", begun_before=datetime.now(UTC) - timedelta(hours=1)) == 0
    assert gateway.abort_uploads(storage.bucket(), "one/", begun_before=datetime.now(UTC) + timedelta(hours=1)) == 2
    assert [upload["Key"] for upload in storage.uploads()] == ["two/c"]


def test_erasing_takes_begun_uploads_along_and_may_be_done_twice(storage: Storage, tmp_path: Path) -> None:
    put(storage, "file", a_file(tmp_path / "file", 10))
    put(storage, "file2", a_file(tmp_path / "file", 10))
    for key in ("file", "file2"):
        storage.client.create_multipart_upload(Bucket="backups", Key=key)
    for _ in range(2):
        gateway.erase(storage.bucket(), "file")
    assert storage.names() == ["file2"]
    assert [upload["Key"] for upload in storage.uploads()] == ["file2"]


def test_small_texts(storage: Storage) -> None:
    gateway.put_text(storage.bucket(), "card", b"one")
    gateway.put_text(storage.bucket(), "card", b"another")
    assert gateway.get_text(storage.bucket(), "card", most=7) == b"another"
    with pytest.raises(OffsiteDamaged):
        gateway.get_text(storage.bucket(), "card", most=6)
    with pytest.raises(OffsiteNotFound, match="nothing"):
        gateway.get_text(storage.bucket(), "nothing", most=6)
    with pytest.raises(OffsiteNotFound, match="nothing"):
        gateway.fetch_file(storage.bucket(), "nothing", Path("/nowhere"))


def refusals(storage: Storage) -> dict[str, Bucket]:
    right = {"endpoint": storage.url, "region": "us-east-1", "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "name": "backups"}
    wrong = {
        "secret": {"secret_key": "wrong-secret-1234567890"},
        "access": {"access_key": "AKNOBODYNOBODY"},
        "bucket": {"name": "not-there"},
        "gone": {"endpoint": f"http://127.0.0.1:{free_port()}"},
    }
    return {what: Bucket(**{**right, **change}) for what, change in wrong.items()}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("secret", "it does not let S3_ACCESS_KEY and S3_SECRET_KEY do this"),
        ("access", "it does not let S3_ACCESS_KEY and S3_SECRET_KEY do this"),
        ("bucket", "there is no bucket of the name in S3_BUCKET"),
        ("gone", "nothing answers at S3_ENDPOINT"),
    ],
)
@pytest.mark.parametrize("size", [10, PART + 1])
def test_what_is_wrong_is_said_and_no_secret_is(
    storage: Storage, tmp_path: Path, what: str, said: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = a_file(tmp_path / "file", size)
    bucket = refusals(storage)[what]
    caplog.set_level("DEBUG")
    with pytest.raises(OffsiteUnavailable, match=said) as caught:
        gateway.put_file(bucket, "file", path, look_at(path))
    assert caught.value.__suppress_context__
    for secret in (bucket.secret_key, bucket.access_key):
        assert secret not in caplog.text + str(caught.value) + repr(caught.value) + repr(bucket)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("NoSuchKey", OffsiteNotFound, "There is no such file off-site: a/key"),
        ("PreconditionFailed", OffsiteDamaged, "another one was put in its place"),
        ("QuotaExceeded", OffsiteUnavailable, "it is full (QuotaExceeded)."),
        ("507", OffsiteUnavailable, "it is full (507)."),
        ("AccessDenied", OffsiteUnavailable, "do this (AccessDenied)."),
        ("SlowDown", OffsiteUnavailable, "it answered SlowDown."),
        ("Key=abc: <b>", OffsiteUnavailable, "it answered Keyabcb."),
        ("", OffsiteUnavailable, "it answered an error."),
    ],
)
def test_each_answer_has_its_words(code: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=re.escape(said)), gateway.answering("a/key"):
        raise ClientError({"Error": {"Code": code, "Message": "with a secret"}}, "PutObject")


def test_an_s3_that_hangs_is_given_up(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "READ_SECONDS", 1)
    monkeypatch.setattr(gateway, "ATTEMPTS", 1)
    path = a_file(tmp_path / "file", 1000)
    bucket = replace(storage.bucket(), region="of-this-test")  # A client of its own, with these limits.
    with storage.paused(), pytest.raises(OffsiteUnavailable, match="too slow"):
        gateway.put_file(bucket, "file", path, look_at(path))
    put(storage, "file", path)


def test_what_is_sent_too_slowly_is_given_up(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.backups.offsite.files.PART_SECONDS", -1.0)
    path = a_file(tmp_path / "file", 1000)
    with pytest.raises(OffsiteUnavailable, match="too slow"):
        gateway.put_file(storage.bucket(), "file", path, look_at(path))


def test_a_stretch_is_like_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with Stretch(tmp_path / "file", 3, 4) as stretch:
        assert (len(stretch), stretch.read(2), stretch.tell(), stretch.read(), stretch.read(1)) == (4, b"34", 2, b"56", b"")
        assert (stretch.seek(-1, 2), stretch.read(), stretch.seek(0), stretch.read(100)) == (3, b"6", 0, b"3456")


@pytest.mark.parametrize(
    "address", ["", "s3://", "s3://bucket", "s3://bucket/", "http://bucket/key", "s3://Bucket/key", "s3://bu cket/key"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BadAddress):
        gateway.parse_address(address)


def test_an_address() -> None:
    assert gateway.parse_address("s3://backups/a/b.bundle") == ("backups", "a/b.bundle")
