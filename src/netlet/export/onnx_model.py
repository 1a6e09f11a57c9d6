"""A net as an ONNX model: one file for any runtime, its normalization inside, its batch norms folded away.

Written from the graph, node by node, since the graph is what every export is written from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from netlet.errors import ShipError
from netlet.export.graph import (
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    Layer,
    Padding,
    Pooling,
    Product,
    Sum,
)
from netlet.export.trained_model import TrainedModel

if TYPE_CHECKING:
    import onnx

Input = Literal["uint8", "float"]
IMAGE, LOGITS = "image", "logits"
# HardSwish came with 14; Gelu with 20, which is asked of a runtime only where a net needs it.
_OPSET, _OPSET_WITH_GELU = 17, 20
_IR = 8  # the format of the file; newer ones are refused by runtimes of the time of opset 17


def onnx_model(origin: TrainedModel, taking: Input = "uint8") -> onnx.ModelProto:
    """The model, checked by ONNX's own checker.

    Args:
        origin: The net.
        taking: What ``image``, ``N C H W``, holds: ``uint8`` gray levels 0 to 255, or ``float``
            ones 0 to 1.

    Returns:
        One that gives ``logits``, float32 ``N K``, for any ``N``; what it is stands in its
        metadata.

    Raises:
        ShipError: The package onnx is not installed.
    """
    package, helper = onnx_packages()
    graph = origin.graph
    # Short names: in a net of a few kilobytes they count.
    names = ["gray", *(f"m{number + 1}" for number in range(len(graph.layers)))]
    nodes, weights = [], []

    def constant(name: str, values: Any) -> str:
        weights.append(package.numpy_helper.from_array(np.asarray(values), name))
        return name

    if taking == "uint8":
        nodes.append(helper.make_node("Cast", [IMAGE], ["gray"], to=package.TensorProto.FLOAT))
    else:
        nodes.append(
            helper.make_node("Mul", [IMAGE, constant("levels", np.float32(255))], ["gray"])
        )
    for number, layer in enumerate(graph.layers, start=1):
        stem = names[number]
        read = [names[at] for at in layer.inputs]
        if isinstance(layer, Convolution):
            read += [constant(f"{stem}w", layer.weight), constant(f"{stem}b", layer.bias)]
        steps = list(_steps(layer))
        for at, (kind, attributes, extra) in enumerate(steps):
            out = stem if at == len(steps) - 1 else f"{stem}.{at}"
            read += [constant(f"{out}_{name}", value) for name, value in extra.items()]
            nodes.append(
                helper.make_node(
                    kind, read, [out], name=f"{layer.name} {kind} {number}", **attributes
                )
            )
            read = [out]
        if isinstance(layer, Activation) and layer.function == "silu":  # x times its own sigmoid
            nodes[-1].output[0] = f"{stem}_gate"
            nodes.append(helper.make_node("Mul", [names[layer.inputs[0]], f"{stem}_gate"], [stem]))
    nodes.append(helper.make_node("Flatten", [names[-1]], [LOGITS], axis=1))
    kind = package.TensorProto.UINT8 if taking == "uint8" else package.TensorProto.FLOAT
    model: onnx.ModelProto = helper.make_model(
        helper.make_graph(
            nodes,
            origin.stem,
            [helper.make_tensor_value_info(IMAGE, kind, ["N", *graph.shape])],
            [
                helper.make_tensor_value_info(
                    LOGITS, package.TensorProto.FLOAT, ["N", graph.classes]
                )
            ],
            weights,
        ),
        opset_imports=[
            helper.make_opsetid("", _OPSET_WITH_GELU if _has_gelu(graph.layers) else _OPSET)
        ],
        ir_version=_IR if not _has_gelu(graph.layers) else _IR + 1,
        producer_name="netlet",
    )
    levels = "0 to 255 (uint8)" if taking == "uint8" else "0 to 1 (float32)"
    told = origin.described | {
        "input": f"N x {'x'.join(map(str, graph.shape))}, gray levels {levels}, as they are"
    }
    helper.set_model_props(model, told)
    package.checker.check_model(model, full_check=True)
    return model


def _steps(layer: Layer) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The nodes that a layer becomes, one after the other: kind, attributes, further constants."""
    if isinstance(layer, Convolution):
        yield (
            "Conv",
            {
                "kernel_shape": layer.window,
                "strides": layer.stride,
                "pads": _pads(layer.padding),
                "dilations": layer.dilation,
                "group": layer.groups,
            },
            {},
        )
        yield from _clamp(layer.clamp)
    elif isinstance(layer, Pooling):
        window = {
            "kernel_shape": layer.window,
            "strides": layer.stride,
            "pads": _pads(layer.padding),
        }
        if layer.how == "max":
            yield "MaxPool", window, {}
        else:
            yield "AveragePool", window | {"count_include_pad": int(layer.counts_padding)}, {}
    elif isinstance(layer, Sum):
        yield "Add", {}, {}
        yield from _clamp(layer.clamp)
    elif isinstance(layer, Product):
        yield "Mul", {}, {}
    elif isinstance(layer, Concatenation):
        yield "Concat", {"axis": 1}, {}
    else:
        assert isinstance(layer, Activation)
        yield from _function(layer)


def _function(layer: Activation) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    if layer.function == "clamp":
        yield from _clamp(layer.bounds)
        return
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "leaky_relu": ("LeakyRelu", {"alpha": layer.parameter}),
        "elu": ("Elu", {"alpha": layer.parameter}),
        "hardswish": ("HardSwish", {}),
        "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
        "sigmoid": ("Sigmoid", {}),
        "silu": ("Sigmoid", {}),
        "tanh": ("Tanh", {}),
        "gelu": ("Gelu", {}),
        "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    }
    yield *kinds[layer.function], {}


def _clamp(bounds: Clamp) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    low, high = bounds
    if bounds == (0, float("inf")):
        yield "Relu", {}, {}
    elif bounds != (float("-inf"), float("inf")):
        # A bound that is infinite stays so: Clip takes any float32.
        yield "Clip", {}, {"low": np.float32(low), "high": np.float32(high)}


def _pads(padding: Padding) -> Sequence[int]:
    return padding  # above, left, below, right: ONNX's own order for two axes


def _has_gelu(layers: Sequence[Layer]) -> bool:
    return any(
        isinstance(layer, Activation) and layer.function.startswith("gelu") for layer in layers
    )


def onnx_packages() -> tuple[Any, Any]:
    """The package onnx and its helper.

    Raises:
        ShipError: It is not installed.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise ShipError(
            "ONNX needs the package onnx, which is not installed; pip install 'netlet[export]'"
        ) from error
    return onnx, helper
