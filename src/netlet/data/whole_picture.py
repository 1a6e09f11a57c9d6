"""Pictures for nets that see all of a picture, and not a character in MNIST's frame.

The web page computes the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netlet.data.loading import SCRIBBLE, public_name
from netlet.data.mnist_frame import overlap_weights
from netlet.data.pictures import open_reduced, to_gray
from netlet.data.scribble import SIZE
from netlet.data.sources import SOURCES

_DEEP_MODES = ("I", "F")  # more than 8 bits; of one channel


def frames_characters(
    shape: Sequence[int], data: str | None, *, light_background: bool = False
) -> bool:
    """Return whether a net's images are characters in MNIST's frame, light on dark.

    If not, the net sees all of a picture: it is for images of another size than 28x28, for a
    person's images in color or on a light background, or was trained on objects that fill the
    image, as those of Fashion-MNIST.

    Args:
        shape: The shape of one image, ``C H W``.
        data: The name of the data set that the net was trained on; None: it is not known.
        light_background: Whether most images of it are dark on light.
    """
    if tuple(shape[1:]) != (SIZE, SIZE) or light_background:
        return False
    name = public_name(data or "")
    if source := SOURCES.get(name):
        return not source.fills_image
    return shape[0] == 1 or name in ("", SCRIBBLE)


def read_whole_picture(path: Path | str, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Read a picture and average its middle to the size of a net's input.

    Args:
        path: A file as for :func:`netlet.data.read_digits`. Transparent areas become white.
        shape: The shape of the net's input, ``C H W``, C 1 or 3. The largest part around the center
            of the picture that has the proportions of ``H W`` is used.

    Returns:
        uint8 ``C H W``.

    Raises:
        DataError: The file is missing, not an image, damaged or too large.
    """
    c, h, w = shape
    with open_reduced(Path(path)) as (picture, sixteen_bits):
        if picture.mode.startswith(_DEEP_MODES):
            gray = np.floor(to_gray(picture, sixteen_bits=sixteen_bits) + np.float32(0.5))
            levels = np.broadcast_to(gray.astype(np.uint8), (c, *gray.shape))
        else:
            image = np.asarray(_on_white(picture).convert("L" if c == 1 else "RGB"))
            levels = image[None] if c == 1 else image.transpose(2, 0, 1)
    return average_levels(_crop_middle(levels, h, w), h, w)


def average_levels(levels: NDArray[np.uint8], h: int, w: int) -> NDArray[np.uint8]:
    """Average levels over areas, in whole numbers; halves are rounded up.

    With ``weight`` the number of old pixels, ``n_h n_w``, and ``sum`` the old levels times their
    overlaps with a new pixel, in units of ``1 / h`` and ``1 / w`` px, a new level is
    ``(2 * sum + weight) // (2 * weight)``.

    Args:
        levels: uint8 ``C n_h n_w``.
        h: The new number of rows.
        w: The new number of columns.

    Returns:
        uint8 ``C h w``.
    """
    n_h, n_w = levels.shape[1:]
    rows, columns = overlap_weights(n_h, h), overlap_weights(n_w, w)
    sums = np.stack([rows @ channel.astype(np.float64) @ columns.T for channel in levels])
    weight = n_h * n_w
    averages: NDArray[np.int64] = (2 * sums.astype(np.int64) + weight) // (2 * weight)
    return averages.astype(np.uint8)


def _crop_middle(levels: NDArray[np.uint8], h: int, w: int) -> NDArray[np.uint8]:
    """Return the largest part around the center with the proportions of ``h w``."""
    n_h, n_w = levels.shape[1:]
    if n_w * h > n_h * w:
        part_h, part_w = n_h, max(1, (2 * n_h * w + h) // (2 * h))
    else:
        part_h, part_w = max(1, (2 * n_w * h + w) // (2 * w)), n_w
    top, left = (n_h - part_h) // 2, (n_w - part_w) // 2
    return levels[:, top : top + part_h, left : left + part_w]


def _on_white(picture: Image.Image) -> Image.Image:
    """Return a picture without transparency, over white."""
    if picture.mode in ("1", "L") or not picture.has_transparency_data:
        return picture
    layered = np.asarray(picture.convert("RGBA")).astype(np.int64)
    alpha = layered[..., 3:]
    levels = (2 * (alpha * layered[..., :3] + (255 - alpha) * 255) + 255) // 510
    return Image.fromarray(levels.astype(np.uint8))
