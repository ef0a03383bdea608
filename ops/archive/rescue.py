"""The off-site storage as it stood at a moment, in a new bucket: what an intruder has erased or overwritten is there in its versions."""

from collections.abc import Callable
from datetime import UTC, datetime

from ops.archive.errors import ArchiveDamaged
from ops.backups.offsite import gateway
from ops.backups.offsite.actions import prefix
from ops.backups.offsite.gateway import Bucket

LARGEST_COPY = 5 * 1024**3  # bytes that S3 copies at once

type Step = Callable[[float, str], None]


def copy_as_of(source: Bucket, target: Bucket, at: datetime, *, step: Step = lambda _fraction, _what: None) -> int:
    """Copy everything of S3_PREFIX as it was at the moment into the other bucket, which has to be there; how many objects.

    The storage copies by itself. Changes nothing in `source`; what is in `target` already is not copied again, so that a killed one goes
    on. Raises ArchiveDamaged, OffsiteUnavailable.
    """
    then = {key: version for key, (_moment, version) in _newest(source, at).items() if version is not None}
    if not then:
        raise ArchiveDamaged(f"nothing stood in the bucket {source.name} at that moment. Is it the right one, and does it keep versions?")
    there = {key for key, _size in gateway.list_objects(target, prefix())}
    missing = sorted(then.keys() - there)
    for number, key in enumerate(missing):
        step(number / len(missing), key)
        _copy(source, target, key, then[key])
    return len(missing)


def _newest(bucket: Bucket, at: datetime) -> dict[str, tuple[datetime, str | None]]:
    """Of each key the newest version that is not after the moment: (when, which), without a version when it was erased then.

    The storage names the newest first, and tells only seconds.
    """
    found: dict[str, tuple[datetime, str | None]] = {}
    with gateway.answering():
        for page in bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=prefix()):
            versions = [(one, str(one["VersionId"])) for one in page.get("Versions", [])]
            for one, version in [*versions, *((erased, None) for erased in page.get("DeleteMarkers", []))]:
                moment = one["LastModified"].astimezone(UTC)
                if moment <= at and (one["Key"] not in found or moment > found[one["Key"]][0]):
                    found[one["Key"]] = (moment, version)
    return found


def _copy(source: Bucket, target: Bucket, key: str, version: str) -> None:
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - as in the gateway

    with gateway.answering(key):
        target.client.copy(
            {"Bucket": source.name, "Key": key, "VersionId": version},
            target.name,
            key,
            Config=TransferConfig(multipart_threshold=LARGEST_COPY, use_threads=False),
        )
