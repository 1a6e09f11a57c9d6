"""Turn the ATen operations of activation functions into layers."""

from __future__ import annotations

from typing import Any

import torch

from netlet.export.graph import UNBOUNDED, Activation, Clamp, FunctionName
from netlet.export.graph_builder import GraphBuilder

ACTIVATIONS: dict[str, FunctionName] = {
    "elu": "elu",
    "gelu": "gelu",
    "hardsigmoid": "hardsigmoid",
    "hardswish": "hardswish",
    "leaky_relu": "leaky_relu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "tanh": "tanh",
}


def add_activation(
    builder: GraphBuilder,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: torch.Tensor,
) -> None:
    """Add an activation function of :data:`ACTIVATIONS`.

    Raises:
        ExportError: No export supports its options.
    """
    function, parameter = ACTIVATIONS[name], 0.0
    if name == "leaky_relu":
        parameter = float(args[1]) if len(args) > 1 else 0.01
    elif name == "elu":
        parameter = float(args[1]) if len(args) > 1 else 1.0
        if any(float(scale) != 1 for scale in args[2:4]):
            raise builder.unsupported("SELU or a scaled ELU", "nn.ELU")
    elif name == "gelu" and kwargs.get("approximate", "none") == "tanh":
        function = "gelu_tanh"
    append_activation(builder, args[0], out, function, parameter)


def add_prelu(builder: GraphBuilder, args: tuple[Any, ...], out: torch.Tensor) -> None:
    """Add a PReLU whose slopes are all equal.

    Raises:
        ExportError: It has different slopes.
    """
    slopes = args[1].detach().reshape(-1)
    if not bool((slopes == slopes[0]).all()):
        raise builder.unsupported(
            "PReLU with a slope for each channel", "nn.PReLU() with one slope, or LeakyReLU"
        )
    append_activation(builder, args[0], out, "leaky_relu", float(slopes[0]))


def append_activation(
    builder: GraphBuilder,
    x: torch.Tensor,
    out: torch.Tensor,
    function: FunctionName,
    parameter: float = 0.0,
    bounds: Clamp = UNBOUNDED,
) -> None:
    """Add an activation layer to the graph."""
    number = builder.number_of(x)
    shape = builder.shape_of(number)
    builder.add_layer(out, Activation(builder.name, (number,), shape, function, parameter, bounds))


def clamp_bounds(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Clamp:
    """Return the lower and upper bound of a clamp, ReLU, ReLU6 or hard tanh."""
    inf = float("inf")
    if name == "relu":
        return 0.0, inf
    if name == "relu6":
        return 0.0, 6.0
    if name == "hardtanh":
        low, high = (
            (*args[1:3], -1.0, 1.0)[:2]
            if len(args) > 2
            else (args[1] if len(args) > 1 else -1.0, 1.0)
        )
        return float(low), float(high)
    low = args[1] if len(args) > 1 and name != "clamp_max" else kwargs.get("min")
    high = (
        args[1]
        if len(args) > 1 and name == "clamp_max"
        else args[2]
        if len(args) > 2
        else kwargs.get("max")
    )
    return (-inf if low is None else float(low)), (inf if high is None else float(high))
