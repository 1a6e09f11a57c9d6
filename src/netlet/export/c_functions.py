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
    """

    numbers: Callable[[Activation], tuple[float, ...]] = lambda layer: ()
    parts: tuple[str, ...] = ()


# The functions that C can compute in float32 without <math.h>.
C_FUNCTIONS: Mapping[FunctionName, CFunction] = {
    "clamp": CFunction(lambda layer: layer.bounds, ("*/clamp_value",)),
    "leaky_relu": CFunction(lambda layer: (layer.parameter,)),
    "hardswish": CFunction(parts=("*/clamp_value",)),
    "hardsigmoid": CFunction(parts=("*/clamp_value",)),
}
