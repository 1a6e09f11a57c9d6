"""Contact sheets: what a data set contains, and what augmentation makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from netlet.data.augment import augment_images
from netlet.data.captioned_sheet import FONT_PX
from netlet.data.split import Split
from netlet.errors import DataError
from netlet.recipes import Warp
from netlet.text import escape_controls

COLUMNS = 10
_MAX_CLASSES = 200
_MIN_SIDE_PX = 56  # smaller images are enlarged to about this size
_GAP_PX = 4
_TITLE_PX = 16


def draw_contact_sheet(
    split: Split,
    class_names: Sequence[str],
    augment: Sequence[Warp] | None = None,
    seed: int = 0,
    titles: tuple[str, str] = ("as they are", "as augmented"),
) -> Image.Image:
    """Draw a row of ten random images for each class.

    Args:
        split: The images to show.
        class_names: The texts before the rows; control characters in them are escaped.
        augment: Ops that augment the same ten images, which then follow in each row.
        seed: The seed that selects the images and the augmentation.
        titles: The texts above the original images and above the augmented ones.

    Returns:
        An RGB image; the places of images that a class does not have stay blank.

    Raises:
        DataError: There are too many classes for one sheet.
    """
    if len(class_names) > _MAX_CLASSES:
        raise DataError(
            f"{len(class_names)} classes are too many for one sheet; it holds {_MAX_CLASSES}"
        )
    class_names = [*map(escape_controls, class_names)]
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split), generator=random)
    labels = split.labels[order]
    rows = [order[labels == k][:COLUMNS] for k in range(len(class_names))]
    blocks = [split.images.float()[torch.cat(rows)]]
    if augment is not None:
        blocks.append(augment_images(blocks[0], augment, random))
    h, w = split.images.shape[2:]
    layout = _Layout.for_images(h, w, class_names)
    sheet = Image.new("RGB", layout.sheet_size(len(blocks), len(rows)), "#556")
    pen = ImageDraw.Draw(sheet)
    for number, (block, title) in enumerate(zip(blocks, titles, strict=False)):
        left = layout.margin_px + number * layout.block_px
        place = (left, _TITLE_PX // 2 + 2)
        pen.text(place, title, fill="white", anchor="lm", font_size=FONT_PX)
        _paste_block(sheet, block, [len(row) for row in rows], left, layout)
    for k, name in enumerate(class_names):
        middle = _TITLE_PX + _GAP_PX + k * layout.row_px + (layout.row_px - _GAP_PX) // 2
        pen.text((_GAP_PX, middle), name, fill="white", anchor="lm", font_size=FONT_PX)
    return sheet


@dataclass(frozen=True)
class _Layout:
    zoom: int
    column_px: int
    row_px: int
    margin_px: int  # left of the images, for the class names
    block_px: int  # the ten images of a row, and a gap

    @classmethod
    def for_images(cls, h: int, w: int, class_names: Sequence[str]) -> _Layout:
        zoom = max(1, round(_MIN_SIDE_PX / max(h, w)))
        column_px = w * zoom + _GAP_PX
        margin_px = 8 * max(map(len, class_names)) + 2 * _GAP_PX
        return cls(
            zoom, column_px, h * zoom + _GAP_PX, margin_px, COLUMNS * column_px + 4 * _GAP_PX
        )

    def sheet_size(self, blocks: int, rows: int) -> tuple[int, int]:
        return self.margin_px + blocks * self.block_px, _TITLE_PX + rows * self.row_px + _GAP_PX


def _paste_block(
    sheet: Image.Image, block: torch.Tensor, row_lengths: Sequence[int], left: int, layout: _Layout
) -> None:
    pictures = iter(block)
    for k, length in enumerate(row_lengths):
        for i in range(length):
            place = (left + i * layout.column_px, _TITLE_PX + _GAP_PX + k * layout.row_px)
            sheet.paste(_enlarge(next(pictures), layout.zoom), place)


def _enlarge(image: torch.Tensor, zoom: int) -> Image.Image:
    """Turn gray levels ``C H W`` into a picture in which each pixel covers ``zoom`` by ``zoom``."""
    pixels = image.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
