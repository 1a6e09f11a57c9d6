"""Post-training quantization of a graph: 8-bit weights and feature maps, 32-bit sums.

A feature map holds integers 0 to 255; an integer ``q`` stands for ``(q - zero_point) * scale``.
Gray levels stay what they are, and zero after a ReLU is 0. Weights are -127 to 127 with a scale per
output channel. ``quantize_weights.py`` says how a convolution rescales its sums to the next feature
map; other layers do it by an integer multiplier and a shift, computed in 64 bits, with halves
rounded up. Logits that a convolution, a linear layer or a global mean computes stay 32-bit on one
scale, so that different logits are not rounded to the same value; those of other layers have 8
bits. After Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference".
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.errors import ExportError
from netlet.export import reference
from netlet.export.calibration import (
    Channels,
    find_ranges,
    limit_constant_inputs,
    measure_channels,
)
from netlet.export.inference_graph import (
    UNBOUNDED,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    InferenceGraph,
    Layer,
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
from netlet.export.quantize_maps import (
    TAP_UNIT,
    QuantizedNorm,
    Taps,
    only_chooses,
    quantize_norm,
    quantize_taps,
)
from netlet.export.quantize_weights import (
    PRODUCT_SHIFT,
    QMAX,
    Multipliers,
    QuantParams,
    check_sums,
    has_narrow_sums,
    limit_slopes,
    natural_scales,
    quantize_narrow,
    quantize_wide,
    round_weights,
    widen_output,
)
from netlet.export.zero_level import fold_normalization

# Bits of the largest multiplier: its product with a 32-bit sum stays below 2**62.
_MULTIPLIER_BITS = 30
# Fewer for a mean: a division follows, and a sum has up to 255 times as many terms as the window.
_MEAN_MULTIPLIER_BITS = 16
_COMPARED_IMAGES = 100  # at most, to compare two ways to round a layer


@dataclass(frozen=True)
class QuantizedLayer:
    """The integers that a layer computes with; its kind decides which of them it needs."""

    low: int = 0  # bounds of the output
    high: int = QMAX
    weight: NDArray[np.int8] | None = None  # O I/groups KH KW
    # For inputs without their zero point subtracted: its contribution is subtracted here.
    bias: NDArray[np.int32] | None = None
    multipliers: Multipliers | None = None
    # Added after rescaling, one per channel, by a convolution whose sums fit 16 bits.
    offsets: NDArray[np.int32] | None = None
    # The output for each of the 256 inputs; of a constant, its elements C H W.
    table: NDArray[np.uint8] | None = None
    int32_output: bool = False  # 32-bit output, without zero point and bounds
    fill: int = 0  # what a rearrangement fills in
    taps: Taps | None = None  # of a resampling
    norm: QuantizedNorm | None = None


@dataclass(frozen=True)
class QuantizedGraph:
    """A quantized graph: the geometry is that of ``graph``."""

    graph: InferenceGraph
    params: tuple[QuantParams, ...]  # by feature map, the image first
    layers: tuple[QuantizedLayer, ...]

    @property
    def logit_scale(self) -> float:
        """The real value of one unit of a logit."""
        return self.params[-1].scale


def quantize_graph(graph: InferenceGraph, images: torch.Tensor) -> QuantizedGraph:
    """Quantize a graph.

    Args:
        graph: A folded graph.
        images: Training images, uint8 ``N C H W``, that determine the range of each feature map; a
            thousand are enough.

    Raises:
        ExportError: A sum of products does not fit 32 bits.
    """
    graph = fold_normalization(graph)
    channels = measure_channels(graph, images)
    graph = limit_constant_inputs(graph, channels)
    ranges = find_ranges(graph, channels)
    last = len(graph.layers)
    params = [QuantParams(1.0, graph.zero_level)]
    layers: list[QuantizedLayer] = []
    changed: list[Layer] = []
    for number, layer in enumerate(graph.layers, start=1):
        inputs = [params[read] for read in layer.inputs]
        output = inputs[0] if only_chooses(layer) else _params_of_range(*ranges[number])
        if isinstance(layer, Convolution):
            layer = _limit_slopes(graph, number, inputs[0], output, channels[number], images)
        changed.append(layer)
        quantized, output = _quantize_layer(layer, inputs, output, number == last)
        params.append(output)
        layers.append(quantized)
    graph = dataclasses.replace(graph, layers=tuple(changed))
    return QuantizedGraph(graph, tuple(params), tuple(layers))


def find_real_weights(
    layer: Convolution, integers: QuantizedLayer, read: QuantParams, output: QuantParams
) -> Convolution:
    """Return a convolution with the weights that it computes with in int8, as real numbers."""
    assert integers.weight is not None
    assert integers.multipliers is not None
    shift = integers.multipliers.shift + (0 if integers.int32_output else PRODUCT_SHIFT)
    scale = integers.multipliers.values * (2.0**-shift * output.scale / read.scale)
    weight = integers.weight * scale[:, None, None, None]
    return dataclasses.replace(layer, weight=weight.astype(layer.weight.dtype))


def _limit_slopes(
    graph: InferenceGraph,
    number: int,
    read: QuantParams,
    output: QuantParams,
    channels: Channels,
    images: torch.Tensor,
) -> Convolution:
    """Return a convolution after :func:`limit_slopes` if that makes int8 better, or as it is.

    It has to be closer to the net in its own output, and in the logits if it alone is rounded: the
    output does not show which of its channels matter, and logits can be close by chance.
    """
    layer = graph.layers[number - 1]
    assert isinstance(layer, Convolution)
    limited = limit_slopes(layer, read, output, channels.low, channels.high)
    if limited is layer:
        return layer
    maps = reference.compute_maps(graph, images[:: math.ceil(len(images) / _COMPARED_IMAGES)])
    before = maps[:number]
    before[layer.inputs[0]] = read.round(before[layer.inputs[0]])
    errors = []
    for each in (layer, limited):
        integers, params = _quantize_convolution(each, read, output, last=False)
        rounded = find_real_weights(each, integers, read, params)
        part = dataclasses.replace(graph, layers=(*graph.layers[: number - 1], rounded))
        found = params.round(reference.compute_maps_from(part, before, number - 1)[-1])
        logits = reference.compute_maps_from(graph, [*maps[:number], found], number)[-1]
        pairs = ((found, maps[number]), (logits, maps[-1]))
        errors.append([float((one - exact).double().square().sum()) for one, exact in pairs])
    better = all(new < old for old, new in zip(*errors, strict=True))
    return limited if better else layer


def _quantize_layer(
    layer: Layer, inputs: list[QuantParams], output: QuantParams, last: bool
) -> tuple[QuantizedLayer, QuantParams]:
    """Return a quantized layer and its output's parameters: ``output``, unless it is 32-bit."""
    if isinstance(layer, Convolution):
        return _quantize_convolution(layer, inputs[0], output, last)
    ratios = [params.scale / output.scale for params in inputs]
    if isinstance(layer, Pooling) and layer.mode == "mean":
        if last and layer.shape[1:] == (1, 1) and not any(layer.padding):
            area = layer.window[0] * layer.window[1]
            return QuantizedLayer(int32_output=True), QuantParams(inputs[0].scale / area, 0)
        multipliers = _to_multipliers([ratios[0]], _MEAN_MULTIPLIER_BITS)
        return QuantizedLayer(multipliers=multipliers), output
    if isinstance(layer, Sum):
        bounds = _quantize_clamp(layer.clamp, output)
        return QuantizedLayer(*bounds, multipliers=_to_multipliers(ratios)), output
    if isinstance(layer, Product):
        ratio = inputs[0].scale * inputs[1].scale / output.scale
        return QuantizedLayer(multipliers=_to_multipliers([ratio])), output
    if isinstance(layer, Concatenation):
        return QuantizedLayer(multipliers=_to_multipliers(ratios)), output
    if isinstance(layer, Activation):
        return QuantizedLayer(table=_tabulate(layer, inputs[0], output)), output
    return _quantize_map_layer(layer, inputs, output), output


