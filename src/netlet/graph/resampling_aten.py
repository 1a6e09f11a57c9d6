"""Translate the ATen operations that put elements in other places, resample or sort them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.graph.call import Call
from netlet.graph.operations import Operation
from netlet.graph.rare_operations import (
    GatedHalf,
    Interpolation,
    Rearrangement,
    Scan,
    Sorting,
)
from netlet.graph.tensors import list_tensors

_INTERPOLATIONS = (
    *(f"upsample_nearest{n}d" for n in (1, 2, 3)),
    *(f"_upsample_nearest_exact{n}d" for n in (1, 2, 3)),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_lanczos2d_aa"),
)
_REARRANGEMENTS = (
    *("channel_shuffle", "diag_embed", "diagonal", "diagonal_scatter", "flip", "im2col"),
    *("index", "index_copy", "index_fill", "index_select"),
    *("native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "repeat", "roll", "rot90"),
    *("scatter", "select_scatter", "slice_scatter", "take", "tril", "triu", "unfold"),
    *("_unsafe_index", "_unsafe_index_put"),
)
# The arguments that have elements; all others are indices, sizes and so on.
_ELEMENTS = frozenset(["self", "tensors", "input", "source", "src", "value", "values"])


def rearrangement(call: Call) -> Operation:
    """Return an operation that only puts elements in other places."""
    others = [value for name, value in call.arguments.items() if name not in _ELEMENTS]
    if any(map(call.is_value, list_tensors(others))):
        return call.opaque("which elements it reads depends on the image")
    if call.get("accumulate") or call.get("reduce"):
        return call.opaque("it combines elements at some places")
    return Rearrangement(call.name.strip("_"), find_source(call))


def find_source(call: Call) -> NDArray[np.int64]:
    """Return where the elements of a result come from, by running the call on their numbers.

    Args:
        call: The call of an operation that puts elements in other places.

    Returns:
        See :class:`Rearrangement`.

    Raises:
        ValueError: The call writes to a tensor that it is given for its result.
    """
    start = 1  # zeros are constants

    def number(value: Any) -> Any:
        nonlocal start
        if isinstance(value, list | tuple):
            return [number(part) for part in value]
        if not isinstance(value, torch.Tensor):
            return 0
        if not call.is_value(value):
            return torch.zeros(value.shape, dtype=torch.float64)
        numbers = torch.arange(start, start + value.numel(), dtype=torch.float64)
        start += value.numel()
        return numbers.reshape(value.shape)

    args, kwargs = [], {}
    for argument in call.function._schema.arguments:
        value = call.arguments[argument.name]
        if argument.kwarg_only and argument.alias_info is not None and value is not None:
            raise ValueError(f"{call.name} with out=")
        if argument.name in _ELEMENTS:
            value = number(value)
        if argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    found: NDArray[np.int64] = call.function(*args, **kwargs).numpy().astype(np.int64) - 1
    return found


def constant_everywhere(name: str, out: torch.Tensor) -> Operation:
    """Return an operation that replaces all elements of a value by constants."""
    return Rearrangement(name, np.full(tuple(out.shape), -1, dtype=np.int64))


def _interpolation(call: Call) -> Operation:
    size = tuple(int(n) for n in call["output_size"])
    scales = tuple(call[name] for name in call.arguments if name.startswith("scales"))
    return Interpolation(call.name, size, call.get("align_corners"), scales)


def _glu(call: Call) -> Operation:
    return GatedHalf(call["dim"] % call.out.dim())


def _scan(call: Call) -> Operation:
    return Scan(call.name.strip("_"), call["dim"] % call.out.dim())


def _sorting(call: Call) -> Operation:
    return Sorting(call.name, call.get("dim", 0) % call["self"].dim())


RESAMPLING_TRANSLATIONS: dict[str, Callable[[Call], Operation]] = {
    **dict.fromkeys(_INTERPOLATIONS, _interpolation),
    **dict.fromkeys(_REARRANGEMENTS, rearrangement),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "_logcumsumexp"), _scan),
    **dict.fromkeys(("cummax", "cummin"), _scan),
    **dict.fromkeys(("sort", "topk", "argsort", "msort"), _sorting),
    "glu": _glu,
}
