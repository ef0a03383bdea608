"""Any S3: files are put whole or not at all, go on where a killed put has stopped, and are looked at afterwards.

No error of here holds a key, an address with one, or what the library says.
"""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from django.conf import settings

from core.errors import AppError
from ops.backups.offsite.errors import BadAddress, OffsiteDamaged, OffsiteNotFound, OffsiteNotSetUp, OffsiteUnavailable
from ops.backups.offsite.files import PIECE, FileFacts, Stretch, sha256_of
from tenants.scope import current_tenant_or_none

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 3
READS_IN_VAIN = 3
ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^\s]{1,900})")
DENIED = {"AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "401", "403"}
FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"}
MISSING = {"404", "NoSuchKey", "NotFound"}
GONE = {"NoSuchUpload", "404"}
REPLACED = {"PreconditionFailed", "412"}

type Step = Callable[[float], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    name: str
    endpoint: str  # empty: Amazon's, of the region
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @property
    def client(self) -> Any:
        assert current_tenant_or_none() is None, "S3 is never asked while a cafeteria's transaction is open."
        return _client(self.endpoint, self.region, self.access_key, self.secret_key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What the storage says of an object."""

    size: int
    etag: str
    sha256: str  # as it was put with it; empty for what others have put


def bucket_of_settings(name: str = "") -> Bucket:
    """With `name`, another bucket at the same place. Raises OffsiteNotSetUp."""
    chosen = name or settings.S3_BUCKET
    if not chosen or not settings.S3_ACCESS_KEY:
        raise OffsiteNotSetUp
    return Bucket(
        name=chosen,
        endpoint=settings.S3_ENDPOINT,
        region=settings.S3_REGION,
        access_key=settings.S3_ACCESS_KEY,
        secret_key=settings.S3_SECRET_KEY,
    )


def parse_address(address: str) -> tuple[str, str]:
    """(bucket, key) of s3://bucket/key. Raises BadAddress."""
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise BadAddress
    return found[1], found[2]


def put_file(bucket: Bucket, key: str, path: Path, facts: FileFacts, *, step: Step = lambda _: None) -> None:
    """Put the file there, unless it is there already. Killed, the next put goes on with the parts that are there.

    When it returns, the storage holds these bytes. `step` is told how far it is after each part, and may raise to go on later.
    Raises OffsiteUnavailable, and OffsiteDamaged after taking away what was not the file.
    """
    if holds(bucket, key, facts):
        return
    if facts.in_parts:
        _put_parts(bucket, key, path, facts, step)
    else:
        _put_at_once(bucket, key, path, facts)
    if not holds(bucket, key, facts):
        erase(bucket, key)
        raise OffsiteDamaged("it differed right after it was put, and was taken away again.")
    step(1.0)


def holds(bucket: Bucket, key: str, facts: FileFacts) -> bool:
    """Whether the object is the file. Reads it whole only when its ETag does not tell."""
    stored = look(bucket, key)
    if stored is None or (stored.size, stored.sha256) != (facts.size, facts.sha256):
        return False
    return stored.etag == facts.etag or sha256_of(_pieces(bucket, key, stored, start=0)) == facts.sha256


def look(bucket: Bucket, key: str) -> Stored | None:
    """None when there is nothing."""
    try:
        with answering(key):
            head = bucket.client.head_object(Bucket=bucket.name, Key=key)
    except OffsiteNotFound:
        return None
    return Stored(size=head["ContentLength"], etag=head["ETag"].strip('"'), sha256=head["Metadata"].get("sha256", ""))


def fetch_file(bucket: Bucket, key: str, path: Path, *, step: Step = lambda _: None) -> tuple[int, str]:
    """Write the object into a new file and onto the disk: (size, sha256). A connection that breaks is taken up where it broke.

    Raises OffsiteNotFound, OffsiteUnavailable, OffsiteDamaged when it is not what it says of itself.
    """
    stored = look(bucket, key)
    if stored is None:
        raise OffsiteNotFound(key)
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for piece in _pieces_taken_up(bucket, key, stored):
            file.write(piece)
            digest.update(piece)
            step(file.tell() / max(stored.size, 1))
        file.flush()
        os.fsync(file.fileno())
    if stored.sha256 and stored.sha256 != digest.hexdigest():
        raise OffsiteDamaged("its bytes are not those of its checksum.")
    return stored.size, digest.hexdigest()


def put_text(bucket: Bucket, key: str, text: bytes) -> None:
    """Put a small object whole, in place of what is there."""
    digest = hashlib.md5(text, usedforsecurity=False).digest()
    with answering():
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=text, ContentMD5=_base64(digest), ContentType="application/json")


def get_text(bucket: Bucket, key: str, *, most: int) -> bytes:
    """Raises OffsiteNotFound, and OffsiteDamaged for one of more bytes."""
    with answering(key):
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
        if answer["ContentLength"] > most:
            raise OffsiteDamaged("it is larger than it may be.")
        return bytes(answer["Body"].read())


def list_objects(bucket: Bucket, prefix: str) -> Iterator[tuple[str, int]]:
    """(key, size) of each object, a page at a time."""
    with answering():
        for page in bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=prefix):
            for found in page.get("Contents", []):
                yield found["Key"], found["Size"]


def erase(bucket: Bucket, key: str) -> None:
    """Object and begun uploads of it; none is fine."""
    for upload in _uploads(bucket, key):
        if upload["Key"] == key:
            _abort(bucket, upload)
    with suppress(OffsiteNotFound), answering():
        bucket.client.delete_object(Bucket=bucket.name, Key=key)


def abort_uploads(bucket: Bucket, prefix: str, *, begun_before: datetime) -> int:
    """End what nobody goes on with, which would take room unseen for ever; how many."""
    old = [upload for upload in _uploads(bucket, prefix) if upload["Initiated"] < begun_before]
    for upload in old:
        _abort(bucket, upload)
    return len(old)


@contextmanager
def answering(key: str = "") -> Iterator[None]:
    """Raises OffsiteNotFound, OffsiteUnavailable and the like, in our words, for what the library raises in its own."""
    try:
        yield
    except ClientError as error:
        raise _refused(code_of(error), key) from None
    except TimeoutError:
        raise OffsiteUnavailable("it is too slow.") from None
    except (EndpointConnectionError, ConnectTimeoutError):
        raise OffsiteUnavailable("nothing answers at S3_ENDPOINT.") from None
    except BotoCoreError as error:
        slow = isinstance(error, ReadTimeoutError) or isinstance(error.kwargs.get("error"), TimeoutError)
        raise OffsiteUnavailable("it is too slow." if slow else f"the connection broke ({type(error).__name__}).") from None


def code_of(error: ClientError) -> str:
    """What the storage calls it, without anything that it may have put there."""
    return re.sub(r"[^A-Za-z0-9.]", "", str(error.response.get("Error", {}).get("Code", "")))[:60]


def _refused(code: str, key: str) -> AppError:
    if code in MISSING:
        return OffsiteNotFound(key)
    if code in REPLACED:
        return OffsiteDamaged("another one was put in its place meanwhile.")
    if code == "NoSuchBucket":
        return OffsiteUnavailable("there is no bucket of the name in S3_BUCKET.")
    if code in DENIED:
        return OffsiteUnavailable(f"it does not let S3_ACCESS_KEY and S3_SECRET_KEY do this ({code}).")
    if code in FULL:
        return OffsiteUnavailable(f"it is full ({code}).")
    return OffsiteUnavailable(f"it answered {code or 'an error'}.")


def _put_at_once(bucket: Bucket, key: str, path: Path, facts: FileFacts) -> None:
    with Stretch(path, 0, facts.size) as body, answering():
        bucket.client.put_object(
            Bucket=bucket.name, Key=key, Body=body, ContentMD5=_base64(facts.digests[0]), Metadata={"sha256": facts.sha256}
        )


def _put_parts(bucket: Bucket, key: str, path: Path, facts: FileFacts, step: Step) -> None:
    upload, there = _begun_upload(bucket, key, facts)
    target = {"Bucket": bucket.name, "Key": key, "UploadId": upload}
    etags: list[str] = []
    for number, digest in enumerate(facts.digests, 1):
        if there.get(number) == digest.hex():
            etags.append(there[number])
            continue
        with Stretch(path, *facts.place(number)) as body, answering():
            answer = bucket.client.upload_part(**target, PartNumber=number, Body=body, ContentMD5=_base64(digest))
        etags.append(answer["ETag"].strip('"'))
        step(number / (len(facts.digests) + 1))
    parts = [{"PartNumber": number, "ETag": f'"{etag}"'} for number, etag in enumerate(etags, 1)]
    with answering():
        try:
            bucket.client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except ClientError as error:
            # An answer that was lost, or another worker was first: the look that follows tells whether the object is there.
            if code_of(error) not in GONE:
                raise


def _begun_upload(bucket: Bucket, key: str, facts: FileFacts) -> tuple[str, dict[int, str]]:
    """(the upload to go on with, the ETags of its parts that are there). Ends all but the newest."""
    begun = sorted((upload for upload in _uploads(bucket, key) if upload["Key"] == key), key=lambda upload: upload["Initiated"])
    for upload in begun[:-1]:
        _abort(bucket, upload)
    if not begun:
        with answering():
            answer = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key, Metadata={"sha256": facts.sha256})
        return answer["UploadId"], {}
    upload_id = begun[-1]["UploadId"]
    with answering():
        pages = bucket.client.get_paginator("list_parts").paginate(Bucket=bucket.name, Key=key, UploadId=upload_id)
        return upload_id, {part["PartNumber"]: part["ETag"].strip('"') for page in pages for part in page.get("Parts", [])}


