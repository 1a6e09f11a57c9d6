"""Putting a digit into MNIST's frame: the longer side 20 pixels, the center of mass in the middle of 28x28."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netlet.data.scribble import BOX, SIZE
from netlet.errors import DataError


def prepare_digit(ink: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Ink as MNIST's makers prepared theirs (LeCun et al. 1998, LeCun's page on MNIST).

    All of it is done in whole numbers, none above 2**53 for fewer than 2**35 pixels: no order of
    summing, no language with 64-bit floats gives anything else. ``a // b`` is the floor of the
    quotient.

    1. Levels are rounded, ``floor(level + 0.5)``, and clamped to 0..255.
    2. The image is cut to the box of all levels above 0: ``h`` rows, ``w`` columns.
    3. The longer side becomes 20 px, the other ``max(1, (40 * shorter + longer) // (2 * longer))``:
    the nearest whole
       number, halves upwards.
    4. Area averaging, rows and columns alike: of ``n`` pixels to ``m``, pixel ``j`` counts for the
    new pixel ``i`` by
       ``max(0, min((i + 1) * n, (j + 1) * m) - max(i * n, j * m))``, by how much they overlap in
       units of ``1 / m`` px. What is summed is not divided, since the next step divides by the
       brightest.
    5. ``level = (510 * sum + brightest) // (2 * brightest)``: the brightest sum becomes 255, the
    others are rounded,
       halves upwards.
    6. With ``mass`` the sum of all levels and ``moment`` that of level times row (or column) in the
    box, the box begins
       at row (column) ``(29 * mass - 2 * moment) // (2 * mass)``: the center of mass comes to pixel
       14, nearer than half a pixel or just half a pixel beyond; then the beginning is clamped to
       ``0..28 - side``, so that nothing is cut off.

    Args:
        ink: ``H W``, 0 background to 255 ink, any number type.

    Returns:
        uint8 ``28 28``, light on dark.

    Raises:
        DataError: It is not ``H W``, or nothing in it is above 0.
    """
    if ink.ndim != 2:
        raise DataError(
            f"expected ink of H W, found {'x'.join(map(str, ink.shape))}; give one gray image"
        )
    levels = np.floor(ink.astype(np.float64) + 0.5).clip(0, 255).astype(np.int64)
    rows, columns = (np.flatnonzero(levels.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise DataError("blank: no level of the ink is above 0; draw something")
    box = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    longer = max(box.shape)
    h, w = (max(1, (2 * BOX * side + longer) // (2 * longer)) for side in box.shape)
    sums = _overlaps(box.shape[0], h) @ box.astype(np.float64) @ _overlaps(box.shape[1], w).T
    sums = sums.astype(np.int64)
    brightest = sums.max()
    small = (510 * sums + brightest) // (2 * brightest)
    top, left = _beginning(small.sum(axis=1)), _beginning(small.sum(axis=0))
    frame = np.zeros((SIZE, SIZE), dtype=np.uint8)
    frame[top : top + h, left : left + w] = small
    return frame


def _overlaps(n: int, m: int) -> NDArray[np.float64]:
    """``m n``: of each new pixel with each old one, in units of ``1 / m`` px; whole numbers."""
    new, old = np.arange(m)[:, None], np.arange(n)[None, :]
    overlap = np.minimum((new + 1) * n, (old + 1) * m) - np.maximum(new * n, old * m)
    return overlap.clip(min=0).astype(np.float64)


def _beginning(masses: NDArray[np.int64]) -> int:
    """Where a box begins whose rows (or columns) have these masses."""
    mass, moment = int(masses.sum()), int((masses * np.arange(len(masses))).sum())
    return min(max((29 * mass - 2 * moment) // (2 * mass), 0), SIZE - len(masses))