def _quantize_map_layer(
    layer: Layer, inputs: list[QuantParams], output: QuantParams
) -> QuantizedLayer:
    if isinstance(layer, Constant):
        values = [output.quantize(value) for value in layer.values.reshape(-1).tolist()]
        return QuantizedLayer(table=np.array(values, np.uint8))
    if isinstance(layer, ChannelSlope):
        ratio = inputs[0].scale / output.scale
        slopes = (ratio * layer.slopes.astype(np.float64)).tolist()
        return QuantizedLayer(multipliers=_to_multipliers([ratio, *slopes]))
    if isinstance(layer, Resampling):
        taps, largest = quantize_taps(layer)
        ratio = inputs[0].scale / (output.scale * TAP_UNIT**2)
        bits = min(_MULTIPLIER_BITS, 61 - (largest * QMAX).bit_length())
        return QuantizedLayer(multipliers=_to_multipliers([ratio], bits), taps=taps)
    if isinstance(layer, Normalization):
        return QuantizedLayer(norm=quantize_norm(layer, inputs[0].scale, output.scale))
    if isinstance(layer, Rearrangement):
        return QuantizedLayer(fill=inputs[0].quantize(layer.fill))
    return QuantizedLayer()


def _quantize_convolution(
    layer: Convolution, read: QuantParams, output: QuantParams, last: bool
) -> tuple[QuantizedLayer, QuantParams]:
    if last and layer.clamp == UNBOUNDED:
        return _quantize_logits(layer, read)
    output = widen_output(layer, read, output)
    quantize = quantize_narrow if has_narrow_sums(layer) else quantize_wide
    integers = quantize(layer, read, output)
    quantized = QuantizedLayer(
        *_quantize_clamp(layer.clamp, output),
        weight=integers.weight,
        bias=integers.bias,
        multipliers=integers.multipliers,
        offsets=integers.offsets,
    )
    return quantized, output


