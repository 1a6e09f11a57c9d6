"""Read the user's pictures of digits, photographed or drawn, and find the ink in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from netlet.data.image_files import FORMATS_TEXT, has_sixteen_bits, open_image
from netlet.data.ink import extract_digits
from netlet.data.scribble import SIZE
from netlet.errors import DataError

_MAX_PIXELS = 50_000_000
_MAX_FULL_PIXELS = 16_000_000  # larger pictures are halved before anything else
_MAX_LEVEL = np.float32(1e30)  # of a float picture, so that the range does not overflow
_MAX_SIDE_PX = 1024  # larger pictures are reduced before the ink is searched
_MAX_BYTES = 1 << 29  # of a file: 50 million pixels of three times 16 bits, and some room
_CHANNEL_GAIN = (
    1.5  # a color channel is used instead of luminance if its contrast is this much higher
)


def read_digits(path: Path | str) -> list[NDArray[np.uint8]]:
    """Read a picture and return the ink of each digit in it, from left to right.

    :func:`netlet.data.prepare_digit` then puts the ink of a digit into MNIST's frame.

    Args:
        path: A PNG, JPEG, WebP, BMP, GIF, TIFF or PPM, recognized by its content, of up to 50
            million pixels: gray, color, palette, CMYK, transparent or 16 bits. EXIF orientation is
            applied; of several frames the first is read.

    Returns:
        For each digit uint8 ``H W``, cropped to its ink, 0 paper to 255 ink. Pictures larger than
        1,024 px along a side are reduced first.

    Raises:
        DataError: The file is missing, not an image, damaged or too large; or there is nothing
            drawn on it, or a solid area, or more than 32 digits.
    """
    with open_reduced(Path(path)) as (picture, sixteen_bits):
        gray = to_gray(picture, sixteen_bits=sixteen_bits)
        factor = -(-max(gray.shape) // _MAX_SIDE_PX)
        gray = np.asarray(Image.fromarray(gray).reduce(factor)) if factor > 1 else gray
    try:
        return extract_digits(gray)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_raw_picture(path: Path | str) -> NDArray[np.uint8]:
    """Read a picture that already has MNIST's form, unchanged.

    Args:
        path: A file as for :func:`read_digits`, of 28x28 pixels and 8 bits, gray (also stored as
            RGB), light on dark.

    Returns:
        uint8 ``28 28``.

    Raises:
        DataError: The file is missing, not an image, damaged, or an image of another form.
    """
    remedy = "drop --raw to have it prepared (read_digits in Python)"
    with _open_picture(Path(path)) as opened:
        if opened.size != (SIZE, SIZE):
            w, h = opened.size
            raise DataError(
                f"{path}: is {w} wide and {h} high, but --raw needs {SIZE}x{SIZE}; {remedy}"
            )
        if opened.mode not in ("1", "L", "P", "RGB") or opened.has_transparency_data:
            raise DataError(f"{path}: has mode {opened.mode}, but --raw needs 8-bit gray; {remedy}")
        pixels = np.array(opened.convert("RGB"))
    if (pixels != pixels[..., :1]).any():
        raise DataError(f"{path}: is in color, but --raw needs gray; {remedy}")
    gray = pixels[..., 0]
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    if not gray.any() or gray.min() == gray.max():
        raise DataError(f"{path}: blank, every pixel is {gray.flat[0]}; draw one digit")
    if np.median(border) > 127:
        raise DataError(f"{path}: is dark on light, but --raw needs light on dark; {remedy}")
    return gray


@contextmanager
def open_reduced(path: Path) -> Iterator[tuple[Image.Image, bool]]:
    """Open a picture, turn it as its EXIF orientation says, and make a gigantic one smaller.

    Args:
        path: The path of a picture.

    Yields:
        The picture, and whether its levels are whole numbers from 0 (black) to 65,535 (white).

    Raises:
        DataError: The file is missing, not an image, damaged or too large.
    """
    with _open_picture(path) as opened:
        opened.draft(None, (_MAX_SIDE_PX, _MAX_SIDE_PX))  # decodes a large JPEG at a smaller size
        sixteen_bits = has_sixteen_bits(opened)
        yield _halve_if_gigantic(ImageOps.exif_transpose(opened)), sixteen_bits


@contextmanager
def _open_picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture and check its size before its pixels are decoded."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the images in it, for example {path / '*.png'}")
    try:
        with open_image(path, _MAX_BYTES) as opened:
            w, h = opened.size
            if w * h > _MAX_PIXELS:
                raise _too_large_error(path, f"{w}x{h} pixels are")
            yield opened
    except Image.DecompressionBombError as error:
        raise _too_large_error(path, "its pixels are far") from error
    except UnidentifiedImageError as error:
        what = "empty" if path.stat().st_size == 0 else "not an image that can be read"
        raise DataError(f"{path}: {what}; use a {FORMATS_TEXT}") from error


def _too_large_error(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: {what} too many; scale it to at most {_MAX_PIXELS // 1_000_000} million"
    )


def _halve_if_gigantic(picture: Image.Image) -> Image.Image:
    """Return a picture of half the size if its channels as floats would take a gigabyte."""
    deep = picture.mode.startswith("I") or picture.mode == "F"  # has one channel
    if deep or picture.width * picture.height <= _MAX_FULL_PIXELS:
        return picture
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return picture.reduce(2)


def to_gray(picture: Image.Image, *, sixteen_bits: bool) -> NDArray[np.float32]:
    """Return gray levels 0..255, ``H W``, over a contrasting backing if there is transparency.

    Args:
        picture: The picture, of any mode.
        sixteen_bits: Whether its levels are whole numbers from 0 (black) to 65,535 (white).
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        deep = np.asarray(picture).astype(np.float32)
        if sixteen_bits:
            return np.multiply(deep, np.float32(255 / 65_535), out=deep)
        # The range of others is not known, and taken from the image.
        np.nan_to_num(deep, copy=False, posinf=0, neginf=0).clip(-_MAX_LEVEL, _MAX_LEVEL, out=deep)
        low, high = float(deep.min()), float(deep.max())
        deep -= np.float32(low)
        return np.multiply(deep, np.float32(255 / max(high - low, 1e-9)), out=deep)
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L")).astype(np.float32)
    if not picture.has_transparency_data:
        return _clearest_channel(picture.convert("RGB"))
    layered = picture.convert("RGBA")
    gray = _clearest_channel(layered.convert("RGB"))
    opaque = np.asarray(layered.getchannel("A"), dtype=np.float32) / 255
    backing = np.float32(_choose_backing(gray[opaque > 0.5], opaque.size))
    return backing + opaque * (gray - backing)


def _clearest_channel(picture: Image.Image) -> NDArray[np.float32]:
    """Return the luminance, or the color channel in which a colored pen has far more contrast."""
    channels = [np.asarray(channel) for channel in (picture.convert("L"), *picture.split())]
    contrasts = [float(np.ptp(np.percentile(channel, (0.2, 99.8)))) for channel in channels]
    best = int(np.argmax(contrasts))
    return channels[best if contrasts[best] > _CHANNEL_GAIN * contrasts[0] else 0].astype(
        np.float32
    )


def _choose_backing(visible: NDArray[np.float32], pixels: int) -> float:
    """Choose the level below transparent areas.

    A drawing without paper gets a contrasting level, a picture that includes paper the paper's.
    """
    if not len(visible):
        return 255.0
    low, middle, high = np.percentile(visible, (1, 50, 99))
    if len(visible) > pixels / 2 and high - low > 64:
        return float(middle)
    return 255.0 if middle < 128 else 0.0
