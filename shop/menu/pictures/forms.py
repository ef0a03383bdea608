"""A picture as somebody uploaded it, made into what is served: WebP in two sizes, upright, in sRGB, with nothing else in it."""

import hashlib
import io
from dataclasses import dataclass
from threading import Lock

from django.conf import settings
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from shop.menu.errors import DamagedPicture, NotAPicture, PictureTooLarge, TooManyPixels

SMALL, LARGE = 400, 1200  # pixels of the longer side, at most
QUALITY = 80
# By format, since reading takes memory: a JPEG is read at a fraction of its size, unless it is progressive; of the others every pixel is
# held, of WebP four times over. With these no picture takes 200 MB.
MOST_PIXELS = {"JPEG": 50_000_000, "PNG": 16_000_000, "WEBP": 12_000_000}
MOST_PROGRESSIVE, MOST_CMYK = 24_000_000, 12_000_000
MOST_SIDE = 20_000
ONE_AT_A_TIME = Lock()  # in a process: what one picture takes, several would take several times
AVERAGED = {"L", "LA", "RGB", "RGBA", "CMYK"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    digest: str  # SHA-256 of the large one, in hexadecimal
    files: dict[int, bytes]  # by size


def read_picture(raw: bytes) -> Picture:
    """PictureRefused for what is too large or no whole JPEG, PNG or WebP. The same picture has the same digest."""
    if len(raw) > settings.IMAGE_MAX_BYTES:
        raise PictureTooLarge(most=settings.IMAGE_MAX_BYTES // 1024 // 1024)
    try:
        with ONE_AT_A_TIME:
            image = _decode(raw)
    except UnidentifiedImageError as error:
        raise NotAPicture from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, OverflowError) as error:
        # What Pillow's readers raise for files that are cut off or broken.
        raise DamagedPicture from error
    files = {size: _encode(image, size) for size in (LARGE, SMALL)}
    return Picture(digest=hashlib.sha256(files[LARGE]).hexdigest(), files=files)


def _decode(raw: bytes) -> Image.Image:
    with Image.open(io.BytesIO(raw), formats=tuple(MOST_PIXELS)) as image:
        width, height = image.size
        if width * height > _most_pixels(image) or max(width, height) > MOST_SIDE:
            raise TooManyPixels
        image.draft("RGB", (LARGE, LARGE))
        image.load()
        # Smaller first: what follows copies it. A palette has to go before, it cannot be averaged.
        upright = image if image.mode in AVERAGED else image.convert("RGBA" if image.has_transparency_data else "RGB")
        upright.thumbnail((LARGE, LARGE), Image.Resampling.LANCZOS)
        ImageOps.exif_transpose(upright, in_place=True)
        return _in_srgb(upright)


def _most_pixels(image: Image.Image) -> int:
    most = MOST_PIXELS[image.format or ""]
    if image.format == "JPEG":
        most = min(most, MOST_PROGRESSIVE if "progressive" in image.info else most, MOST_CMYK if image.mode == "CMYK" else most)
    return most


def _in_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None  # A broken profile: the colours as they stand.
        image = converted or image
    return image if image.mode == mode else image.convert(mode)


def _encode(image: Image.Image, size: int) -> bytes:
    smaller = image.copy()
    smaller.thumbnail((size, size), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    smaller.save(file, "WEBP", quality=QUALITY, method=4, exif=b"", icc_profile=b"", xmp=b"")
    return file.getvalue()