def _quantize_logits(layer: Convolution, read: QuantParams) -> tuple[QuantizedLayer, QuantParams]:
    """Return a convolution that computes logits: 32 bits, on the scale of the largest channel."""
    scale = natural_scales(layer, read)
    # A channel of zeros can have any scale; a large one would set the scale of all logits.
    scale[scale == 0] = scale[scale > 0].min(initial=1.0)
    weight, bias = round_weights(layer, read, scale)
    sum_scale = read.scale * scale
    output = QuantParams(float(sum_scale.max()), 0)
    multipliers = _to_multipliers((sum_scale / output.scale).tolist())
    quantized = QuantizedLayer(
        *_quantize_clamp(layer.clamp, output),
        weight=weight,
        bias=check_sums(layer, weight, np.rint(bias)),
        multipliers=multipliers,
        int32_output=True,
    )
    return quantized, output


def _quantize_clamp(clamp: Clamp, output: QuantParams) -> tuple[int, int]:
    return output.quantize(clamp[0]), output.quantize(clamp[1])


def _to_multipliers(ratios: list[float], bits: int = _MULTIPLIER_BITS) -> Multipliers:
    """Return integer multipliers with one common shift, as large as possible."""
    shift = min(max(bits - math.frexp(max(map(abs, ratios)))[1], 1), 2 * bits)
    values = np.rint(np.array(ratios) * 2.0**shift)
    if np.abs(values).max() >= 2**31:
        raise ExportError(
            "the values of one feature map are too small beside those of the next for int8; "
            "export without --int8 (int8 in Python)"
        )
    return Multipliers(values.astype(np.int32), shift)


def _tabulate(layer: Activation, read: QuantParams, output: QuantParams) -> NDArray[np.uint8]:
    """Return the output of an element-wise function for each of the 256 inputs."""
    shape = (1, 1, QMAX + 1)
    scale, shift = np.full((1, 1, 1, 1), read.scale), np.array([-read.zero_point * read.scale])
    dequantize = Convolution("", (0,), shape, scale, shift)
    graph = InferenceGraph(
        shape, (dequantize, dataclasses.replace(layer, inputs=(1,), shape=shape))
    )
    inputs = torch.arange(QMAX + 1, dtype=torch.uint8).reshape(1, *shape)
    outputs = reference.compute_maps(graph, inputs, torch.float64)[-1].flatten()
    return np.array([output.quantize(value) for value in outputs.tolist()], np.uint8)


def _params_of_range(low: float, high: float) -> QuantParams:
    """Return the parameters for a range that includes zero, so that padding has an integer."""
    scale = (high - low) / QMAX or 1.0
    return QuantParams(scale, min(max(round(-low / scale), 0), QMAX))
