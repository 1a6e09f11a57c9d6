"""Transposed convolutions, as layers of an inference graph; and the sizes of convolutions.

A transposed convolution with stride ``s`` is an ordinary one with ``s * s`` times the channels, one
for each place in the square of pixels that an input pixel becomes, and a pixel shuffle. So
no product is with one of the zeros that are usually put between the pixels. After Shi et al. 2016,
"Is the deconvolution layer the same as a convolutional layer?".
"""

from __future__ import annotations

import numpy as np

from netlet.export.inference_graph import Convolution as ConvolutionLayer
from netlet.export.inference_graph import Floats
from netlet.export.lowering import Builder, Value, map_shape, to_float64
from netlet.graph import Node, Weight
from netlet.graph.operations import Convolution, Sizes


def two(sizes: Sizes, missing: int) -> tuple[int, int]:
    """Return numbers for rows and columns; in one dimension, the elements are rows."""
    rows, columns = (*sizes, missing)[:2]
    return rows, columns


def kernel_of(operation: Convolution) -> Floats:
    """Return the weights with two dimensions of places."""
    weight = to_float64(operation.weight.tensor)
    return weight if weight.ndim == 4 else weight[..., None]


def bias_of(bias: Weight | None, channels: int) -> Floats:
    """Return a bias for each channel; 0 if there is none."""
    return np.zeros(channels) if bias is None else to_float64(bias.tensor.expand(channels))


def add_transposed(builder: Builder, node: Node, operation: Convolution) -> Value:
    """Add a transposed convolution.

    Args:
        builder: The graph so far.
        node: That of the convolution.
        operation: The convolution; its weight is ``I O/groups K...``.
    """
    value, groups = builder.map(), operation.groups
    weight = _dilate(kernel_of(operation), two(operation.dilation, 1))
    strides, padding = two(operation.stride, 1), two(operation.padding, 0)
    _, *before = builder.shape_of(value)
    _, *after = map_shape(node.shape)
    # Taps for the whole kernel, and for the last output, which may lie beyond the last input.
    last = [(p + n - 1) // s for p, n, s in zip(padding, after, strides, strict=True)]
    taps = [
        max(-(-weight.shape[2 + i] // strides[i]), last[i] + 2 - n) for i, n in enumerate(before)
    ]
    channels, phases = weight.shape[1] * groups, strides[0] * strides[1]
    shape = (channels * phases, before[0] + taps[0] - 1, before[1] + taps[1] - 1)
    added = builder.add(
        ConvolutionLayer(
            node.name,
            (value.number,),
            shape,
            _by_phase(weight, groups, taps, strides),
            np.repeat(bias_of(operation.bias, channels), phases),
            padding=(taps[0] - 1, taps[1] - 1, taps[0] - 1, taps[1] - 1),
            groups=groups,
        )
    )
    places = np.arange(np.prod(shape)).reshape(channels, *strides, *shape[1:])
    rows, columns = (n * s for n, s in zip(shape[1:], strides, strict=True))
    shuffled = places.transpose(0, 3, 1, 4, 2).reshape(channels, rows, columns)
    cut = shuffled[:, padding[0] :, padding[1] :][:, : after[0], : after[1]]
    return Value(builder.rearranged(added, cut).number, node.shape)


def _dilate(weight: Floats, dilation: tuple[int, int]) -> Floats:
    """Return a kernel with zeros between its elements."""
    window = [(n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilation, strict=True)]
    wide = np.zeros((*weight.shape[:2], *window))
    wide[:, :, :: dilation[0], :: dilation[1]] = weight
    return wide


def _by_phase(weight: Floats, groups: int, taps: list[int], strides: tuple[int, int]) -> Floats:
    """Return the kernel ``O*s*s I/groups K K`` of the convolution before the pixel shuffle.

    Element ``s*j + phase`` of the kernel multiplies the input ``j`` pixels before the one in whose
    square the output lies.
    """
    inputs, per_group, *window = weight.shape
    full = np.zeros((inputs, per_group, taps[0] * strides[0], taps[1] * strides[1]))
    full[:, :, : window[0], : window[1]] = weight
    parts = (inputs // groups, per_group, taps[0], strides[0], taps[1], strides[1])
    split = full.reshape(groups, *parts)
    # Outputs and their phases, then inputs and taps: a cross-correlation has the last tap first.
    kernel = split.transpose(0, 2, 4, 6, 1, 3, 5)[..., ::-1, ::-1]
    outputs = groups * per_group * strides[0] * strides[1]
    return kernel.reshape(outputs, inputs // groups, *taps)
