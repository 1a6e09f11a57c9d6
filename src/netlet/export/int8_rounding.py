"""What an int8 export makes of a graph's weights and feature maps, in real numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from netlet.export.inference_graph import Convolution, InferenceGraph
from netlet.export.quantize import QuantizedGraph, QuantizedLayer
from netlet.export.quantize_weights import PRODUCT_SHIFT, QuantParams


@dataclass(frozen=True)
class Rounding:
    """The numbers of an int8 export.

    Attributes:
        graph: The graph, with the weights and biases that the export computes with.
        params: Of each feature map, the image first; None: it is not rounded to 8 bits.
    """

    graph: InferenceGraph
    params: tuple[QuantParams | None, ...]


def find_c_rounding(quantized: QuantizedGraph) -> Rounding:
    """Return the rounding of an export to C.

    Args:
        quantized: The integers that it computes with.
    """
    layers = list(quantized.graph.layers)
    params: list[QuantParams | None] = [quantized.params[0]]
    for index, (layer, integers) in enumerate(zip(layers, quantized.layers, strict=True)):
        output = quantized.params[index + 1]
        if isinstance(layer, Convolution):
            read = quantized.params[layer.inputs[0]]
            layers[index] = _to_real_weights(layer, integers, read, output)
        params.append(None if integers.int32_output else output)
    graph = dataclasses.replace(quantized.graph, layers=tuple(layers))
    return Rounding(graph, tuple(params))


def _to_real_weights(
    layer: Convolution, integers: QuantizedLayer, read: QuantParams, output: QuantParams
) -> Convolution:
    assert integers.weight is not None
    assert integers.multipliers is not None
    shift = integers.multipliers.shift + (0 if integers.int32_output else PRODUCT_SHIFT)
    scale = integers.multipliers.values * (2.0**-shift * output.scale / read.scale)
    weight = integers.weight * scale[:, None, None, None]
    return dataclasses.replace(layer, weight=weight.astype(layer.weight.dtype))
