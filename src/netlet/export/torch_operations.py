"""Operations of the vocabulary as Python expressions of PyTorch, one function for each."""

from __future__ import annotations

import math

import numpy as np
import torch

from netlet.export.torch_builder import SourceBuilder, writes
from netlet.graph import Node
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Padding,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    TensorClamp,
)
from netlet.graph.rare_operations import (
    EdgePadding,
    GatedHalf,
    Interpolation,
    OtherNorm,
    Rearrangement,
    Scan,
    Stack,
)

_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_REDUCTIONS = {
    "mean": "mean",
    "sum": "sum",
    "amax": "amax",
    "amin": "amin",
    "max": "amax",
    "min": "amin",
}
# Activations without numbers, and element-wise functions that have nothing but their inputs.
_PLAIN = {
    "relu": "F.relu",
    "sigmoid": "torch.sigmoid",
    "tanh": "torch.tanh",
    "silu": "F.silu",
    "hardswish": "F.hardswish",
    "hardsigmoid": "F.hardsigmoid",
    "gelu": "F.gelu",
}
_ELEMENTWISE = {
    **dict.fromkeys(("abs", "cos", "erf", "exp", "expm1", "log", "log1p", "neg"), 1),
    **dict.fromkeys(("reciprocal", "rsqrt", "sign", "sin", "sqrt", "square"), 1),
    **dict.fromkeys(("maximum", "minimum"), 2),
}
# Element-wise functions of torch.nn.functional without numbers.
_FUNCTIONAL = frozenset(["mish", "selu"])
_WITH_NUMBERS = {
    "celu": "F.celu",
    "pow": "torch.pow",
    "softplus": "F.softplus",
    "threshold": "F.threshold",
}
_PADDING_MODES = {"reflection": "reflect", "replication": "replicate"}
_INTERPOLATIONS = {
    "upsample_nearest": "nearest",
    "_upsample_nearest_exact": "nearest-exact",
    "upsample_linear": "linear",
    "upsample_bilinear": "bilinear",
    "upsample_trilinear": "trilinear",
    "upsample_bicubic": "bicubic",
}


@writes(Convolution)
def _write_convolution(builder: SourceBuilder, node: Node, operation: Convolution) -> str:
    if len(node.shape) != len(operation.stride) + 1:
        builder.refuse("a convolution of anything but a batch")
    read = (
        f"{builder.value()}, {builder.weight(operation.weight)}, {builder.weight(operation.bias)}"
    )
    stride, padding, dilation = operation.stride, operation.padding, operation.dilation
    if not operation.transposed:
        return f"F.{operation.name}({read}, {stride}, {padding}, {dilation}, {operation.groups})"
    before, kernel = builder.graph.shape_of(node.inputs[0]), operation.weight.tensor.shape[2:]
    smallest = [
        (size - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel[i] - 1) + 1
        for i, size in enumerate(before[1:])
    ]
    added = tuple(size - least for size, least in zip(node.shape[1:], smallest, strict=True))
    rest = f"{stride}, {padding}, {added}, {operation.groups}, {dilation}"
    return f"F.{operation.name}({read}, {rest})"


@writes(Linear)
def _write_linear(builder: SourceBuilder, node: Node, operation: Linear) -> str:
    weight, bias = builder.weight(operation.weight), builder.weight(operation.bias)
    return f"F.linear({builder.value()}, {weight}, {bias})"


@writes(BatchNorm)
def _write_batch_norm(builder: SourceBuilder, node: Node, operation: BatchNorm) -> str:
    if operation.by_batch or operation.mean is None or operation.var is None:
        builder.refuse("batch norm by each batch's own statistics")
    tensors = (operation.mean, operation.var, operation.weight, operation.bias)
    read = ", ".join(map(builder.weight, tensors))
    return f"F.batch_norm({builder.value()}, {read}, eps={operation.eps!r})"


@writes(OtherNorm)
def _write_norm(builder: SourceBuilder, node: Node, operation: OtherNorm) -> str:
    x, weight, bias = builder.value(), builder.weight(operation.weight), operation.bias
    name, eps = operation.function, operation.eps
    if name == "group_norm":
        return f"F.group_norm({x}, {operation.groups}, {weight}, {builder.weight(bias)}, {eps!r})"
    shape = tuple(node.shape[dim - 1] for dim in operation.dims)
    if name == "layer_norm":
        return f"F.layer_norm({x}, {shape}, {weight}, {builder.weight(bias)}, {eps!r})"
    if name == "_fused_rms_norm":
        return f"F.rms_norm({x}, {shape}, {weight}, {eps!r})"
    return builder.refuse(name)


