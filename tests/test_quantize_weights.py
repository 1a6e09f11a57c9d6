"""The integers of convolutions: no sum overflows, and bytes are the rounded real numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netlet.export import int8_reference, reference
from netlet.export.inference_graph import Convolution, InferenceGraph
from netlet.export.quantize import quantize_graph
from netlet.export.quantize_weights import (
    ConvolutionIntegers,
    QuantParams,
    has_narrow_sums,
    limit_slopes,
    quantize_narrow,
    quantize_wide,
    widen_output,
)

READ = QuantParams(0.02, 3)
OUTPUTS = {
    "usual": QuantParams(0.03, 0),
    "signed": QuantParams(0.05, 120),
    "much finer than the sums": QuantParams(1e-6, 7),
    "much coarser than the sums": QuantParams(50.0, 255),
}


def layer_of(weight: NDArray[np.floating], bias: NDArray[np.floating]) -> Convolution:
    return Convolution("", (0,), (len(bias), 1, 1), weight, bias, groups=len(bias))


def depthwise(seed: int, window: tuple[int, int]) -> Convolution:
    """Return channels of very different sizes: one of zeros, one with a single large weight."""
    draw = np.random.default_rng(seed)
    weight = draw.normal(0, 1, (9, 1, *window)) * 10.0 ** draw.integers(-4, 2, (9, 1, 1, 1))
    weight[0] = 0
    weight[1] = 0
    weight[1, 0, 0, 0] = -3.0
    bias = draw.normal(0, 1, 9)
    bias[2], bias[3] = 1e4, -1e4
    return layer_of(weight.astype(np.float32), bias.astype(np.float32))


def dense(seed: int) -> Convolution:
    draw = np.random.default_rng(seed)
    weight = draw.normal(0, 0.2, (9, 13, 3, 3)) * 10.0 ** draw.integers(-3, 1, (9, 1, 1, 1))
    weight[0] = 0
    bias = draw.normal(0, 1, 9)
    bias[2], bias[3] = 1e3, -1e3
    return Convolution("", (0,), (9, 1, 1), weight.astype(np.float32), bias.astype(np.float32))


def inputs_of(layer: Convolution, integers: ConvolutionIntegers) -> NDArray[np.int64]:
    """Return inputs ``N x weights`` of every channel: random ones, and those of extreme sums."""
    weight = integers.weight.reshape(len(integers.weight), -1)
    random = np.random.default_rng(0).integers(0, 256, (len(weight), 200, weight.shape[1]))
    extremes = [np.where(weight > 0, 255, 0), np.where(weight < 0, 255, 0)]
    return np.concatenate([random, np.stack(extremes, 1)], 1)


def real_outputs(
    layer: Convolution, integers: ConvolutionIntegers, output: QuantParams, x: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what the rounded weights compute in real numbers, in units of the output."""
    factor = integers.multipliers.values / 2.0 ** (16 + integers.multipliers.shift)
    weight = integers.weight.reshape(len(integers.weight), 1, -1).astype(np.float64)
    sums = ((x - READ.zero_point) * weight).sum(2) * factor[:, None]
    return sums + layer.bias[:, None] / output.scale + output.zero_point


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
@pytest.mark.parametrize("window", [(3, 3), (1, 1), (4, 4)])
def test_narrow_sums_fit_16_bits_and_are_rounded(
    window: tuple[int, int], output: QuantParams
) -> None:
    for seed in range(5):
        layer = depthwise(seed, window)
        assert has_narrow_sums(layer)
        wide = widen_output(layer, READ, output)
        integers = quantize_narrow(layer, READ, wide)
        assert integers.offsets is not None
        x = inputs_of(layer, integers)
        weight = integers.weight.reshape(len(integers.weight), 1, -1).astype(np.int64)
        sums = (x * weight).sum(2) + integers.bias[:, None]
        assert sums.min() >= 0
        assert sums.max() < 2**16
        found = (sums * integers.multipliers.values[:, None] >> 16) + integers.offsets[:, None]
        assert np.abs(found).max() < 2**15
        expected = real_outputs(layer, integers, wide, x).clip(0, 255)
        # Half a unit, and what rounding the bias to an eighth of a unit or less adds.
        assert np.abs(found.clip(0, 255) - expected).max() <= 0.5 + 1 / 16 + 1e-9


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
def test_wide_sums_fit_32_bits_and_are_rounded(output: QuantParams) -> None:
    for seed in range(5):
        layer = dense(seed)
        wide = widen_output(layer, READ, output)
        integers = quantize_wide(layer, READ, wide)
        assert integers.offsets is None
        x = inputs_of(layer, integers)
        weight = integers.weight.reshape(len(integers.weight), 1, -1).astype(np.int64)
        sums = (x * weight).sum(2) + integers.bias[:, None]
        assert np.abs(sums).max() < 2**31
        shifted = np.clip(sums >> integers.multipliers.shift, 0, 2**15 - 1)
        found = shifted * integers.multipliers.values[:, None] >> 16
        assert found.max() < 2**15
        expected = real_outputs(layer, integers, wide, x).clip(0, 255)
        # Half a unit, and half of what the shift cuts off, at most an eighth of a unit.
        assert np.abs(found.clip(0, 255) - expected).max() <= 0.5 + 1 / 8 + 1e-9


