"""NumPy reference of the int8 arithmetic: an int8 export reproduces it bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.export.inference_graph import (
    Activation,
    Concatenation,
    Convolution,
    Layer,
    Padding,
    Pooling,
    Product,
    Sum,
)
from netlet.export.map_layers import (
    ChannelSlope,
    Constant,
    Normalization,
    Rearrangement,
    Resampling,
)
from netlet.export.quantize import QuantizedGraph, QuantizedLayer
from netlet.export.quantize_weights import QuantParams
from netlet.export.verification import LogitsFunction

Integers = NDArray[np.int64]
_IMAGES_AT_ONCE = 100


def compute_logits(quantized: QuantizedGraph, images: NDArray[np.uint8]) -> Integers:
    """Run a quantized graph.

    Args:
        quantized: The graph.
        images: ``N C H W``.

    Returns:
        Integer logits ``N K``; times ``quantized.logit_scale`` they are real ones.
    """
    batches = [
        images[start : start + _IMAGES_AT_ONCE] for start in range(0, len(images), _IMAGES_AT_ONCE)
    ]
    zero_point = quantized.params[-1].zero_point
    return np.concatenate(
        [
            compute_maps(quantized, batch)[-1].reshape(len(batch), -1) - zero_point
            for batch in batches
        ]
    )


def numpy_predictor(quantized: QuantizedGraph) -> LogitsFunction:
    """Return a function that runs a quantized graph: images uint8 ``N C H W`` to logits ``N K``."""

    def predict(images: torch.Tensor) -> torch.Tensor:
        logits = compute_logits(quantized, images.numpy())
        return torch.from_numpy(logits * quantized.logit_scale)

    return predict


def compute_maps(quantized: QuantizedGraph, images: NDArray[np.uint8]) -> list[Integers]:
    """Return all feature maps of a quantized graph, ``N C H W`` each, the images first."""
    maps: list[Integers] = [images.astype(np.int64)]
    for number, (layer, integers) in enumerate(
        zip(quantized.graph.layers, quantized.layers, strict=True), start=1
    ):
        params = [quantized.params[read] for read in layer.inputs]
        if isinstance(layer, Constant):
            assert integers.table is not None
            values = integers.table.astype(np.int64).reshape(layer.shape)
            maps.append(np.broadcast_to(values, (len(images), *layer.shape)))
            continue
        output = _run_layer(layer, integers, [maps[read] for read in layer.inputs], params)
        if not integers.int32_output and integers.table is None:
            # A convolution has added the zero point of its output already, with its bias.
            added = isinstance(layer, Convolution)
            zero_point = 0 if added else quantized.params[number].zero_point
            output = np.clip(output + zero_point, integers.low, integers.high)
        maps.append(output)
    return maps


def _run_layer(
    layer: Layer, integers: QuantizedLayer, inputs: list[Integers], params: list[QuantParams]
) -> Integers:
    """Run a layer up to, but without, adding the output's zero point and clamping.

    A convolution has the zero point in its bias; a lookup table includes both.
    """
    x = inputs[0]
    if isinstance(layer, Convolution):
        return _run_convolution(layer, integers, _pad(x, layer.padding, params[0].zero_point))
    if isinstance(layer, Pooling):
        return _run_pooling(layer, integers, x, params[0].zero_point)
    if isinstance(layer, Activation):
        assert integers.table is not None
        return integers.table[x].astype(np.int64)
    if isinstance(layer, Rearrangement | Resampling | Normalization | ChannelSlope):
        return _run_map_layer(layer, integers, x, params[0].zero_point)
    assert integers.multipliers is not None
    centered = [values - p.zero_point for values, p in zip(inputs, params, strict=True)]
    if isinstance(layer, Sum):
        one, other = map(int, integers.multipliers.values)
        return _shift(centered[0] * one + centered[1] * other, integers.multipliers.shift)
    if isinstance(layer, Product):
        return _rescale(centered[0] * centered[1], integers, 0)
    assert isinstance(layer, Concatenation)
    return np.concatenate([_rescale(values, integers, i) for i, values in enumerate(centered)], 1)


def _run_map_layer(
    layer: Layer, integers: QuantizedLayer, x: Integers, zero_point: int
) -> Integers:
    if isinstance(layer, Rearrangement):
        _, c, h, w = x.shape
        places = layer.places((c, h, w))
        chosen: Integers = np.where(places < 0, integers.fill, x.reshape(len(x), -1)[:, places])
        return chosen - zero_point
    if isinstance(layer, Normalization):
        return _normalize(layer, integers, x - zero_point)
    assert integers.multipliers is not None
    multipliers, shift = integers.multipliers.values.astype(np.int64), integers.multipliers.shift
    if isinstance(layer, ChannelSlope):
        slopes = multipliers[1:].reshape(-1, 1, 1)
        centered = x - zero_point
        return _shift(centered * np.where(centered < 0, slopes, multipliers[0]), shift)
    assert integers.taps is not None
    down, across = (taps.astype(np.int64) for taps in integers.taps)
    return _shift((down @ (x - zero_point) @ across.T) * multipliers[0], shift)


def _normalize(layer: Normalization, integers: QuantizedLayer, q: Integers) -> Integers:
    norm = integers.norm
    assert norm is not None
    grouped = q.reshape(len(q), layer.groups, -1, *q.shape[2:])
    axes = (2,) if layer.per_pixel else (2, 3, 4)
    sums = grouped.sum(axes, keepdims=True)
    squares = (grouped**2).sum(axes, keepdims=True)
    variance = norm.count * squares - sums**2 + norm.eps
    root = _root(variance << (2 * norm.bits))
    multiplier = (norm.numerator + root // 2) // root
    found = _shift((norm.count * grouped - sums) * multiplier, norm.shift)
    return found.reshape(q.shape)


def _root(x: Integers) -> Integers:
    """Return the largest integers whose squares are no larger than some integers below 2**62."""
    root: Integers = np.sqrt(x.astype(np.float64)).astype(np.int64)
    root -= root * root > x
    root += (root + 1) ** 2 <= x
    return root


def _run_convolution(layer: Convolution, integers: QuantizedLayer, x: Integers) -> Integers:
    assert integers.weight is not None
    assert integers.bias is not None
    assert integers.multipliers is not None
    sums = _convolve(layer, integers.weight, x) + integers.bias.reshape(-1, 1, 1)
    multipliers = integers.multipliers.values.astype(np.int64).reshape(-1, 1, 1)
    shift = integers.multipliers.shift
    if integers.int32_output:
        return _shift(sums * multipliers, shift)
    if integers.offsets is not None:
        assert 0 <= sums.min() <= sums.max() < 2**16
        narrow: Integers = (sums * multipliers >> 16) + integers.offsets.reshape(-1, 1, 1)
        return narrow
    rescaled: Integers = np.clip(sums >> shift, 0, 2**15 - 1) * multipliers >> 16
    return rescaled


def _run_pooling(
    layer: Pooling, integers: QuantizedLayer, x: Integers, zero_point: int
) -> Integers:
    if layer.mode == "max":
        largest: Integers = _windows(layer, _pad(x, layer.padding, 0)).max((4, 5))
        return largest - zero_point
    total: Integers = _windows(layer, _pad(x - zero_point, layer.padding, 0)).sum((4, 5))
    if integers.int32_output:
        return total
    ones = _pad(np.ones_like(x[:1, :1]), layer.padding, int(layer.count_include_pad))
    counts: Integers = _windows(layer, ones).sum((4, 5))
    assert integers.multipliers is not None
    divisor: Integers = counts << integers.multipliers.shift
    mean: Integers = (total * int(integers.multipliers.values[0]) + divisor // 2) // divisor
    return mean


def _rescale(values: Integers, integers: QuantizedLayer, index: int) -> Integers:
    assert integers.multipliers is not None
    return _shift(values * int(integers.multipliers.values[index]), integers.multipliers.shift)


def _shift(product: Integers, shift: int) -> Integers:
    return (product + (1 << (shift - 1))) >> shift


def _convolve(layer: Convolution, weight: NDArray[np.int8], x: Integers) -> Integers:
    (kh, kw), (dh, dw), (sh, sw) = layer.window, layer.dilation, layer.stride
    windows = np.lib.stride_tricks.sliding_window_view(
        x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), (2, 3)
    )
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    # In float64, which NumPy multiplies much faster; exact, since all sums stay below 2**53.
    groups = [
        np.tensordot(
            group_windows.astype(np.float64),
            group_weight.astype(np.float64),
            ([1, 4, 5], [1, 2, 3]),
        )
        for group_windows, group_weight in zip(
            np.split(windows, layer.groups, 1), np.split(weight, layer.groups), strict=True
        )
    ]
    return np.concatenate(groups, 3).transpose(0, 3, 1, 2).astype(np.int64)


def _windows(layer: Pooling, x: Integers) -> Integers:
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.window, (2, 3))
    return windows[:, :, :: layer.stride[0], :: layer.stride[1]]


def _pad(x: Integers, padding: Padding, value: int) -> Integers:
    h, w = x.shape[2:]
    cut = [max(0, -n) for n in padding]  # negative padding leaves out rows and columns
    x = x[:, :, cut[0] : h - cut[2], cut[1] : w - cut[3]]
    top, left, bottom, right = (max(0, n) for n in padding)
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
