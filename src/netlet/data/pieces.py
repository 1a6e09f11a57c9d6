"""Divide ink into digits, from left to right; the web page computes the same in JavaScript."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The four numbers were chosen on MNIST's train images and pairs of them; docs/pictures.md has the
# results. The body of a digit is at least 1/2 as high as the highest piece, and its area at least
# 1/5 of the largest body's.
_BODY_HEIGHT, _BODY_AREA = 2, 5
# Bodies of different digits share at most 1/4 of the columns of the narrower one, and at least 1/2
# of the rows of the lower one.
_BESIDE, _LEVEL = 4, 2
_EIGHT_NEIGHBORS = np.ones((3, 3))


@dataclass(frozen=True)
class _Box:
    """Rows ``top`` to ``bottom - 1`` and columns ``left`` to ``right - 1``."""

    top: int
    bottom: int
    left: int
    right: int

    def join(self, other: _Box) -> _Box:
        return _Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def shared_columns(self, other: _Box) -> int:
        """Return how many columns both have; below 0, how many lie between them."""
        return min(self.right, other.right) - max(self.left, other.left)

    def shared_rows(self, other: _Box) -> int:
        """Return how many rows both have; below 0, how many lie between them."""
        return min(self.bottom, other.bottom) - max(self.top, other.top)

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


def group_pieces(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the digits that pieces of ink belong to.

    All arithmetic uses whole numbers, and every tie is resolved, so that every language gives the
    same result.

    1. A piece is ink that is connected, also diagonally. Pieces are in the order of their first
       pixels, row by row.
    2. A piece is a body if it is at least half as high as the highest piece, and its area at least
       a fifth of the largest area of such pieces.
    3. Bodies are sorted by ``left + right`` of their boxes. Two neighbors belong to different
       digits if they stand side by side: their boxes overlap in columns by at most a quarter of the
       narrower one, and in rows by at least half of the lower one.
    4. Another piece, such as the bar of a broken 5 or a speck, belongs to the digit with whose
       bodies it shares the most columns, or to the nearest if it shares none; of several equal ones
       to the first.

    Args:
        mask: Where there is ink, ``H W``.

    Returns:
        ``H W``: 0 without ink, 1 for the first digit from the left, 2 for the second, ...
    """
    from scipy import ndimage  # slow to import

    pieces, number = ndimage.label(mask, _EIGHT_NEIGHBORS)
    if not number:
        return np.zeros(mask.shape, dtype=np.int64)
    boxes = [
        _Box(rows.start, rows.stop, columns.start, columns.stop)
        for rows, columns in ndimage.find_objects(pieces)
    ]
    areas = np.bincount(pieces.ravel())[1:].tolist()
    digit_of = _assign_digits(boxes, areas)
    numbers: NDArray[np.int64] = np.array([0, *digit_of], dtype=np.int64)[pieces]
    return numbers


def _assign_digits(boxes: list[_Box], areas: list[int]) -> list[int]:
    """Return the number of the digit, from 1, that each piece belongs to."""
    highest = max(box.height for box in boxes)
    tall = [i for i, box in enumerate(boxes) if _BODY_HEIGHT * box.height >= highest]
    largest = max(areas[i] for i in tall)
    bodies = [i for i in tall if _BODY_AREA * areas[i] >= largest]
    bodies.sort(key=lambda i: boxes[i].left + boxes[i].right)
    digits: list[_Box] = []
    digit_of = [0] * len(boxes)
    for n, i in enumerate(bodies):
        if n == 0 or _stand_side_by_side(boxes[bodies[n - 1]], boxes[i]):
            digits.append(boxes[i])
        else:
            digits[-1] = digits[-1].join(boxes[i])
        digit_of[i] = len(digits)
    left = np.array([digit.left for digit in digits])
    right = np.array([digit.right for digit in digits])
    for i, box in enumerate(boxes):
        if not digit_of[i]:
            shared_columns = np.minimum(right, box.right) - np.maximum(left, box.left)
            digit_of[i] = 1 + int(shared_columns.argmax())  # the first of equal ones
    return digit_of


def _stand_side_by_side(a: _Box, b: _Box) -> bool:
    return _BESIDE * a.shared_columns(b) <= min(a.width, b.width) and _LEVEL * a.shared_rows(
        b
    ) >= min(a.height, b.height)
