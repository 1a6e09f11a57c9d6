"""Layers of an inference graph that move, resample or normalize the elements of feature maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netlet.export.inference_graph import Floats, Layer, Shape

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Rearrangement(Layer):
    """Elements of a feature map in other places: a slice, a permutation, mirrored borders.

    Where an element comes from is the sum of three offsets: one for its row, one for its column and
    one for its channel. The sum counts the elements of the input row by row, with the channels of a
    pixel beside each other (``H W C``). Where one of the three is -1, the element is a constant.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    channels: tuple[int, ...]
    fill: float = 0.0  # the constant

    @property
    def offsets(self) -> Places:
        """Where each element comes from, counted as ``H W C``; ``C H W``, -1 for a constant."""
        c, h, w = (np.array(n, np.int64) for n in (self.channels, self.rows, self.columns))
        known = (c >= 0)[:, None, None] & (h >= 0)[:, None] & (w >= 0)
        return np.where(known, c[:, None, None] + h[:, None] + w, -1)

    def places(self, shape: Shape) -> Places:
        """Return where each element comes from, counted as ``C H W``; -1 for a constant.

        Args:
            shape: That of the input.
        """
        c, h, w = shape
        offsets = self.offsets
        return np.where(offsets < 0, -1, offsets % c * (h * w) + offsets // c)

    @property
    def has_constants(self) -> bool:
        """Whether some elements are constants."""
        return min((*self.rows, *self.columns, *self.channels)) < 0

    def is_copy(self, shape: Shape) -> bool:
        """Return whether all elements keep their order as ``H W C``.

        Args:
            shape: That of the input.
        """
        order = self.offsets.transpose(1, 2, 0).reshape(-1)
        return order.size == np.prod(shape) and bool((order == np.arange(order.size)).all())


@dataclass(frozen=True)
class Constant(Layer):
    """A feature map that is the same for every image; it reads none."""

    values: Floats  # C H W

    @property
    def weights(self) -> int:
        """The number of its elements."""
        return int(self.values.size)


@dataclass(frozen=True)
class Resampling(Layer):
    """Weighted means of rows and columns: ``down @ x @ across.T`` for each channel.

    Bilinear and bicubic interpolation, and mean pooling with windows of several sizes.
    """

    down: Floats  # rows of the output x rows of the input
    across: Floats  # columns of the output x columns of the input


@dataclass(frozen=True)
class Normalization(Layer):
    """Groups of channels, each minus its mean and divided by its standard deviation.

    The mean and the (biased) variance are those of each image by itself. Scale and shift are layers
    of their own.
    """

    groups: int  # of neighboring channels
    per_pixel: bool  # whether each pixel has its own statistics, or all share those of the map
    eps: float  # added to the variance


@dataclass(frozen=True)
class ChannelSlope(Layer):
    """A leaky ReLU with a slope for each channel: PReLU."""

    slopes: Floats  # C

    @property
    def kind(self) -> str:
        """``prelu``."""
        return "prelu"

    @property
    def weights(self) -> int:
        """The number of slopes."""
        return int(self.slopes.size)


def find_offsets(
    places: Places, shape: Shape
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """Return the offsets of a :class:`Rearrangement`, for rows, columns and channels.

    Args:
        places: Where each element comes from, counted as ``C H W`` of the input; -1 for a constant.
            ``C H W`` of the output.
        shape: That of the input.

    Returns:
        None if the places are not sums of three such numbers.
    """
    c, h, w = shape
    known: NDArray[np.bool_] = places >= 0
    by_axis: list[NDArray[np.bool_]] = [
        np.asarray(known.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))
    ]
    expected = by_axis[0][:, None, None] & by_axis[1][:, None] & by_axis[2]
    if not np.array_equal(known, expected):
        return None
    memory = places % (h * w) * c + places // (h * w)
    at = [int(np.argmax(some)) for some in by_axis]
    anchor = memory[at[0], at[1], at[2]]
    offsets = [memory[:, at[1], at[2]], memory[at[0], :, at[2]], memory[at[0], at[1], :]]
    offsets[1:] = [numbers - anchor for numbers in offsets[1:]]
    for axis in (1, 2):
        lowest = offsets[axis][by_axis[axis]].min(initial=0)
        offsets[axis] = offsets[axis] - lowest
        offsets[0] = offsets[0] + lowest
    sums = offsets[0][:, None, None] + offsets[1][:, None] + offsets[2]
    if not np.array_equal(sums[known], memory[known]):
        return None
    channels, rows, columns = (
        tuple(int(n) for n in np.where(some, numbers, -1))
        for some, numbers in zip(by_axis, offsets, strict=True)
    )
    return rows, columns, channels
