"""Put a digit into MNIST's frame.

The longer side becomes 20 pixels, and the center of mass the middle of 28x28.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netlet.data.scribble import BOX, SIZE
from netlet.errors import DataError
from netlet.text import format_shape


def prepare_digit(ink: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale and center ink the way MNIST was prepared (LeCun et al. 1998, LeCun's page on MNIST).

    All arithmetic uses whole numbers, none above 2**53 for fewer than 2**35 pixels, so that every
    order of summation and every language with 64-bit floats gives the same result. ``a // b`` is
    the floor of the quotient.

    1. Levels are rounded, ``floor(level + 0.5)``, and clamped to 0..255.
    2. The image is cropped to the bounding box of all levels above 0: ``h`` rows, ``w`` columns.
    3. The longer side becomes 20 px, the other ``max(1, (40 * shorter + longer) // (2 * longer))``,
       the nearest whole number, with halves rounded up.
    4. Area averaging along rows and columns: when ``n`` pixels become ``m``, the weight of old
       pixel ``j`` in new pixel ``i`` is their overlap
       ``max(0, min((i + 1) * n, (j + 1) * m) - max(i * n, j * m))`` in units of ``1 / m`` px. The
       sums are not divided, since the next step divides by the brightest.
    5. ``level = (510 * sum + brightest) // (2 * brightest)``: the brightest sum becomes 255, the
       others are rounded, halves up.
    6. With ``mass`` the sum of all levels and ``moment`` the sum of level times row (or column) in
       the box, the box starts at row (column) ``(29 * mass - 2 * moment) // (2 * mass)``. This puts
       the center of mass less than half a pixel from pixel 14, or exactly half a pixel beyond it.
       The start is then clamped to ``0..28 - side``, so that nothing is cut off.

    Args:
        ink: The drawing ``H W``, from 0 (background) to 255 (ink), of any number type.

    Returns:
        uint8 ``28 28``, light on dark.

    Raises:
        DataError: The ink is not ``H W``, or no level is above 0.
    """
    if ink.ndim != 2:
        raise DataError(
            f"expected ink of shape H W, found {format_shape(ink.shape)}; pass one gray image"
        )
    levels = np.floor(ink.astype(np.float64) + 0.5).clip(0, 255).astype(np.int64)
    rows, columns = (np.flatnonzero(levels.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise DataError("blank: no level of the ink is above 0; draw a digit")
    box = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    longer = max(box.shape)
    h, w = (max(1, (2 * BOX * side + longer) // (2 * longer)) for side in box.shape)
    rows_of, columns_of = overlap_weights(box.shape[0], h), overlap_weights(box.shape[1], w)
    sums = rows_of @ box.astype(np.float64) @ columns_of.T
    sums = sums.astype(np.int64)
    brightest = sums.max()
    small = (510 * sums + brightest) // (2 * brightest)
    top, left = _box_start(small.sum(axis=1)), _box_start(small.sum(axis=0))
    frame = np.zeros((SIZE, SIZE), dtype=np.uint8)
    frame[top : top + h, left : left + w] = small
    return frame


def overlap_weights(n: int, m: int) -> NDArray[np.float64]:
    """Return the overlaps of ``m`` new pixels with ``n`` old ones.

    Args:
        n: The number of old pixels.
        m: The number of new pixels.

    Returns:
        ``m n``, whole numbers in units of ``1 / m`` px.
    """
    new, old = np.arange(m)[:, None], np.arange(n)[None, :]
    overlap = np.minimum((new + 1) * n, (old + 1) * m) - np.maximum(new * n, old * m)
    return overlap.clip(min=0).astype(np.float64)


def _box_start(masses: NDArray[np.int64]) -> int:
    """Return the first row (or column) of a box whose rows (or columns) have these masses."""
    mass, moment = int(masses.sum()), int((masses * np.arange(len(masses))).sum())
    return min(max((29 * mass - 2 * moment) // (2 * mass), 0), SIZE - len(masses))
