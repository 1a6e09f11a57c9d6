"""Element-wise functions of the C export in float32; in int8 all functions are lookup tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netlet.export.inference_graph import Activation, FunctionName


@dataclass(frozen=True)
class CFunction:
    """An element-wise function in C, in the file of ``c/float32`` that has its name.

    Attributes:
        numbers: Returns its last arguments, after the maps and their size.
        parts: Files of ``c/`` that its file needs.
        name: Its name in C, where its own is that of a function of C; empty: its own.
    """

    numbers: Callable[[Activation], tuple[float, ...]] = lambda layer: ()
    parts: tuple[str, ...] = ()
    name: str = ""


_EXPONENTIAL = ("float32/exponential",)
C_FUNCTIONS: Mapping[FunctionName, CFunction] = {
    "abs": CFunction(name="absolute"),
    "clamp": CFunction(lambda layer: layer.bounds, ("*/clamp_value",)),
    "leaky_relu": CFunction(lambda layer: (layer.parameter,)),
    "elu": CFunction(lambda layer: (layer.parameter,), _EXPONENTIAL),
    "exp": CFunction(parts=_EXPONENTIAL, name="exponentials"),
    "hardswish": CFunction(parts=("*/clamp_value",)),
    "hardsigmoid": CFunction(parts=("*/clamp_value",)),
    "sigmoid": CFunction(parts=_EXPONENTIAL),
    "tanh": CFunction(parts=_EXPONENTIAL, name="hyperbolic_tangents"),
    "silu": CFunction(parts=_EXPONENTIAL),
    "mish": CFunction(parts=_EXPONENTIAL),
    "softplus": CFunction(parts=_EXPONENTIAL),
    "gelu": CFunction(parts=_EXPONENTIAL),
    "gelu_tanh": CFunction(parts=_EXPONENTIAL),
}
