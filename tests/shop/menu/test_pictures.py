"""Pictures of products: what is taken, what becomes of it, and who is served it."""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from PIL import Image, ImageCms

from shop.menu.actions import store_picture
from shop.menu.errors import DamagedPicture, NotAPicture, PictureRefused, PictureTooLarge, TooManyPixels
from shop.menu.pictures import actions as pictures
from shop.menu.pictures.actions import picture_key
from shop.menu.pictures.forms import LARGE, SMALL, read_picture
from tenants.scope import current_tenant_or_none
from tests.world import World

PRODUCTS = "/api/v1/products"


@pytest.fixture(autouse=True)
def media(tmp_path: Path) -> Iterator[Path]:
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture
def manager(world: World) -> Client:
    return world.a.client("manager")


def picture(size: tuple[int, int] = (1600, 800), kind: str = "JPEG", mode: str = "RGB", **more: object) -> bytes:
    image = Image.new(mode, size)
    image.paste(Image.new(mode, (size[0] // 2, size[1]), image.getpixel((0, 0)) if mode in {"P", "1", "I;16", "F"} else _white(mode)))
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def _white(mode: str) -> tuple[int, ...] | int:
    return 255 if len(mode) == 1 else tuple(255 for _ in mode)


def upload(client: Client, product_id: int, raw: bytes) -> tuple[int, dict[str, object]]:
    response = client.post(f"{PRODUCTS}/{product_id}/image", {"file": SimpleUploadedFile("x.jpg", raw, content_type="image/jpeg")})
    return response.status_code, response.json()


def opened(raw: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(raw))
    assert image.format == "WEBP"
    return image


def test_an_uploaded_picture_is_served_in_two_sizes(manager: Client, world: World) -> None:
    place = world.a
    status, product = upload(manager, place.cake, picture())
    assert status == 200
    path = str(product["image"])
    assert place.client().get(PRODUCTS).json()[1]["image"] == path
    for served, size in ((path, (400, 200)), (path.replace("-400.", "-1200."), (1200, 600))):
        response = place.client().get(served)
        assert response["Content-Type"] == "image/webp"
        assert response["Cache-Control"] == "public, max-age=31536000, immutable"
        assert opened(response.content).size == size
        again = place.client().get(served, headers={"if-none-match": response["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_cafeterias_picture_is_not_the_neighbours(manager: Client, world: World) -> None:
    path = str(upload(manager, world.a.cake, picture())[1]["image"])
    response = world.a.client().get(path)
    assert world.b.client().get(path).status_code == 404
    assert world.b.client().get(path, headers={"if-none-match": response["ETag"]}).status_code == 404
    assert world.platform_client().get(path).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e%2fsecret",
        "../../secret",
        "a" * 64 + "-400.webp",
        "A" * 64 + "-400.webp",
        "0" * 64 + "-800.webp",
        "0" * 64 + "-400.webp/",
        "0" * 64 + "-400.webp%00",
        "0" * 64 + "-400.webp%0a",
        "0" * 63 + "-400.webp",
        "0" * 64,
        "",
    ],
)
def test_any_other_name_is_not_found(luna: Client, media: Path, name: str) -> None:
    (media / "secret").write_text("secret")
    assert luna.get(f"/media/{name}").status_code in {400, 404}


def test_a_removed_picture_is_shown_no_more(manager: Client, world: World) -> None:
    upload(manager, world.a.cake, picture())
    response = manager.delete(f"{PRODUCTS}/{world.a.cake}/image")
    assert (response.status_code, response.json()["image"]) == (200, None)
    assert manager.delete(f"{PRODUCTS}/9999/image").status_code == 404


def test_a_product_that_is_not_on_the_menu_takes_no_picture(manager: Client, world: World, media: Path) -> None:
    status, answer = upload(manager, 9999, picture())
    assert (status, answer["code"]) == (404, "product_not_found")
    manager.delete(f"{PRODUCTS}/{world.a.cake}")
    assert upload(manager, world.a.cake, picture())[0] == 404
    assert [path for path in media.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("PNG", "I;16"),
        ("WEBP", "RGBA"),
    ],
)
def test_every_kind_of_jpeg_png_and_webp_is_taken(kind: str, mode: str) -> None:
    made = read_picture(picture(kind=kind, mode=mode))
    assert {size: opened(content).size for size, content in made.files.items()} == {1200: (1200, 600), 400: (400, 200)}
    assert opened(made.files[LARGE]).mode == ("RGBA" if mode in {"RGBA", "LA"} else "RGB")


def test_a_small_picture_is_not_blown_up() -> None:
    made = read_picture(picture((90, 30)))
    assert opened(made.files[LARGE]).size == opened(made.files[SMALL]).size == (90, 30)
    assert opened(read_picture(picture((3000, 1))).files[SMALL]).size == (400, 1)


def test_what_the_camera_wrote_is_applied_and_dropped() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    exif[0x010F] = "SECRETCAM"
    exif.get_ifd(0x8825)[1] = "S"  # where it was taken
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = read_picture(picture(exif=exif.tobytes(), icc_profile=profile, comment=b"SECRETCAM"))
    for size, content in made.files.items():
        image = opened(content)
        assert image.size == (size // 2, size)
        assert not image.getexif()
        assert image.info.keys() & {"exif", "icc_profile", "xmp", "comment"} == set()
        assert b"SECRETCAM" not in content


def test_a_broken_colour_profile_does_not_spoil_a_picture() -> None:
    assert read_picture(picture(icc_profile=b"nonsense" * 20)).files


def test_the_same_picture_has_the_same_name_and_is_stored_once(world: World, media: Path) -> None:
    first = store_picture(cafeteria=world.a.ref, raw=picture())
    assert store_picture(cafeteria=world.a.ref, raw=picture()) == first
    assert len([path for path in media.rglob("*") if path.is_file()]) == 2


def test_a_file_that_was_cut_off_is_written_anew(world: World) -> None:
    digest = store_picture(cafeteria=world.a.ref, raw=picture())
    key = picture_key(world.a.ref.uuid, f"{digest}-400.webp")
    whole = default_storage.size(key)
    default_storage.delete(key)
    default_storage.save(key, ContentFile(b"cut"))
    store_picture(cafeteria=world.a.ref, raw=picture())
    assert default_storage.size(key) == whole


def test_the_storage_is_written_outside_of_any_scope(manager: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scopes: list[object] = []
    store = pictures._store

    def watched(key: str, content: bytes) -> None:
        scopes.append(current_tenant_or_none())
        store(key, content)

    monkeypatch.setattr(pictures, "_store", watched)
    assert upload(manager, world.a.cake, picture())[0] == 200
    assert scopes == [None, None]


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says it has very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", NotAPicture),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", NotAPicture),
        (picture(kind="GIF"), NotAPicture),
        (picture(kind="BMP"), NotAPicture),
        (picture(kind="TIFF"), NotAPicture),
        (picture()[:-500], DamagedPicture),
        (picture(kind="PNG")[:200], DamagedPicture),
        (bomb(4001, 4000), TooManyPixels),
        (bomb(30_000, 10), TooManyPixels),
        (bomb(12_000, 12_000), TooManyPixels),
        (bomb(2**31 - 1, 2**31 - 1), TooManyPixels),
        (picture() + b"\0" * (8 * 1024 * 1024), PictureTooLarge),
    ],
    ids=range(12),
)
def test_what_is_no_picture_is_refused(raw: bytes, error: type[PictureRefused]) -> None:
    with pytest.raises(error):
        read_picture(raw)


def test_a_refused_upload_changes_nothing(manager: Client, world: World, media: Path) -> None:
    status, answer = upload(manager, world.a.cake, b"no picture")
    assert (status, answer["code"]) == (422, "picture_refused")
    assert upload(manager, world.a.cake, b"\0" * (9 * 1024 * 1024))[0] == 413
    response = manager.post(f"{PRODUCTS}/{world.a.cake}/image", picture(), content_type="image/jpeg")
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
    assert world.a.client().get(PRODUCTS).json()[1]["image"] is None
    assert list(media.iterdir()) == []