def test_rounded_weights_of_a_depthwise_channel_keep_their_sum() -> None:
    layer = depthwise(1, (3, 3))
    integers = quantize_narrow(layer, READ, OUTPUTS["usual"])
    unit = integers.multipliers.values / 2.0**16 * OUTPUTS["usual"].scale / READ.scale
    exact = layer.weight.reshape(9, -1) / unit[:, None]
    rounded = integers.weight.reshape(9, -1).astype(np.int64)
    assert np.abs(exact.sum(1) - rounded.sum(1)).max() <= 0.5 + 1e-6
    assert np.abs(exact - rounded).max() < 1.0 + 1e-6
    assert (np.abs(rounded).sum(1) <= 254).all()


def test_large_windows_and_dense_convolutions_have_32_bit_sums() -> None:
    assert not has_narrow_sums(depthwise(0, (5, 5)))
    assert not has_narrow_sums(dense(0))


@pytest.mark.parametrize("make", [partial(depthwise, window=(3, 3)), dense])
def test_slopes_of_saturated_channels_alone_are_limited(make: Callable[[int], Convolution]) -> None:
    layer = dataclasses.replace(make(1), clamp=(-1.0, 1.0))
    weight = layer.weight.copy()
    weight[4:7] *= 1e4 / np.abs(weight[4:7]).max((1, 2, 3), keepdims=True)
    layer = dataclasses.replace(layer, weight=weight)
    output = QuantParams(2 / 255, 128)
    low, high = np.full(9, -1.0), np.full(9, 1.0)
    high[5] = 0.5  # not saturated: its values between the bounds would change
    low[6] = high[6] = -1.0
    found = limit_slopes(layer, READ, output, low, high)
    same = [0, 1, 5, 7, 8]
    assert (found.weight[same] == layer.weight[same]).all()
    assert (found.bias[same] == layer.bias[same]).all()
    for channel, middle in ((4, 0.0), (6, -1.0)):
        factor = found.weight[channel] / layer.weight[channel]
        assert factor.max() < 1e-2
        np.testing.assert_allclose(factor, factor.max(), rtol=1e-5)
        expected = (layer.bias[channel] - middle) * factor.max() + middle
        assert found.bias[channel] == pytest.approx(expected, rel=1e-5)
    others = np.full(9, 0.5)
    assert limit_slopes(layer, READ, output, -others, others) is layer
    one_sided = dataclasses.replace(layer, clamp=(0.0, float("inf")))
    assert limit_slopes(one_sided, READ, output, 0 * others, others) is one_sided


def digits_on_black(n: int = 60) -> torch.Tensor:
    """Return images ``N 1 8 8`` that are black but for their middle."""
    images = np.zeros((n, 1, 8, 8), np.uint8)
    images[:, :, 3:5, 3:5] = np.random.default_rng(0).integers(0, 256, (n, 1, 2, 2))
    return torch.from_numpy(images)


def steep_graph(bias: float, reads_others: bool = True) -> InferenceGraph:
    """Return a ReLU6 with a steep channel, of which ``bias`` is the value at black pixels."""
    draw = np.random.default_rng(1)
    weight = np.abs(draw.normal(0, 0.01, (8, 1, 3, 3))).astype(np.float32)
    weight[0] *= 600
    biases = np.zeros(8, np.float32)
    biases[0] = bias
    first = Convolution("first", (0,), (8, 6, 6), weight, biases, clamp=(0.0, 6.0))
    weight = draw.normal(0, 1, (10, 8, 6, 6)).astype(np.float32)
    if not reads_others:
        weight[:, 1:] *= 1e-3
    logits = Convolution("logits", (1,), (10, 1, 1), weight, np.zeros(10, np.float32))
    return InferenceGraph((1, 8, 8), (first, logits))


def find_error(graph: InferenceGraph) -> float:
    """Return the error of the logits in int8, in their standard deviations."""
    images = digits_on_black()
    found = int8_reference.numpy_predictor(quantize_graph(graph, images))(images)
    expected = reference.compute_logits(graph, images)
    return float((found - expected).square().mean().sqrt() / expected.std(0).mean())


def test_slopes_are_limited_where_values_are_far_beyond_the_bounds() -> None:
    assert find_error(steep_graph(-60.0)) < 0.2


def test_slopes_are_kept_where_many_values_are_at_a_bound() -> None:
    assert find_error(steep_graph(0.0)) < 0.5


def test_slopes_are_kept_where_the_logits_depend_on_the_steep_channel_alone() -> None:
    assert find_error(steep_graph(-60.0, reads_others=False)) < 0.1
