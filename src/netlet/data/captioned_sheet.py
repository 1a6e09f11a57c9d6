"""Single images, enlarged, each with what there is to say of it: what a net saw, for a person's eye."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_COLUMNS = 8
_SHOWN_PX = 140  # how large an image is drawn, at least, if it is smaller
_GAP_PX, _LINE_PX, _LETTER_PX = 6, 14, 6
_ROWS_AT_MOST = 250


def draw_captioned_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[Sequence[str]]
) -> Image.Image:
    """A tile for each image, its caption below; up to eight beside each other and 250 rows.

    Args:
        images: uint8 ``H W`` each, of one size; at least one.
        captions: Of each image some lines, as many for all; what is too long for a tile loses its
            beginning.
    """
    images, captions = images[: _COLUMNS * _ROWS_AT_MOST], captions[: _COLUMNS * _ROWS_AT_MOST]
    zoom = max(1, round(_SHOWN_PX / max(images[0].shape)))
    h, w = (side * zoom for side in images[0].shape)
    tile_w, tile_h = w + _GAP_PX, h + len(captions[0]) * _LINE_PX + _GAP_PX
    columns = min(len(images), _COLUMNS)
    sheet = Image.new(
        "RGB",
        (columns * tile_w + _GAP_PX, math.ceil(len(images) / columns) * tile_h + _GAP_PX),
        "#556",
    )
    pen = ImageDraw.Draw(sheet)
    letters = w // _LETTER_PX
    for i, (image, lines) in enumerate(zip(images, captions, strict=True)):
        left, top = _GAP_PX + i % columns * tile_w, _GAP_PX + i // columns * tile_h
        sheet.paste(Image.fromarray(image).resize((w, h), Image.Resampling.NEAREST), (left, top))
        for n, line in enumerate(lines):
            short = line if len(line) <= letters else f"..{line[2 - letters :]}"
            pen.text(
                (left, top + h + n * _LINE_PX),
                short.encode("ascii", "replace").decode(),
                fill="white",
            )
    return sheet
