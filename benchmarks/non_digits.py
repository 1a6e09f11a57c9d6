"""Images that are not digits, of other kinds than those that ``netlet`` calibrates with."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from netlet.data.mnist_frame import prepare_digit
from netlet.data.non_digits import draw_styles, join_pairs
from netlet.data.skeletons import Style, arc, style

LETTERS: dict[str, tuple[Style, ...]] = {
    "K": (style(1, "20,0 20,100", "85,0 20,55", "35,45 88,100"),),
    "M": (style(1, "8,100 20,0", "20,0 50,70", "50,70 80,0", "80,0 92,100"),),
    "R": (style(1, "20,0 20,100", "20,2 60,0 82,22 60,46 20,50", "40,50 88,100"),),
    "W": (style(1, "5,0 28,100", "28,100 50,30", "50,30 72,100", "72,100 95,0"),),
    "f": (style(1, "80,8 60,0 45,20 45,100", "20,40 75,40"),),
    "k": (style(1, "25,0 25,100", "75,40 25,72", "40,62 80,100"),),
    "r": (style(1, "25,100 25,20", "25,50 45,22 75,25"),),
}
SHAPES: dict[str, tuple[Style, ...]] = {
    "arrow": (style(1, "5,50 95,50", "65,20 95,50", "95,50 65,80"),),
    "cross": (style(1, "50,0 50,100", "0,50 100,50"),),
    "heart": (style(1, "50,30 25,0 2,30 50,100", "50,100 98,30 75,0 50,30"),),
    "spiral": (style(1, arc(0.5, 0.5, 0.5, 0.5, 0, 300) + arc(0.5, 0.5, 0.25, 0.3, 340, 660)),),
    "star": (
        style(1, "20,100 50,0", "50,0 80,100", "80,100 0,35", "0,35 100,35", "100,35 20,100"),
    ),
    "triangle": (style(1, "50,0 0,90", "0,90 100,90", "100,90 50,0"),),
    "wave": (style(1, "0,50 15,20 35,20 50,50 65,80 85,80 100,50"),),
}
# Letters and signs of Pillow's own font that look like no digit.
PRINTED = "ACEFHKMNPRTUVWXadefhkmnrtuvwx"
SIGNS = "!?&%#@+*=<>"


def draw_other_non_digits(images: int, seed: int, digits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Draw letters by other strokes and in print, signs, shapes, and other pairs that touch.

    Args:
        images: Number of images of each kind.
        seed: The same seed and digits give the same images.
        digits: Images of digits to join, uint8 ``N 28 28``.

    Returns:
        uint8 ``images 28 28`` by the name of the kind.
    """
    random = torch.Generator().manual_seed(seed)
    letters, shapes = (
        [style for drawn in table.values() for style in drawn] for table in (LETTERS, SHAPES)
    )
    return {
        "drawn letters": draw_styles(letters, images, random),
        "printed letters": _print_signs(PRINTED, images, random),
        "printed signs": _print_signs(SIGNS, images, random),
        "drawn shapes": draw_styles(shapes, images, random),
        "two digits that touch": join_pairs(digits, images, random),
    }


def _print_signs(signs: str, images: int, random: torch.Generator) -> torch.Tensor:
    """Print each sign about equally often, a little slanted, turned and stretched."""
    font = ImageFont.load_default(size=64)
    printed = []
    for i in range(images):
        slant, turn, width = (2 * torch.rand(3, generator=random) - 1).tolist()
        page = Image.new("L", (160, 160), 0)
        ImageDraw.Draw(page).text((80, 80), signs[i % len(signs)], fill=255, font=font, anchor="mm")
        slanted = page.transform(
            page.size,
            Image.Transform.AFFINE,
            (1 + 0.2 * width, 0.25 * slant, -80 * (0.2 * width + 0.25 * slant), 0, 1, 0),
            Image.Resampling.BICUBIC,
        )
        turned = slanted.rotate(10 * turn, Image.Resampling.BICUBIC)
        printed.append(prepare_digit(np.asarray(turned)))
    return torch.from_numpy(np.stack(printed))