@writes(Activation)
def _write_activation(builder: SourceBuilder, node: Node, operation: Activation) -> str:
    x, name, numbers = builder.value(), operation.function, operation.parameters
    if name in _PLAIN:
        return f"{_PLAIN[name]}({x})"
    if name == "gelu_tanh":
        return f'F.gelu({x}, approximate="tanh")'
    if name in ("clamp", "hardtanh"):
        low, high = (repr(bound) if math.isfinite(bound) else "None" for bound in numbers)
        return f"{x}.clamp({low}, {high})"
    if name == "leaky_relu":
        return f"F.leaky_relu({x}, {numbers[0]!r})"
    if name == "elu":
        return _write_elu(builder, x, numbers)
    if name == "prelu" and operation.weight is not None:
        slopes = builder.weight(operation.weight)
        if operation.weight.tensor.dim() == 1:
            return f"F.prelu({x}, {slopes})"
        return f"torch.where({x} > 0, {x}, {slopes} * {x})"
    return builder.refuse(name)


def _write_elu(builder: SourceBuilder, x: str, numbers: tuple[float, ...]) -> str:
    alpha, scale, input_scale = (*numbers, 1.0, 1.0)[:3]
    if (scale, input_scale) == (1.0, 1.0):
        return f"F.elu({x}, {alpha!r})"
    if scale != 1.0 and input_scale == 1.0 and math.isclose(scale, 1.0507009873554805):
        return f"F.selu({x})"
    if scale == 1.0 and math.isclose(input_scale * alpha, 1.0):
        return f"F.celu({x}, {alpha!r})"
    return builder.refuse("a scaled ELU")


@writes(TensorClamp)
def _write_tensor_clamp(builder: SourceBuilder, node: Node, operation: TensorClamp) -> str:
    low, high = builder.weight(operation.low), builder.weight(operation.high)
    return f"torch.clamp({builder.value()}, {low}, {high})"


@writes(Elementwise)
def _write_elementwise(builder: SourceBuilder, node: Node, operation: Elementwise) -> str:
    name = operation.function
    inputs = ", ".join(builder.value(position) for position in range(len(node.inputs)))
    if name in _FUNCTIONAL:
        return f"F.{name}({inputs})"
    if name in _WITH_NUMBERS and operation.parameters and len(node.inputs) == 1:
        numbers = ", ".join(map(repr, operation.parameters))
        return f"{_WITH_NUMBERS[name]}({inputs}, {numbers})"
    if _ELEMENTWISE.get(name) != len(node.inputs):
        builder.refuse(name)
    return f"torch.{name}({inputs})"


@writes(Arithmetic)
def _write_arithmetic(builder: SourceBuilder, node: Node, operation: Arithmetic) -> str:
    one, constant = builder.value(), operation.constant
    if constant is None:
        other = builder.value(1)
    else:
        other = repr(constant) if isinstance(constant, int | float) else builder.weight(constant)
    if operation.constant_first:
        one, other = other, one
    if operation.alpha != 1:
        if operation.constant_first and isinstance(constant, int | float):
            return f"{one} {_OPERATORS[operation.function]} {operation.alpha!r} * {other}"
        return f"torch.{operation.function}({one}, {other}, alpha={operation.alpha!r})"
    return f"{one} {_OPERATORS[operation.function]} {other}"


@writes(Pooling)
def _write_pooling(builder: SourceBuilder, node: Node, operation: Pooling) -> str:
    window, stride, padding = operation.window, operation.stride, operation.padding
    read = f"{builder.value()}, {window}, {stride}, {padding}"
    if operation.mode == "max":
        return f"F.{operation.name}({read}, {operation.dilation}, {operation.ceil_mode})"
    divisor = f", {operation.divisor}" if operation.divisor else ""
    counts = operation.count_include_pad
    return f"F.{operation.name}({read}, {operation.ceil_mode}, {counts}{divisor})"


@writes(AdaptivePooling)
def _write_adaptive_pooling(builder: SourceBuilder, node: Node, operation: AdaptivePooling) -> str:
    return f"F.{operation.name}({builder.value()}, {operation.size})"


