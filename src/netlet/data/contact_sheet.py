"""Contact sheets: what is in a data set, and what a net sees of it, for a person's eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from netlet.data.augment import augment_images
from netlet.data.dataset import Split
from netlet.errors import DataError
from netlet.recipes import Warp

COLUMNS = 10
_MOST_CLASSES = 200
_SHOWN_PX = 56  # how large an image is drawn, at least, if it is smaller
_GAP_PX = 4
_TITLE_PX = 16


def draw_contact_sheet(
    split: Split,
    class_names: Sequence[str],
    augment: Sequence[Warp] | None = None,
    seed: int = 0,
    titles: tuple[str, str] = ("as they are", "as augmented"),
) -> Image.Image:
    """A row for each class, ten of its images drawn at random.

    Args:
        split: What to show.
        class_names: Written before the rows.
        augment: If given, each row goes on with the same ten as a recipe's augmentation may make
            them.
        seed: Of the choice and of the augmentation.
        titles: Written above the ten, and above the augmented ten.

    Returns:
        An RGB image; places for which a class has no images stay blank.

    Raises:
        DataError: There are too many classes for one sheet.
    """
    if len(class_names) > _MOST_CLASSES:
        raise DataError(
            f"{len(class_names)} classes are too many for one sheet; it holds {_MOST_CLASSES}"
        )
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split), generator=random)
    labels = split.labels[order]
    rows = [order[labels == k][:COLUMNS] for k in range(len(class_names))]
    blocks = [split.images.float()[torch.cat(rows)]]
    if augment is not None:
        blocks.append(augment_images(blocks[0], augment, random))
    h, w = split.images.shape[2:]
    zoom = max(1, round(_SHOWN_PX / max(h, w)))
    column_px, row_px = w * zoom + _GAP_PX, h * zoom + _GAP_PX
    margin_px, block_px = (
        8 * max(map(len, class_names)) + 2 * _GAP_PX,
        COLUMNS * column_px + 4 * _GAP_PX,
    )
    sheet = Image.new(
        "RGB",
        (margin_px + len(blocks) * block_px, _TITLE_PX + len(rows) * row_px + _GAP_PX),
        "#556",
    )
    pen = ImageDraw.Draw(sheet)
    for block, title, left in zip(
        blocks, titles, range(margin_px, sheet.width, block_px), strict=False
    ):
        pen.text((left, _TITLE_PX // 2 + 2), title, fill="white", anchor="lm")
        pictures = iter(block)
        for k, row in enumerate(rows):
            for i in range(len(row)):
                place = (left + i * column_px, _TITLE_PX + _GAP_PX + k * row_px)
                sheet.paste(_picture(next(pictures), zoom), place)
    for k, name in enumerate(class_names):
        middle = _TITLE_PX + _GAP_PX + k * row_px + h * zoom // 2
        pen.text((_GAP_PX, middle), name, fill="white", anchor="lm")
    return sheet


def _picture(image: torch.Tensor, zoom: int) -> Image.Image:
    """Gray levels ``C H W`` as a picture, each pixel a square of ``zoom``."""
    pixels = image.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
