"""Running a graph in integers by NumPy: what an export in integers must give, to the bit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.export.agreement import Answers
from netlet.export.graph import (
    Activation,
    Concatenation,
    Convolution,
    Layer,
    Padding,
    Pooling,
    Product,
    Sum,
)
from netlet.export.quantize import Grid, Numbers, Quantized

Integers = NDArray[np.int64]
_IMAGES_AT_ONCE = 100


def logits(quantized: Quantized, images: NDArray[np.uint8]) -> Integers:
    """What a graph in integers gives.

    Args:
        quantized: Any.
        images: ``N C H W``.

    Returns:
        ``N K``; a real logit is one of them times ``quantized.logit_scale``.
    """
    chunks = [
        images[start : start + _IMAGES_AT_ONCE] for start in range(0, len(images), _IMAGES_AT_ONCE)
    ]
    last = quantized.grids[-1].zero
    return np.concatenate(
        [maps(quantized, chunk)[-1].reshape(len(chunk), -1) - last for chunk in chunks]
    )


def by_numpy(quantized: Quantized) -> Answers:
    """A graph in integers as something that answers: images uint8 ``N C H W`` to logits ``N K``."""

    def answer(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(logits(quantized, images.numpy()) * quantized.logit_scale)

    return answer


def maps(quantized: Quantized, images: NDArray[np.uint8]) -> list[Integers]:
    """All maps of a graph in integers, the images first: ``N C H W`` each."""
    found: list[Integers] = [images.astype(np.int64)]
    for at, (layer, numbers) in enumerate(
        zip(quantized.graph.layers, quantized.numbers, strict=True)
    ):
        grids = [quantized.grids[number] for number in layer.inputs]
        given = _given(layer, numbers, [found[number] for number in layer.inputs], grids)
        if not numbers.wide and numbers.table is None:
            given = np.clip(given + quantized.grids[at + 1].zero, numbers.low, numbers.high)
        found.append(given)
    return found


def _given(layer: Layer, numbers: Numbers, read: list[Integers], grids: list[Grid]) -> Integers:
    """Before the zero of the new map is added, and clamped; what is looked up has both in it."""
    x = read[0]
    if isinstance(layer, Convolution):
        assert numbers.weight is not None
        assert numbers.bias is not None
        sums = _convolved(layer, numbers.weight, _padded(x, layer.padding, grids[0].zero))
        assert numbers.factors is not None
        factors = numbers.factors.factors.astype(np.int64)
        return _shifted(
            (sums + numbers.bias.reshape(-1, 1, 1)) * factors.reshape(-1, 1, 1),
            numbers.factors.shift,
        )
    if isinstance(layer, Pooling):
        if layer.how == "max":
            largest: Integers = _seen(layer, _padded(x, layer.padding, 0)).max((4, 5))
            return largest - grids[0].zero
        total: Integers = _seen(layer, _padded(x - grids[0].zero, layer.padding, 0)).sum((4, 5))
        if numbers.wide:
            return total
        ones = _padded(np.ones_like(x[:1, :1]), layer.padding, int(layer.counts_padding))
        counted: Integers = _seen(layer, ones).sum((4, 5))
        assert numbers.factors is not None
        parts: Integers = counted << numbers.factors.shift
        mean: Integers = (total * int(numbers.factors.factors[0]) + parts // 2) // parts
        return mean
    less = [values - grid.zero for values, grid in zip(read, grids, strict=True)]
    if isinstance(layer, Sum):
        assert numbers.factors is not None
        one, other = map(int, numbers.factors.factors)
        return _shifted(less[0] * one + less[1] * other, numbers.factors.shift)
    if isinstance(layer, Product):
        return _rounded(less[0] * less[1], numbers, 0)
    if isinstance(layer, Concatenation):
        return np.concatenate([_rounded(values, numbers, at) for at, values in enumerate(less)], 1)
    assert isinstance(layer, Activation)
    assert numbers.table is not None
    return numbers.table[x].astype(np.int64)


def _rounded(values: Integers, numbers: Numbers, which: int) -> Integers:
    assert numbers.factors is not None
    return _shifted(values * int(numbers.factors.factors[which]), numbers.factors.shift)


def _shifted(product: Integers, shift: int) -> Integers:
    return (product + (1 << (shift - 1))) >> shift


def _convolved(layer: Convolution, weight: NDArray[np.int8], x: Integers) -> Integers:
    (kh, kw), (dh, dw), (sh, sw) = layer.window, layer.dilation, layer.stride
    windows = np.lib.stride_tricks.sliding_window_view(
        x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), (2, 3)
    )
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    # In floats, which NumPy multiplies much sooner: exact, since all sums stay below 2**53.
    parts = [
        np.tensordot(seen.astype(np.float64), of_group.astype(np.float64), ([1, 4, 5], [1, 2, 3]))
        for seen, of_group in zip(
            np.split(windows, layer.groups, 1), np.split(weight, layer.groups), strict=True
        )
    ]
    return np.concatenate(parts, 3).transpose(0, 3, 1, 2).astype(np.int64)


def _seen(layer: Pooling, x: Integers) -> Integers:
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.window, (2, 3))
    return windows[:, :, :: layer.stride[0], :: layer.stride[1]]


def _padded(x: Integers, padding: Padding, value: int) -> Integers:
    top, left, below, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, below), (left, right)), constant_values=value)
