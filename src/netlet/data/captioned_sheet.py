"""A sheet of enlarged images, each with a caption: what a net saw and what it predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from netlet.text import escape_controls

_COLUMNS = 8
_MAX_ROWS = 250
_MIN_SIDE_PX = 140  # smaller images are enlarged to about this size
_GAP_PX, _LINE_PX = 6, 16
FONT_PX = 13  # in a smaller size, Pillow's font has spaces that are hardly seen


def draw_captioned_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[Sequence[str]]
) -> Image.Image:
    """Draw a tile for each image, with its caption below, in up to 8 columns and 250 rows.

    Args:
        images: At least one image, uint8 ``H W`` or ``C H W`` with C 1 or 3, all of one size.
        captions: The lines below each image, the same number for all; a line that is too long for
            its tile loses its beginning.

    Returns:
        An RGB image.
    """
    images, captions = images[: _COLUMNS * _MAX_ROWS], captions[: _COLUMNS * _MAX_ROWS]
    zoom = max(1, round(_MIN_SIDE_PX / max(images[0].shape[-2:])))
    h, w = (side * zoom for side in images[0].shape[-2:])
    tile_w, tile_h = w + _GAP_PX, h + len(captions[0]) * _LINE_PX + _GAP_PX
    columns = min(len(images), _COLUMNS)
    sheet = Image.new(
        "RGB",
        (columns * tile_w + _GAP_PX, math.ceil(len(images) / columns) * tile_h + _GAP_PX),
        "#556",
    )
    pen = ImageDraw.Draw(sheet)
    for i, (image, lines) in enumerate(zip(images, captions, strict=True)):
        left, top = _GAP_PX + i % columns * tile_w, _GAP_PX + i // columns * tile_h
        tile = _to_picture(image).resize((w, h), Image.Resampling.NEAREST)
        sheet.paste(tile, (left, top))
        for n, line in enumerate(lines):
            place = (left, top + h + n * _LINE_PX)
            pen.text(place, _shorten(pen, line, w), fill="white", font_size=FONT_PX)
    return sheet


def _shorten(pen: ImageDraw.ImageDraw, line: str, width_px: int) -> str:
    """Return a line in ASCII, without its beginning if it is too wide."""
    line = short = escape_controls(line).encode("ascii", "replace").decode()
    while line and pen.textlength(short, font_size=FONT_PX) > width_px:
        line = line[1:]
        short = f"..{line}"
    return short


def _to_picture(image: NDArray[np.uint8]) -> Image.Image:
    if image.ndim == 2:
        return Image.fromarray(image)
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
