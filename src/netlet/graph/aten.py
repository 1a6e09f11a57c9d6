"""Translate the ATen operations of a running net into the vocabulary, one function for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch

from netlet.graph.aten_names import ELEMENTWISE
from netlet.graph.call import Call
from netlet.graph.mixing_aten import MIXING_TRANSLATIONS
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Convolution,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Padding,
    Permutation,
    Pooling,
    PoolMode,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    TensorClamp,
)
from netlet.graph.products import count_convolution, count_products, is_sparse
from netlet.graph.rare_aten import CONSTANT_PARTS, RARE_TRANSLATIONS, matrix_product
from netlet.graph.resampling_aten import RESAMPLING_TRANSLATIONS, rearrangement

_INFINITY = float("inf")
# Arguments that are numbers, of element-wise functions.
_PARAMETERS: dict[str, tuple[str, ...]] = {"celu": ("alpha",), "pow": ("exponent",)}
_PARAMETERS |= {"softplus": ("beta", "threshold"), "threshold": ("threshold", "value")}


Translation = Callable[[Call], Operation]
TRANSLATIONS: dict[str, Translation] = RARE_TRANSLATIONS | RESAMPLING_TRANSLATIONS
TRANSLATIONS |= MIXING_TRANSLATIONS


def _translates(*names: str) -> Callable[[Translation], Translation]:
    def register(function: Translation) -> Translation:
        TRANSLATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def translate(call: Call) -> Operation:
    """Return the operation of the vocabulary that a call is."""
    if call.name in ELEMENTWISE:
        numbers = [call.get(name) for name in _PARAMETERS.get(call.name, ())]
        known = all(isinstance(number, int | float) for number in numbers)
        return Elementwise(call.name, tuple(map(float, numbers)) if known else ())
    translation = TRANSLATIONS.get(call.name)
    if translation is not None:
        return translation(call)
    if call.function is not None and torch.Tag.pointwise in call.function.tags:
        return Elementwise(call.name)
    return Opaque(call.name.strip("_"), multiply_adds=count_products(call))


@_translates("convolution", "_convolution")
def _convolution(call: Call) -> Operation:
    x, weight, bias = call["input"], call["weight"], call["bias"]
    rank = weight.dim() - 2
    convolution = Convolution(
        call.weight(weight, False),
        None if bias is None else call.weight(bias, False),
        _sizes(call["stride"], rank),
        _sizes(call["padding"], rank),
        _sizes(call["dilation"], rank),
        int(call["groups"]),
        bool(call["transposed"]),
    )
    if not call.is_value(x):
        name = call.name.strip("_")
        return Opaque(name, "its input is a constant", None, count_convolution(call))
    if call.is_value(weight) or call.is_value(bias):
        return call.opaque("its weights are computed from the image", convolution)
    return convolution


@_translates("mm", "addmm")
def _linear(call: Call) -> Operation:
    if call.name == "addmm":
        bias, x, weight = call["self"], call["mat1"], call["mat2"]
    else:
        bias, x, weight = None, call["self"], call["mat2"]
    if not call.is_value(x) or call.is_value(weight) or call.is_value(bias):
        return matrix_product(call)
    if call.get("beta", 1) != 1 or call.get("alpha", 1) != 1 or is_sparse(x, weight):
        return matrix_product(call)
    return Linear(call.weight(weight, True), None if bias is None else call.weight(bias, False))


@_translates(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "_batch_norm_with_update",
    "_batch_norm_no_update",
)
def _batch_norm(call: Call) -> Operation:
    momentum = call.get("momentum", call.get("exponential_average_factor"))
    eps = call.get("eps", call.get("epsilon"))
    return BatchNorm(
        call.optional_weight("weight"),
        call.optional_weight("bias"),
        call.optional_weight("running_mean"),
        call.optional_weight("running_var"),
        bool(call.get("training", call.name == "_batch_norm_with_update")),
        float(momentum),
        float(eps),
    )


@_translates("relu", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid")
def _activation(call: Call) -> Operation:
    return Activation(call.name)


@_translates("gelu")
def _gelu(call: Call) -> Operation:
    return Activation("gelu_tanh" if call["approximate"] == "tanh" else "gelu")


@_translates("leaky_relu")
def _leaky_relu(call: Call) -> Operation:
    return Activation("leaky_relu", (float(call["negative_slope"]),))


@_translates("elu")
def _elu(call: Call) -> Operation:
    return Activation("elu", tuple(float(call[name]) for name in ("alpha", "scale", "input_scale")))


@_translates("prelu", "_prelu_kernel")
def _prelu(call: Call) -> Operation:
    return Activation("prelu", (), call.weight(call["weight"], False))


@_translates("clamp", "clamp_min", "clamp_max", "hardtanh", "relu6")
def _clamp(call: Call) -> Operation:
    low, high = call.get("min"), call.get("max")
    if call.name == "relu6":
        low, high = 0.0, 6.0
    elif call.name == "hardtanh":
        low, high = call["min_val"], call["max_val"]
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        if call.is_value(low) or call.is_value(high):
            return call.opaque("its bounds are computed from the image", Elementwise("clamp"))
        tensors = [None if bound is None else call.weight(bound, False) for bound in (low, high)]
        return TensorClamp(*tensors)
    bounds = (-_INFINITY if low is None else float(low), _INFINITY if high is None else float(high))
    # At their bounds the two have different gradients.
    function = "hardtanh" if call.name in ("hardtanh", "relu6") else "clamp"
    return Activation(function, bounds)


@_translates("add", "sub", "rsub", "mul", "div")
def _arithmetic(call: Call) -> Operation:
    one, other = call["self"], call["other"]
    if rounding := call.get("rounding_mode"):
        return Elementwise(f"{rounding}_divide")
    functions: dict[str, Literal["add", "sub", "mul", "div"]] = {
        "add": "add",
        "sub": "sub",
        "rsub": "sub",
        "mul": "mul",
        "div": "div",
    }
    alpha = float(call.get("alpha", 1))
    constants = [value for value in (one, other) if not call.is_value(value)]
    if not constants:
        return Arithmetic(functions[call.name], alpha=alpha)
    (constant,) = constants
    if isinstance(constant, torch.Tensor):
        constant = call.weight(constant, False)
    elif not isinstance(constant, int | float):
        return call.opaque("its constant is complex", Elementwise(call.name))
    first = not call.is_value(one)
    return Arithmetic(functions[call.name], constant, first, alpha)


@_translates("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pooling(call: Call) -> Operation:
    rank = int(call.name[8])
    window = _sizes(call["kernel_size"], rank)
    return Pooling(
        "max",
        window,
        _sizes(call["stride"] or window, rank),
        _sizes(call["padding"], rank),
        _sizes(call["dilation"], rank),
        bool(call["ceil_mode"]),
    )


TRANSLATIONS |= {f"max_pool{n}d_with_indices": _max_pooling for n in (2, 3)}


@_translates("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _average_pooling(call: Call) -> Operation:
    rank = int(call.name[8])
    window = _sizes(call["kernel_size"], rank)
    return Pooling(
        "mean",
        window,
        _sizes(call["stride"] or window, rank),
        _sizes(call["padding"], rank),
        (1,) * rank,
        bool(call["ceil_mode"]),
        bool(call["count_include_pad"]),
        call.get("divisor_override"),
    )


@_translates(
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d"
)
def _adaptive_pooling(call: Call) -> Operation:
    mode: PoolMode = "max" if "max" in call.name else "mean"
    return AdaptivePooling(mode, tuple(call["output_size"]))


@_translates(
    *(
        "all",
        "amax",
        "amin",
        "any",
        "argmax",
        "argmin",
        "logsumexp",
        "max",
        "mean",
        "median",
        "min",
    ),
    *("prod", "std", "std_mean", "sum", "var", "var_mean", "norm", "linalg_vector_norm"),
    *("aminmax", "count_nonzero", "kthvalue", "mode", "nanmedian", "nansum"),
)
def _reduction(call: Call) -> Operation:
    if call.get("other") is not None:  # max(x, y)
        return Elementwise("maximum" if call.name == "max" else "minimum")
    x, given = call["self"], call.get("dim")
    dims = [given] if isinstance(given, int) else list(given or range(x.dim()))
    keepdim = call.out.dim() == x.dim()
    return Reduction(call.name, tuple(sorted(dim % x.dim() for dim in dims)), keepdim)


@_translates("cat")
def _concatenation(call: Call) -> Operation:
    concatenation = Concatenation(call["dim"] % call.out.dim())
    if any(not call.is_value(part) for part in call["tensors"]):
        return call.opaque(CONSTANT_PARTS, rearrangement(call))
    return concatenation


@_translates(
    "view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "unflatten"
)
def _reshape(call: Call) -> Operation:
    return Reshape("reshape" if call.name.startswith("_") else call.name)


@_translates("expand")
def _expand(call: Call) -> Operation:
    if call.out.numel() == call["self"].numel():
        return Reshape("expand")
    return rearrangement(call)


@_translates("permute", "transpose", "t")
def _permutation(call: Call) -> Operation:
    rank = call.out.dim()
    order = list(range(rank))
    if call.name == "permute":
        order = [dim % rank for dim in call["dims"]]
    else:
        both = (call["dim0"], call["dim1"]) if call.name == "transpose" else (0, rank - 1)
        a, b = (dim % rank for dim in both)
        order[a], order[b] = order[b], order[a]
    return Permutation(call.name, tuple(order))


@_translates("constant_pad_nd")
def _padding(call: Call) -> Operation:
    return Padding(tuple(call["pad"]), float(call["value"]))


@_translates("_softmax", "_log_softmax")
def _softmax(call: Call) -> Operation:
    name: Literal["softmax", "log_softmax"]
    name = "softmax" if call.name == "_softmax" else "log_softmax"
    return Softmax(name, call["dim"] % call.out.dim())


@_translates("slice", "select", "narrow")
def _slice(call: Call) -> Operation:
    x = call["self"]
    dim = call["dim"] % x.dim()
    removed = call.name == "select"
    start = call["index" if removed else "start"] or 0
    start = min(max(0, start + x.shape[dim] if start < 0 else start), x.shape[dim])
    length = 1 if removed else call.out.shape[dim]
    return Slice(call.name, dim, start, call.get("step", 1), length, removed)


def is_whole_slice(name: str, arguments: Mapping[str, Any], out: torch.Tensor) -> bool:
    """Return whether an operation cuts nothing off, like that of ``x[:]``."""
    return name in ("slice", "narrow") and out.shape == arguments["self"].shape


def split_slices(
    name: str, arguments: dict[str, Any], outs: Iterable[torch.Tensor]
) -> list[tuple[torch.Tensor, Slice]]:
    """Return the outputs of an operation that cuts a value into several, each as a slice.

    Args:
        name: ``split``, ``split_with_sizes``, ``chunk`` or ``unbind``.
        arguments: All of them, by name; the value is ``self``.
        outs: The outputs.
    """
    removed = name == "unbind"
    dim = arguments["dim"] % arguments["self"].dim()
    found, start = [], 0
    for out in outs:
        length = 1 if removed else out.shape[dim]
        found.append((out, Slice(name, dim, start, 1, length, removed)))
        start += length
    return found


def _sizes(value: Any, rank: int) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(int(v) for v in (values * rank if len(values) == 1 else values))