def _uploads(bucket: Bucket, prefix: str) -> list[dict[str, Any]]:
    with answering():
        pages = bucket.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, Prefix=prefix)
        return [upload for page in pages for upload in page.get("Uploads", [])]


def _abort(bucket: Bucket, upload: dict[str, Any]) -> None:
    with answering():
        try:
            bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError as error:
            if code_of(error) not in GONE:
                raise


def _pieces_taken_up(bucket: Bucket, key: str, stored: Stored) -> Iterator[bytes]:
    at, in_vain = 0, 0
    while at < stored.size:
        before = at
        try:
            for piece in _pieces(bucket, key, stored, start=at):
                at += len(piece)
                yield piece
        except OffsiteUnavailable:
            in_vain = in_vain + 1 if at == before else 0
            if in_vain >= READS_IN_VAIN:
                raise
        else:
            if at == before:
                raise OffsiteDamaged("it is cut off.")


def _pieces(bucket: Bucket, key: str, stored: Stored, *, start: int) -> Iterator[bytes]:
    """Of the very object that was looked at: one that was put in its place meanwhile is refused."""
    if start >= stored.size:
        return
    with answering(key):
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key, Range=f"bytes={start}-", IfMatch=f'"{stored.etag}"')
        yield from answer["Body"].iter_chunks(PIECE)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@lru_cache(maxsize=4)
def _client(endpoint: str, region: str, access_key: str, secret_key: str) -> Any:
    import boto3  # noqa: PLC0415  20 MB in each process, only for those who use it.
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Newer checksums are Amazon's alone; ours are the MD5 of each part, which every S3 checks, and SHA-256 with the object.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=config,
    )
