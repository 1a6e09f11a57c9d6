"""Open image files of people: only formats that Pillow decodes itself, and of bounded size."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from netlet.errors import DataError
from netlet.files import read_regular

# Pillow runs other programs to decode some formats, such as EPS; these it decodes itself.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
FORMATS_TEXT = "PNG, JPEG, WebP, BMP, GIF, TIFF or PPM"
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
_JPEG_MAGIC, _START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
_MAX_SCANS = 100  # cameras and editors write about ten
_BITS_PER_SAMPLE, _PHOTOMETRIC, _BLACK_IS_ZERO = 258, 262, 1  # tags of TIFF


@contextmanager
def open_image(path: Path, max_bytes: int) -> Iterator[Image.Image]:
    """Open an image; turn errors, also those while its pixels are decoded, into one line.

    Args:
        path: The path of a file in one of ``FORMATS``, recognized by its content.
        max_bytes: The largest file to read.

    Yields:
        The image, whose pixels are not decoded yet: check its size first.

    Raises:
        DataError: The file is missing, not a regular file, too large or damaged.
        UnidentifiedImageError: It is not in one of ``FORMATS``.
        DecompressionBombError: It has far too many pixels.
    """
    # Pillow reserves as much memory as a chunk announces, unless the content is in memory already.
    with io.BytesIO(read_regular(path, max_bytes, DataError)) as file:
        _check_scans(file, path)
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                Image.open(file, formats=FORMATS) as opened,
            ):
                yield opened
        except (DataError, UnidentifiedImageError, Image.DecompressionBombError):
            raise
        except Exception as error:  # image readers raise exceptions of many types
            reason = (
                getattr(error, "strerror", None)
                or " ".join(str(error).replace(repr(file), "it").split())[:200]
                or type(error).__name__
            )
            raise DataError(
                f"{path}: cannot be read as an image ({reason}); repair or remove it"
            ) from error


def _check_scans(file: BinaryIO, path: Path) -> None:
    """Refuse a JPEG of so many scans over the whole picture that decoding it takes minutes.

    Raises:
        DataError: It has.
    """
    if file.read(len(_JPEG_MAGIC)) == _JPEG_MAGIC:
        scans = file.read().count(_START_OF_SCAN)
        if scans > _MAX_SCANS:
            raise DataError(f"{path}: a JPEG of {scans:,} scans; save it again as another JPEG")
    file.seek(0)


def has_sixteen_bits(picture: Image.Image) -> bool:
    """Return whether gray levels are whole numbers from 0 (black) to 65,535 (white).

    Pillow gives other files the same mode: 12 bits, 32 bits, or 16 bits with 0 for white.
    """
    tags = getattr(picture, "tag_v2", None)
    if tags is not None:
        bits, photometric = tags.get(_BITS_PER_SAMPLE, (1,)), tags.get(_PHOTOMETRIC)
        return (
            picture.mode.startswith("I;16")
            and tuple(bits) == (16,)
            and photometric == _BLACK_IS_ZERO
        )
    return picture.mode.startswith("I;16") or (
        picture.mode == "I" and getattr(picture, "format", None) in ("PNG", "PPM")
    )
