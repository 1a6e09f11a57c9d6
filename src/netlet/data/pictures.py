"""A person's pictures, photographed or drawn, in whatever file: decoded, and the ink found on them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from netlet.data.ink import extract_ink
from netlet.data.scribble import SIZE
from netlet.errors import DataError

_LARGEST_PIXELS = 50_000_000
_LONGER_PX = 1024  # larger pictures are reduced to at most so much before the ink is looked for
_FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "PPM",
)  # others would run programs, as Pillow's EPS does
_KNOWN = "PNG, JPEG, WebP, BMP, GIF or TIFF"
_CLEARER = 1.5  # times the contrast of the luminance that a color must have to be looked at instead


def read_picture(path: Path | str) -> NDArray[np.uint8]:
    """What is drawn on a picture, to be put into MNIST's frame by :func:`netlet.data.prepared`.

    Args:
        path: A PNG, JPEG, WebP, BMP, GIF or TIFF, told by its content; of up to 50 million pixels;
            gray, color, palette, CMYK, with transparency or 16 bits; turned as its EXIF says; the
            first frame of several.

    Returns:
        uint8 ``H W``, cut to the ink, 0 paper to 255 ink, of a picture reduced to at most 1,024 px
        along a side.

    Raises:
        DataError: The file is missing, no image, damaged or too large, nothing is drawn on it, or
            two digits.
    """
    with _opened(Path(path)) as opened:
        opened.draft(None, (_LONGER_PX, _LONGER_PX))  # a large JPEG is decoded smaller at once
        gray = _grey(ImageOps.exif_transpose(opened))
        factor = -(-max(gray.shape) // _LONGER_PX)
        gray = np.asarray(Image.fromarray(gray).reduce(factor)) if factor > 1 else gray
    try:
        return extract_ink(gray)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_raw_picture(path: Path | str) -> NDArray[np.uint8]:
    """A picture that is as MNIST's are already: taken as it is.

    Args:
        path: A file as for :func:`read_picture`, of 28x28 pixels, 8 bits, gray or in colors that
            are all gray, light on dark.

    Returns:
        uint8 ``28 28``.

    Raises:
        DataError: The file is missing, no image, damaged, or another kind of image.
    """
    remedy = "leave away --raw to have it prepared"
    with _opened(Path(path)) as opened:
        if opened.size != (SIZE, SIZE):
            w, h = opened.size
            raise DataError(f"{path}: is {h}x{w} where --raw takes {SIZE}x{SIZE}; {remedy}")
        if opened.mode not in ("1", "L", "P", "RGB") or opened.has_transparency_data:
            raise DataError(
                f"{path}: is of mode {opened.mode} where --raw takes 8-bit gray; {remedy}"
            )
        pixels = np.array(opened.convert("RGB"))
    if (pixels != pixels[..., :1]).any():
        raise DataError(f"{path}: is in color where --raw takes gray; {remedy}")
    gray = pixels[..., 0]
    rim = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    if not gray.any() or gray.min() == gray.max():
        raise DataError(f"{path}: blank, all of it is {gray.flat[0]}; draw one digit")
    if np.median(rim) > 127:
        raise DataError(f"{path}: is dark on light where --raw takes light on dark; {remedy}")
    return gray


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose head is read; whatever goes wrong with it is one line."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the images in it, like {path / '*.png'}")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as opened:
            w, h = opened.size
            if w * h > _LARGEST_PIXELS:
                raise _too_large(path, f"{w}x{h} pixels are")
            yield opened
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "its pixels are far") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check its name") from error
    except UnidentifiedImageError as error:
        what = "empty" if path.stat().st_size == 0 else "not an image that can be read"
        raise DataError(f"{path}: {what}; give a {_KNOWN}") from error
    except Exception as error:  # what image readers raise on rubbish is anybody's guess
        reason = (
            getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        )
        raise DataError(
            f"{path}: cannot be read as an image ({reason}); mend it or give another"
        ) from error


def _too_large(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: {what} too many; scale it to at most {_LARGEST_PIXELS // 1_000_000} million"
    )


def _grey(picture: Image.Image) -> NDArray[np.float32]:
    """Levels 0..255, ``H W``."""
    if picture.mode.startswith("I") or picture.mode == "F":
        deep = np.nan_to_num(np.asarray(picture).astype(np.float32))
        # 16 bits have a known range; of 32 bits and of fractions only the image itself tells.
        sixteen_bits = picture.mode.startswith("I;16") or (
            picture.mode == "I" and 255 < deep.max() <= 65_535
        )
        low, high = (0.0, 65_535.0) if sixteen_bits else (float(deep.min()), float(deep.max()))
        return (deep - low) * (255 / max(high - low, 1e-9))
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L")).astype(np.float32)
    if not picture.has_transparency_data:
        return _clearest(picture.convert("RGB"))
    layered = picture.convert("RGBA")
    gray, opaque = (
        _clearest(layered.convert("RGB")),
        np.asarray(layered.getchannel("A"), dtype=np.float32) / 255,
    )
    backing = np.float32(_backing(gray[opaque > 0.5], opaque.size))
    return backing + opaque * (gray - backing)


def _clearest(picture: Image.Image) -> NDArray[np.float32]:
    """The luminance, or the red, green or blue in which a coloured pen stands out much more."""
    channels = [np.asarray(channel) for channel in (picture.convert("L"), *picture.split())]
    contrasts = [float(np.ptp(np.percentile(channel, (0.2, 99.8)))) for channel in channels]
    best = int(np.argmax(contrasts))
    return channels[best if contrasts[best] > _CLEARER * contrasts[0] else 0].astype(np.float32)


def _backing(seen: NDArray[np.float32], pixels: int) -> float:
    """What to lay under an image: what contrasts with a drawing alone, or what is like the paper that is drawn on."""
    if not len(seen):
        return 255.0
    low, middle, high = np.percentile(seen, (1, 50, 99))
    if len(seen) > pixels / 2 and high - low > 64:
        return float(middle)
    return 255.0 if middle < 128 else 0.0
