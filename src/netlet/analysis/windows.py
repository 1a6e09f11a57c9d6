"""Windows over a feature map: those of convolutions, poolings and dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from netlet.analysis import fields
from netlet.analysis.axis import Axis, Mask
from netlet.analysis.fields import Field

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """A convolution, pooling or dense layer as a window that slides over a feature map.

    Sizes have one number for each axis; ``before`` and ``after`` are the receptive fields of input
    and output.
    """

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    n_in: Sizes
    n_out: Sizes
    before: Field
    after: Field


@dataclass(frozen=True)
class Sliding:
    """Sizes of a window, one number for each axis."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes


def slide_over_map(sliding: Sliding, field: Field, shape: Sizes, output: Sizes) -> Window:
    """Return a window that slides over the last dimensions of a map.

    Args:
        sliding: Its sizes.
        field: The map's receptive field.
        shape: The map's shape.
        output: Shape of what the window makes of it.
    """
    rank = len(sliding.kernel)
    n_in, n_out = shape[-rank:], output[-rank:]
    return Window(
        sliding.kernel,
        sliding.stride,
        sliding.padding,
        sliding.dilation,
        n_in,
        n_out,
        field,
        field and tuple(_slide(sliding, axis, n_out) for axis in field),
    )


def slide_transposed(sliding: Sliding, field: Field, shape: Sizes, output: Sizes) -> Window:
    """Return the window of a transposed convolution, which slides over what it makes of the map.

    Args:
        sliding: Its sizes.
        field: The map's receptive field.
        shape: The map's shape.
        output: Shape of what the window makes of it.
    """
    k, s, p, d = sliding.kernel, sliding.stride, sliding.padding, sliding.dilation
    rank = len(k)
    n_in, n_out = shape[-rank:], output[-rank:]
    after = field
    for at in range(rank):
        mask = transposed_mask(k[at], s[at], p[at], d[at], n_in[at], n_out[at])
        after = fields.mix(after, len(shape) - rank + at, mask, Fraction(1, s[at]))
    return Window(k, s, p, d, n_in, n_out, field, after)


def _slide(sliding: Sliding, axis: Axis, n_out: Sizes) -> Axis:
    rank = len(n_out)
    for at in range(rank):
        k, s = sliding.kernel[at], sliding.stride[at]
        p, d = sliding.padding[at], sliding.dilation[at]
        axis = axis.slide_window(axis.first.ndim - rank + at, k, s, p, d, n_out[at])
    return axis


def include_padding(window: Window, sizes: Sequence[int]) -> Window:
    """Return the window of a layer that pads its map itself and then slides without padding.

    So do layers with another ``padding_mode`` than ``"zeros"``. The window stays as it is if both
    sides of an axis have different padding, for which it has no number.

    Args:
        window: The window on the padded map.
        sizes: The padding as for ``F.pad``: two numbers for each axis, the last one first.
    """
    before, after = tuple(sizes[::2][::-1]), tuple(sizes[1::2][::-1])
    if before != after or len(before) != len(window.n_in) or any(window.padding):
        return window
    n_in = tuple(n - 2 * p for n, p in zip(window.n_in, before, strict=True))
    return replace(window, n_in=n_in, padding=before)


def cover_map(field: Field, dims: Sequence[int], shape: Sizes, *, keepdim: bool) -> Window | None:
    """Return the window of a reduction over all axes of the image, or None for other reductions.

    Such a reduction is a pooling with a window as large as the map.

    Args:
        field: The map's receptive field.
        dims: Those that are reduced.
        shape: The map's shape.
        keepdim: Whether they stay, with size 1.
    """
    axes_of_image = list(range(2, len(shape)))
    if not axes_of_image or field is None or list(dims) != axes_of_image:
        return None
    if axes_of_image != [axis.dim for axis in field]:
        return None
    sizes = shape[2:]
    ones = (1,) * len(sizes)
    zeros = (0,) * len(sizes)
    axes = tuple(_slide(Sliding(sizes, sizes, zeros, ones), axis, ones) for axis in field)
    after = axes if keepdim else fields.remove_dims(axes, axes_of_image)
    return Window(sizes, sizes, zeros, ones, sizes, ones, field, after)


def cover_vector(field: Field, dim: int, after: Field, in_map: Field) -> Window | None:
    """Return the window of a dense layer, which covers its whole input.

    None if the field of its input is unknown, or if that is taken from maps of different sizes.

    Args:
        field: The field of its input.
        dim: The dimension of its features.
        after: The field of its output.
        in_map: Position and map size of each element of its input, along each axis of the image;
            None if it is not taken from known maps.
    """
    if field is None or after is None:
        return None
    if in_map is None:
        n = tuple(_count_positions(*axes, dim) for axes in zip(field, after, strict=True))
    elif any((axis.last != axis.last.take([0], dim)).any() for axis in in_map):
        return None
    else:
        n = tuple(axis.count_intervals(dim) for axis in in_map)
    ones = (1,) * len(n)
    return Window(n, n, (0,) * len(n), ones, n, ones, field, after)


def _count_positions(axis: Axis, covered: Axis, dim: int) -> int:
    """Return how many positions the features of a dense layer come from.

    Args:
        axis: The field of the features.
        covered: The field of the output, which covers them all.
        dim: The dimension of the features.
    """
    if axis.dim == dim:
        return axis.length
    intervals = axis.count_intervals(dim)
    if not axis.jump:
        return intervals
    # Features of branches with different fields have several intervals at one position.
    steps = (covered.extent - axis.extent) / axis.jump
    return min(intervals, int(steps) + 1) if steps.denominator == 1 and steps >= 0 else intervals


def transposed_mask(
    kernel: int, stride: int, padding: int, dilation: int, n: int, length: int
) -> Mask:
    """Return which elements each output of a transposed convolution is computed from.

    Args:
        kernel: Size of its window.
        stride: From one input element to the next, in output elements.
        padding: Output elements that are cut off at each end.
        dilation: From one element of the window to the next.
        n: Number of input elements.
        length: Number of output elements.

    Returns:
        A mask of input elements (rows) and output elements (columns).
    """
    distance = np.arange(length) + padding - stride * np.arange(n)[:, None]
    mask: Mask = (distance % dilation == 0) & (distance >= 0) & (distance < kernel * dilation)
    return mask


def adaptive_mask(n: int, length: int) -> Mask:
    """Return which of ``n`` elements each output of an adaptive pooling is computed from."""
    starts = np.arange(length) * n // length
    ends = -(-(np.arange(length) + 1) * n // length)
    places = np.arange(n)[:, None]
    return (starts <= places) & (places < ends)