@writes(Reduction)
def _write_reduction(builder: SourceBuilder, node: Node, operation: Reduction) -> str:
    if operation.function not in _REDUCTIONS or 0 in operation.dims:
        builder.refuse(operation.function)
    kept = ", keepdim=True" if operation.keepdim else ""
    return f"{builder.value()}.{_REDUCTIONS[operation.function]}({operation.dims}{kept})"


@writes(Dropout)
def _write_dropout(builder: SourceBuilder, node: Node, operation: Dropout) -> str:
    if operation.active and operation.rate:
        builder.refuse("dropout in evaluation mode")
    return builder.value()


@writes(Concatenation)
def _write_concatenation(builder: SourceBuilder, node: Node, operation: Concatenation) -> str:
    return f"torch.cat({builder.values()}, {operation.dim})"


@writes(Stack)
def _write_stack(builder: SourceBuilder, node: Node, operation: Stack) -> str:
    return f"torch.stack({builder.values()}, {operation.dim})"


@writes(Reshape)
def _write_reshape(builder: SourceBuilder, node: Node, operation: Reshape) -> str:
    if len(node.shape) == 1:
        return f"{builder.value()}.flatten(1)"
    return f"{builder.value()}.reshape(-1, {_sizes(node)})"


@writes(Padding)
def _write_padding(builder: SourceBuilder, node: Node, operation: Padding) -> str:
    return f"F.pad({builder.value()}, {operation.sizes}, value={operation.value!r})"


@writes(EdgePadding)
def _write_edge_padding(builder: SourceBuilder, node: Node, operation: EdgePadding) -> str:
    mode = _PADDING_MODES.get(operation.function.partition("_")[0])
    if mode is None:
        builder.refuse(operation.function)
    return f"F.pad({builder.value()}, {operation.sizes}, {mode!r})"


@writes(Interpolation)
def _write_interpolation(builder: SourceBuilder, node: Node, operation: Interpolation) -> str:
    mode = _INTERPOLATIONS.get(operation.function[:-2])
    if mode is None:
        builder.refuse(operation.function.strip("_"))
    aligned = f", align_corners={operation.align_corners}" if operation.align_corners else ""
    return f"F.interpolate({builder.value()}, {operation.size}, mode={mode!r}{aligned})"


@writes(GatedHalf)
def _write_gated_half(builder: SourceBuilder, node: Node, operation: GatedHalf) -> str:
    return f"F.glu({builder.value()}, {operation.dim})"


@writes(Scan)
def _write_scan(builder: SourceBuilder, node: Node, operation: Scan) -> str:
    if operation.function != "cumsum" or not operation.dim:
        builder.refuse(operation.function)
    return f"{builder.value()}.cumsum({operation.dim})"


@writes(Rearrangement)
def _write_rearrangement(builder: SourceBuilder, node: Node, operation: Rearrangement) -> str:
    source, elements = operation.source, math.prod(builder.graph.shape_of(node.inputs[0]))
    images = np.arange(len(source)).reshape(-1, *(1,) * (source.ndim - 1)) * elements
    if len(node.inputs) != 1 or bool((source < 0).any()):
        builder.refuse(f"{operation.function} with constants")
    if not np.array_equal(source, source[:1] + images):
        builder.refuse(f"{operation.function} across the images of a batch")
    places = builder.constant(torch.from_numpy(source[0].reshape(-1).copy()))
    return f"{builder.value()}.flatten(1)[:, {places}].reshape(-1, {_sizes(node)})"


def _sizes(node: Node) -> str:
    return ", ".join(map(str, node.shape))


@writes(Slice)
def _write_slice(builder: SourceBuilder, node: Node, operation: Slice) -> str:
    if not operation.dim:
        builder.refuse("slicing of the batch")
    start, step = operation.start, operation.step
    stop = start + (operation.length - 1) * step + 1
    index = str(start) if operation.removed else f"{start}:{stop}" + f":{step}" * (step != 1)
    return f"{builder.value()}[{':, ' * operation.dim}{index}]"


@writes(Permutation)
def _write_permutation(builder: SourceBuilder, node: Node, operation: Permutation) -> str:
    if operation.order[:1] != (0,):
        builder.refuse(f"{operation.function} of the batch")
    return f"{builder.value()}.permute({operation.order})"


@writes(Softmax)
def _write_softmax(builder: SourceBuilder, node: Node, operation: Softmax) -> str:
    return f"{builder.value()}.{operation.function}({operation.dim})"
