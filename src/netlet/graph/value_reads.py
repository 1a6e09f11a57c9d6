"""Ways by which values leave PyTorch, or become another tensor, that no operation shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch

from netlet.graph.aten_names import BULK_READS, CONSTRUCTORS
from netlet.graph.tensors import has_mask, is_same, list_tensors


@dataclass(frozen=True)
class Undispatched:
    """What a call of a function did besides the operations that it dispatched.

    Attributes:
        reads_values: Whether it read values, or made a tensor of them.
        reads_weights: Whether it read other tensors.
        same: Values, each with another tensor that is the same: ``x`` and ``x.data``.
    """

    reads_values: bool
    reads_weights: bool
    same: tuple[tuple[torch.Tensor, torch.Tensor], ...]


_NOT_OF_NETS = ("netlet", "torch")  # packages between the code of a net and what watches it

# Arguments that decide the shape or the order of a result, by operation.
_SIZES = {
    "_pack_padded_sequence": "lengths",
    "repeat_interleave": "repeats",
}


def reads_sizes(name: str, arguments: dict[str, Any], is_value: Callable[[Any], bool]) -> bool:
    """Return whether the shape of an operation's result depends on values.

    Args:
        name: The name of the operation.
        arguments: By name.
        is_value: Tells whether a tensor is a value.
    """
    if name == "index":
        return has_mask([index for index in arguments["indices"] if is_value(index)])
    return name in _SIZES and is_value(arguments.get(_SIZES[name]))


def sizes_only(name: str, arguments: dict[str, Any], is_value: Callable[[Any], bool]) -> bool:
    """Return whether an operation's further results are sizes that depend on no values.

    Args:
        name: The name of the operation.
        arguments: By name.
        is_value: Tells whether a tensor is a value.
    """
    return name == "_pack_padded_sequence" and not is_value(arguments[_SIZES[name]])


def look_at_call(
    name: str,
    args: tuple[Any, ...],
    out: Any,
    is_value: Callable[[Any], bool],
    dispatched: Collection[int],
) -> Undispatched:
    """Return what a function or method did with values that no operation shows.

    Args:
        name: The name of the function.
        args: Its arguments.
        out: Its result.
        is_value: Tells whether a tensor is a value.
        dispatched: The ids of the tensors that operations have returned.
    """
    if "." in name:  # an operation, such as relu.default, which the dispatcher shows
        return Undispatched(False, False, ())
    # The first argument of these only says the type.
    given = list(list_tensors(args[1:] if name in ("new", "new_tensor") else args))
    values = [x for x in given if is_value(x)]
    reads = name in BULK_READS and bool(given)
    reads_values, same = reads and bool(values), []
    if name == "tensor_split" and any(map(is_value, args[1:])):  # where it splits
        reads_values = True
    for tensor in list_tensors(out) if values else ():
        seen = id(tensor) in dispatched and name not in CONSTRUCTORS
        if seen or is_value(tensor) or any(tensor is x for x in args):
            continue
        # Within vmap, what the operations return is seen, and not what is wrapped around it.
        if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            continue
        value = next((x for x in values if is_same(x, tensor)), None)
        if value is None:
            reads_values = True
        else:
            same.append((value, tensor))
    return Undispatched(reads_values, reads and not values, tuple(same))


def find_line(caller: CodeType | None) -> tuple[str, int] | None:
    """Return the file and the line of a net's own code that runs now.

    Args:
        caller: The code that calls the net.

    Returns:
        The innermost line; None if only layers of PyTorch run.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not caller:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _NOT_OF_NETS:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None
