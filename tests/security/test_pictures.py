"""Pictures made to hurt: what takes memory is refused before it does, and nothing but pixels comes through."""

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, PngImagePlugin
from pytest_django import Settings

from shop.menu.errors import DamagedPicture, NotAPicture, TooManyPixels
from shop.menu.pictures.forms import LARGE, read_picture
from tests.world import World

MOST = 200  # MB that one picture may take
MEASURE = """
import json, resource, sys
import django
django.setup()
from shop.menu.errors import PictureRefused
from shop.menu.pictures.forms import read_picture
raw = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_picture(raw)
    outcome = "taken"
except PictureRefused as error:
    outcome = type(error).__name__
print(json.dumps([outcome, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""


@pytest.mark.parametrize(
    ("kind", "mode", "size", "progressive", "outcome"),
    [
        ("PNG", "RGBA", (4_000, 4_000), False, "taken"),
        ("PNG", "RGB", (4_000, 4_100), False, "TooManyPixels"),
        ("WEBP", "RGBA", (4_000, 3_000), False, "taken"),
        ("WEBP", "RGBA", (4_000, 4_000), False, "TooManyPixels"),
        ("JPEG", "RGB", (8_000, 6_000), False, "taken"),
        ("JPEG", "RGB", (6_000, 4_000), True, "taken"),
        ("JPEG", "RGB", (8_000, 6_000), True, "TooManyPixels"),
        ("JPEG", "CMYK", (4_000, 3_000), True, "taken"),
        ("JPEG", "CMYK", (8_000, 6_000), True, "TooManyPixels"),
    ],
)
def test_no_picture_takes_more_memory_than_it_may(
    tmp_path: Path, kind: str, mode: str, size: tuple[int, int], progressive: bool, outcome: str
) -> None:
    more = {"progressive": True, "subsampling": 0} if progressive else {}
    Image.new(mode, size).save(tmp_path / "x", kind, **more)
    told = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / "x")], capture_output=True, text=True, check=True).stdout
    seen, taken = json.loads(told)
    assert seen == outcome
    assert taken < (MOST if outcome == "taken" else 20)


def png(width: int, height: int, data: bytes) -> bytes:
    """With a header that says what it likes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_decompression_bombs() -> None:
    bomb = zlib.compress(b"\0" * 50_000_000, 9)
    with pytest.raises(TooManyPixels):
        read_picture(png(60_000, 60_000, bomb))
    with pytest.raises(TooManyPixels):
        read_picture(png(30_000, 1, bomb))
    read = read_picture(png(100, 100, bomb))  # far more data than pixels: the rest is never unpacked
    assert len(read.files[LARGE]) < 10_000
    with pytest.raises(DamagedPicture):
        read_picture(png(100, 100, zlib.compress(b"\0" * 50)))


def test_a_text_chunk_that_unpacks_to_much_is_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "A" * 100_000_000, zip=True)
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "PNG", pnginfo=info)
    with pytest.raises(DamagedPicture):
        read_picture(file.getvalue())


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    "raw",
    [
        SVG,
        b"<html><script>alert(1)</script>",
        b"GIF89a" + b"\0" * 50,
        b"%PDF-1.4",
        b"BM" + b"\0" * 100,
        b"II*\0" + b"\0" * 100,
        b"PK\x03\x04",
        b"",
    ],
    ids=["svg", "html", "gif", "pdf", "bmp", "tiff", "zip", "nothing"],
)
def test_what_is_no_picture_is_refused_whatever_it_is_called(world: World, settings: Settings, tmp_path: Path, raw: bytes) -> None:
    settings.MEDIA_ROOT = tmp_path
    with pytest.raises((NotAPicture, DamagedPicture)):
        read_picture(raw)
    body = {"file": SimpleUploadedFile("../../x.jpg", raw, content_type="image/jpeg")}
    response = world.a.client("manager").post(f"/api/v1/products/{world.a.cake}/image", body)
    assert response.status_code in {400, 422}
    assert list(tmp_path.rglob("*.*")) == []


def test_nothing_but_pixels_comes_through() -> None:
    """Of a file that is a picture and something else at once, and of what a camera writes: where it was taken, with what."""
    image = Image.new("RGB", (300, 200), "orange")
    exif = image.getexif()
    exif[0x010F] = "CameraMaker"
    exif[0x8825] = {1: "S", 2: (34.0, 36.0, 0.0)}
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, comment=b"<?php evil() ?>", xmp=b"<x:xmpmeta>author</x:xmpmeta>")
    raw = file.getvalue() + b"<script>alert(1)</script>PK\x03\x04"
    for content in read_picture(raw).files.values():
        for trace in (b"CameraMaker", b"php", b"xmpmeta", b"script", b"EXIF", b"PK\x03\x04"):
            assert trace not in content
        assert dict(Image.open(io.BytesIO(content)).getexif()) == {}
