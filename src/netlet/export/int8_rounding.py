"""What an int8 export makes of a graph's weights and feature maps, in real numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netlet.export.inference_graph import Convolution, InferenceGraph
from netlet.export.onnx_model import import_onnx
from netlet.export.quantize import QuantizedGraph, find_real_weights
from netlet.export.quantize_weights import QuantParams
from netlet.export.zero_level import fold_normalization

if TYPE_CHECKING:
    import onnx


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
            layers[index] = find_real_weights(layer, integers, read, output)
        params.append(None if integers.int32_output else output)
    graph = dataclasses.replace(quantized.graph, layers=tuple(layers))
    return Rounding(graph, tuple(params))


def find_onnx_rounding(graph: InferenceGraph, model: onnx.ModelProto) -> Rounding:
    """Return the rounding of an export to ONNX: weights of 7 bits, and logits of 8.

    Args:
        graph: Of the net.
        model: Its int8 model, as :func:`netlet.export.quantize_onnx` returns it.
    """
    package, _ = import_onnx()
    graph = fold_normalization(graph)
    constants: dict[str, Any] = {
        each.name: package.numpy_helper.to_array(each) for each in model.graph.initializer
    }
    numbered = list(enumerate(graph.layers, start=1))
    wanted = {
        f"m{n}{part}" for n, layer in numbered if isinstance(layer, Convolution) for part in "wb"
    }
    params: dict[str, QuantParams] = {}
    for node in model.graph.node:
        numbers: list[Any] = [constants.get(name) for name in node.input]
        if node.op_type == "QuantizeLinear":
            params[node.input[0]] = QuantParams(float(numbers[1]), int(numbers[2]))
        elif node.op_type == "DequantizeLinear" and numbers[0] is not None:
            name = node.output[0].removesuffix("_DequantizeLinear_Output")
            if name in wanted:
                integers, scale, zero_point = map(np.asarray, numbers)
                shape = (-1, *[1] * (integers.ndim - 1)) if scale.ndim else ()
                real = integers.astype(np.float64) - zero_point.reshape(shape)
                constants[name] = (real * scale.reshape(shape)).astype(np.float32)
    layers = [
        dataclasses.replace(layer, weight=constants[f"m{number}w"], bias=constants[f"m{number}b"])
        if isinstance(layer, Convolution)
        else layer
        for number, layer in numbered
    ]
    return Rounding(
        dataclasses.replace(graph, layers=tuple(layers)),
        (None, *(params.get(f"m{number}") for number in range(1, len(layers) + 1))),
    )
