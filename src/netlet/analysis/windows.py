"""Windows that slide over a feature map: those of convolutions, poolings and dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netlet.analysis import fields
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
    after: Field = None
    if field is not None:
        axes = []
        for axis in field:
            at = None if axis.dim is None else axis.dim - (len(shape) - rank)
            if at is None:
                axes.append(axis)
            elif at < 0 or axis.merged:
                break
            else:
                k, s = sliding.kernel[at], sliding.stride[at]
                p, d = sliding.padding[at], sliding.dilation[at]
                axes.append(axis.slide_window(k, s, p, d, n_out[at]))
        after = tuple(axes) if len(axes) == len(field) else None
    return Window(
        sliding.kernel,
        sliding.stride,
        sliding.padding,
        sliding.dilation,
        n_in,
        n_out,
        field,
        after,
    )


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
    axes = tuple(axis.slide_window(n, n, 0, 1, 1) for axis, n in zip(field, sizes, strict=True))
    after = axes if keepdim else fields.collapse(axes)
    return Window(sizes, sizes, (0,) * len(sizes), ones, sizes, ones, field, after)


def cover_vector(field: Field, dim: int, after: Field) -> Window | None:
    """Return the window of a dense layer, which covers its whole input.

    Args:
        field: Of its input; the window is None if it is unknown.
        dim: The dimension of its features.
        after: The field of its output.
    """
    if field is None:
        return None
    n = tuple(axis.length if axis.dim == dim else 1 for axis in field)
    ones = (1,) * len(n)
    return Window(n, n, (0,) * len(n), ones, n, ones, field, after)
