"""Draw images of other things than digits in MNIST's frame: a net should be unsure about them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from netlet.data.letters import LETTERS
from netlet.data.mnist_frame import prepare_digit
from netlet.data.scribble import BOX, SIZE, draw_style
from netlet.data.skeletons import Stroke, Style

VERSION = 1  # of the images
_INK = 128  # from this level on, a pixel belongs to a stroke
_COARSE = 7  # sides of the coarse noise that becomes blots
# Quarters of a digit (top left, top right, bottom left, bottom right) after they have moved.
_MOVES = ((3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1), (2, 0, 3, 1), (1, 3, 0, 2))

_Levels = NDArray[np.uint8]


def draw_non_digits(images: int, seed: int, digits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Draw letters, scribbles, moved parts of digits, digits that touch, and noise.

    Args:
        images: Number of images of each kind.
        seed: The same seed and digits give the same images.
        digits: Images of digits to take apart and to join, uint8 ``N 28 28``; none of the test
            split.

    Returns:
        uint8 ``images 28 28`` by the name of the kind.
    """
    random = torch.Generator().manual_seed(seed)
    styles = [style for written in LETTERS.values() for style in written]
    return {
        "letters": draw_styles(styles, images, random),
        "scribbles": _draw_scribbles(images, random),
        "moved parts of digits": _move_quarters(digits, images, random),
        "two digits that touch": join_pairs(digits, images, random),
        "noise": _draw_noise(images, random),
    }


def draw_styles(styles: Sequence[Style], images: int, random: torch.Generator) -> torch.Tensor:
    """Draw several styles about equally often, each image in a different handwriting.

    Returns:
        uint8 ``images 28 28``.
    """
    counts = [len(range(i, images, len(styles))) for i in range(len(styles))]
    pairs = zip(styles, counts, strict=True)
    return torch.cat([draw_style(style, count, random) for style, count in pairs if count])


def join_pairs(digits: torch.Tensor, images: int, random: torch.Generator) -> torch.Tensor:
    """Push pairs of digits together until they touch, and fit each pair into the frame.

    Returns:
        uint8 ``images 28 28``.
    """
    chosen = digits[torch.randint(len(digits), (2 * images,), generator=random)].numpy()
    joined = [prepare_digit(_join(*pair)) for pair in zip(chosen[::2], chosen[1::2], strict=True)]
    return torch.from_numpy(np.stack(joined))


def _join(left: _Levels, right: _Levels) -> _Levels:
    """Place two digits side by side so that they overlap by a pixel in one row, or nearly."""
    ends = np.where(left >= _INK, np.arange(SIZE), -SIZE).max(axis=1)
    starts = np.where(right >= _INK, np.arange(SIZE), 2 * SIZE).min(axis=1)
    # Neighboring rows touch as well: strokes that meet at a corner.
    reach = np.maximum.reduce([ends, np.roll(ends, 1), np.roll(ends, -1)])
    shift = max(0, int((reach - starts).max()))
    pair = np.zeros((SIZE, 2 * SIZE + shift), dtype=np.uint8)
    pair[:, :SIZE] = left
    place = pair[:, shift : shift + SIZE]
    np.maximum(place, right, out=place)
    return pair


def _move_quarters(digits: torch.Tensor, images: int, random: torch.Generator) -> torch.Tensor:
    """Exchange the quarters of digits, so that their strokes end in the wrong places."""
    chosen = digits[torch.randint(len(digits), (images,), generator=random)].numpy()
    moved = []
    half = SIZE // 2
    for i, digit in enumerate(chosen):
        quarters = digit.reshape(2, half, 2, half).swapaxes(1, 2).reshape(4, half, half)
        moves = quarters[list(_MOVES[i % len(_MOVES)])].reshape(2, 2, half, half)
        moved.append(prepare_digit(moves.swapaxes(1, 2).reshape(SIZE, SIZE)))
    return torch.from_numpy(np.stack(moved))


def _draw_scribbles(images: int, random: torch.Generator) -> torch.Tensor:
    """Draw, in turn, curves, straight lines, and closed outlines through random points.

    None is a single line or a single short curve, which may look like a digit.
    """
    return torch.cat(
        [draw_style(Style(1, _scribble(i % 3, random)), 1, random) for i in range(images)]
    )


def _scribble(kind: int, random: torch.Generator) -> tuple[Stroke, ...]:
    def draw_points(low: int, high: int) -> Stroke:
        count = int(torch.randint(low, high + 1, (1,), generator=random))
        return tuple((x, y) for x, y in torch.rand(count, 2, generator=random).tolist())

    if kind == 0:
        strokes = int(torch.randint(2, 5, (1,), generator=random))
        return tuple(draw_points(2, 6) for _ in range(strokes))
    corners = draw_points(4, 7)
    if kind == 1:
        return (*itertools.pairwise(corners), draw_points(2, 2))
    return tuple(itertools.pairwise((*corners, corners[0])))


def _draw_noise(images: int, random: torch.Generator) -> torch.Tensor:
    """Draw, in turn, noise in every pixel, blots and solid areas."""
    grain = torch.randint(0, 256, (images, SIZE, SIZE), generator=random).to(torch.uint8)
    coarse = torch.rand(images, 1, _COARSE, _COARSE, generator=random)
    fine = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=False)[:, 0]
    blots = (fine > fine.mean((1, 2), keepdim=True)).to(torch.uint8) * 255
    areas = torch.zeros(images, SIZE, SIZE, dtype=torch.uint8)
    sides = torch.randint(3, BOX + 1, (images, 2), generator=random).tolist()
    for area, (height, width) in zip(areas, sides, strict=True):
        top, left = (SIZE - height) // 2, (SIZE - width) // 2
        area[top : top + height, left : left + width] = 255
    turn = torch.arange(images) % 3
    drawn = torch.where((turn == 0)[:, None, None], grain, blots)
    return torch.where((turn == 2)[:, None, None], areas, drawn)
