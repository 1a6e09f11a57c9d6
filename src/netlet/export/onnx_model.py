"""The ONNX model of a net: one file for any runtime, with normalization and batch norm folded in.

It is built node by node from the graph, like every other export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from netlet.errors import ExportError, install_hint
from netlet.export.inference_graph import (
    UNBOUNDED,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    FunctionName,
    InferenceGraph,
    Layer,
    Padding,
    Pooling,
    Product,
    Shape,
    Sum,
)
from netlet.export.input_words import describe_levels
from netlet.export.map_layers import Constant
from netlet.export.onnx_nodes import OnnxNode, map_layer_nodes
from netlet.export.traced_model import TracedModel
from netlet.text import escape_controls, format_shape

if TYPE_CHECKING:
    import onnx

InputType = Literal["uint8", "float"]
IMAGE, LOGITS = "image", "logits"
# HardSwish needs opset 14. Gelu needs opset 20, which is requested only for nets that use it.
_OPSET, _OPSET_WITH_GELU = 17, 20
_IR_VERSION = 8  # of the file format; runtimes as old as opset 17 refuse newer ones


def build_onnx(model: TracedModel, input_type: InputType = "uint8") -> onnx.ModelProto:
    """Build the ONNX model of a net and run ONNX's checker on it.

    Args:
        model: The model.
        input_type: The type of ``image``, ``N C H W``: gray levels 0 to 255 (``uint8``) or 0 to 1
            (``float``).

    Returns:
        A model with the output ``logits``, float32 ``N K``, for any ``N``. Its metadata describes
        the net.

    Raises:
        ExportError: The package onnx is not installed.
    """
    package, helper = import_onnx()
    graph = model.graph
    nodes, weights = _GraphWriter(package, helper).write(graph, input_type)
    types = package.TensorProto
    image_type = types.UINT8 if input_type == "uint8" else types.FLOAT
    with_gelu = _has_gelu(graph.layers)
    proto: onnx.ModelProto = helper.make_model(
        helper.make_graph(
            nodes,
            model.stem,
            [helper.make_tensor_value_info(IMAGE, image_type, ["N", *graph.shape])],
            [helper.make_tensor_value_info(LOGITS, types.FLOAT, ["N", graph.classes])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET_WITH_GELU if with_gelu else _OPSET)],
        ir_version=_IR_VERSION + with_gelu,
        producer_name="netlet",
    )
    highest, kind = (255, "uint8") if input_type == "uint8" else (1, "float32")
    levels = f"{describe_levels(graph.shape[0], highest)} ({kind})"
    description = f"N x {format_shape(graph.shape)}, {levels}, unprocessed"
    helper.set_model_props(proto, model.metadata | {"input": description})
    package.checker.check_model(proto, full_check=True)
    return proto


class _GraphWriter:
    """Writes a graph as ONNX nodes and constants."""

    def __init__(self, package: Any, helper: Any) -> None:
        self._package = package
        self._helper = helper
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def write(self, graph: InferenceGraph, input_type: InputType) -> tuple[list[Any], list[Any]]:
        """Return the nodes and the constants."""
        # Short names: in a file of a few kilobytes they count.
        names = ["gray", *(f"m{number + 1}" for number in range(len(graph.layers)))]
        if input_type == "uint8":
            levels = "levels" if graph.zero_level else "gray"
            self._add_node("Cast", [IMAGE], levels, to=self._package.TensorProto.FLOAT)
            if graph.zero_level:
                zero = self._add_constant("zero", np.float32(graph.zero_level))
                self._add_node("Sub", [levels, zero], "gray")
        else:
            self._add_node("Mul", [IMAGE, self._add_constant("levels", np.float32(255))], "gray")
        for number, layer in enumerate(graph.layers, start=1):
            if isinstance(layer, Constant):
                self._add_constant(names[number], layer.values[None])
                continue
            shapes = [graph.shapes[read] for read in layer.inputs]
            nodes = list(_layer_nodes(layer, shapes[0]))
            read = [names[each] for each in layer.inputs]
            self._write_layer(number, layer, nodes, read, names[number])
        self._add_node("Flatten", [names[-1]], LOGITS, axis=1)
        return self._nodes, self._weights

    def _write_layer(
        self, number: int, layer: Layer, nodes: list[OnnxNode], inputs: list[str], output: str
    ) -> None:
        read = list(inputs)
        if isinstance(layer, Convolution):
            read.append(self._add_constant(f"{output}w", layer.weight))
            read.append(self._add_constant(f"{output}b", layer.bias))
        for i, node in enumerate(nodes):
            out = output if i == len(nodes) - 1 else f"{output}.{i}"
            constants = [self._add_constant(f"{out}_{k}", v) for k, v in node.constants.items()]
            read = constants + read if node.constants_first else read + constants
            name = f"{escape_controls(layer.name)} {node.op_type} {number}"
            if any(node.op_type == other.op_type for other in nodes[:i]):
                name += f".{i}"
            self._add_node(node.op_type, read, out, name=name, **node.attributes)
            read = [out]
        if isinstance(layer, Activation) and layer.function in _GATES:
            self._nodes[-1].output[0] = f"{output}_gate"
            self._add_node("Mul", [inputs[0], f"{output}_gate"], output)

    def _add_node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(self._helper.make_node(op_type, inputs, [output], **attributes))

    def _add_constant(self, name: str, values: Any) -> str:
        self._weights.append(self._package.numpy_helper.from_array(np.asarray(values), name))
        return name


def _layer_nodes(layer: Layer, shape: Shape) -> Iterator[OnnxNode]:
    """Yield the nodes that a layer becomes, in order.

    Args:
        layer: The layer.
        shape: The shape of its first input.
    """
    if isinstance(layer, Convolution):
        attributes = {
            "kernel_shape": layer.window,
            "strides": layer.stride,
            "pads": _pads(layer.padding),
            "dilations": layer.dilation,
            "group": layer.groups,
        }
        yield OnnxNode("Conv", attributes)
        yield from _clamp_nodes(layer.clamp)
    elif layer.kind == "crop":
        assert isinstance(layer, Pooling)
        yield _crop_node(layer)
    elif isinstance(layer, Pooling):
        attributes = {
            "kernel_shape": layer.window,
            "strides": layer.stride,
            "pads": _pads(layer.padding),
        }
        if layer.mode == "max":
            yield OnnxNode("MaxPool", attributes)
        else:
            attributes["count_include_pad"] = int(layer.count_include_pad)
            yield OnnxNode("AveragePool", attributes)
    elif isinstance(layer, Sum):
        yield OnnxNode("Add")
        yield from _clamp_nodes(layer.clamp)
    elif isinstance(layer, Product):
        yield OnnxNode("Mul")
    elif isinstance(layer, Concatenation):
        yield OnnxNode("Concat", {"axis": 1})
    elif isinstance(layer, Activation):
        yield from _activation_nodes(layer)
    else:
        yield from map_layer_nodes(layer, shape)


def _crop_node(layer: Pooling) -> OnnxNode:
    """Return the slice of rows and columns."""
    top, left = -layer.padding[0], -layer.padding[1]
    _, h, w = layer.shape
    numbers = {"starts": (top, left), "ends": (top + h, left + w), "axes": (2, 3)}
    return OnnxNode("Slice", {}, {name: np.array(v, np.int64) for name, v in numbers.items()})


def _activation_nodes(layer: Activation) -> Iterator[OnnxNode]:
    if layer.function == "clamp":
        yield from _clamp_nodes(layer.bounds)
    elif layer.function == "mish":
        yield OnnxNode("Softplus")
        yield OnnxNode("Tanh")
    else:
        yield _FUNCTIONS[layer.function](layer)


# Functions that are x times a function of x, for which there are nodes.
_GATES = ("silu", "mish")
# Element-wise functions that are one node; clamp may be none.
_FUNCTIONS: Mapping[FunctionName, Callable[[Activation], OnnxNode]] = {
    "abs": lambda layer: OnnxNode("Abs"),
    "exp": lambda layer: OnnxNode("Exp"),
    "softplus": lambda layer: OnnxNode("Softplus"),
    "leaky_relu": lambda layer: OnnxNode("LeakyRelu", {"alpha": layer.parameter}),
    "elu": lambda layer: OnnxNode("Elu", {"alpha": layer.parameter}),
    "hardswish": lambda layer: OnnxNode("HardSwish"),
    "hardsigmoid": lambda layer: OnnxNode("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "sigmoid": lambda layer: OnnxNode("Sigmoid"),
    "silu": lambda layer: OnnxNode("Sigmoid"),
    "tanh": lambda layer: OnnxNode("Tanh"),
    "gelu": lambda layer: OnnxNode("Gelu"),
    "gelu_tanh": lambda layer: OnnxNode("Gelu", {"approximate": "tanh"}),
}


def _clamp_nodes(bounds: Clamp) -> Iterator[OnnxNode]:
    low, high = bounds
    if bounds == (0, float("inf")):
        yield OnnxNode("Relu")
    elif bounds != UNBOUNDED:
        # Clip accepts infinite bounds.
        yield OnnxNode("Clip", {}, {"low": np.float32(low), "high": np.float32(high)})


def _pads(padding: Padding) -> Sequence[int]:
    return padding  # top, left, bottom, right: ONNX's own order for two axes


def _has_gelu(layers: Sequence[Layer]) -> bool:
    return any(
        isinstance(layer, Activation) and layer.function.startswith("gelu") for layer in layers
    )


def import_onnx() -> tuple[Any, Any]:
    """Import the package onnx and its helper.

    Raises:
        ExportError: It is not installed.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise ExportError(
            f"ONNX export needs the package onnx, which is not installed; {install_hint('export')}"
        ) from error
    return onnx, helper
