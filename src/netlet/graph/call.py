"""A call of an operation that PyTorch dispatches, as a tracer sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from netlet.graph.aten_names import POINTWISE
from netlet.graph.graph import Weight
from netlet.graph.operations import Opaque, Operation
from netlet.graph.rare_operations import EdgePadding
from netlet.graph.tensors import fills_storage, list_tensors

_CONVOLUTIONS = frozenset(
    f"conv{transposed}{rank}d" for transposed in ("", "_transpose") for rank in (1, 2, 3)
)

# Those of ``RANDOM`` that draw each number as a tensor says.
_SAMPLING = frozenset(["bernoulli", "multinomial", "native_dropout", "normal", "poisson"])


def operation_name(func: Any) -> str:
    """Return the name of an ``OpOverload``, without namespace, overload and trailing underscore."""
    return str(func._schema.name).partition("::")[2].removesuffix("_")


def bind_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by their names in the operation's schema, in its order.

    The order of the arguments differs from operation to operation, and trailing ones that have
    their default value are left out; their names are reliable.

    Args:
        func: The operation, an ``OpOverload``.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """
    bound = {}
    for at, argument in enumerate(func._schema.arguments):
        if at < len(args):
            bound[argument.name] = args[at]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
    return bound


def wrap_numbers(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments with a tensor wherever the operation expects one.

    A traced net computes with sizes in tensors, which PyTorch hands to a dispatch mode as numbers.

    Args:
        func: The operation, an ``OpOverload``.
        args: Its positional arguments.
    """
    if any(True for _ in list_tensors(args)):
        return args
    types = [str(argument.type) for argument in func._schema.arguments]
    return tuple(
        torch.tensor(value) if type(value) in (bool, float, int) and type_ == "Tensor" else value
        for value, type_ in zip(args, types, strict=False)
    )


def refuse_wrong_state(func: Any, arguments: dict[str, Any]) -> None:
    """Refuse a state of a recurrent layer that is for another number of images.

    A traced net may have one, and PyTorch writes beyond its memory without a check.

    Args:
        func: The operation, an ``OpOverload``.
        arguments: By name.

    Raises:
        RuntimeError: The state has another size.
    """
    if func._schema.name != "aten::mkldnn_rnn_layer":
        return
    images = arguments["input"].shape[1]
    for name in ("hx_", "cx_"):
        if arguments[name].dim() > 1 and arguments[name].shape[-2] != images:
            raise RuntimeError(
                f"the state of a recurrent layer is for {arguments[name].shape[-2]} images, not "
                f"for {images}; trace a net whose state has the size of the batch"
            )


def find_circular_padding(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[torch.Tensor, EdgePadding] | None:
    """Return what ``F.pad`` pads and how, if it does so with the other side of the map.

    Args:
        func: A function of PyTorch.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """
    if getattr(func, "__name__", "") != "pad":
        return None
    bound = dict(zip(("input", "pad", "mode"), args, strict=False)) | kwargs
    if bound.get("mode") != "circular" or min(bound["pad"]) < 0:
        return None
    sizes = tuple(bound["pad"])
    return bound["input"], EdgePadding(f"circular_pad{len(sizes) // 2}d", sizes)


def find_complex_convolution(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...] | None:
    """Return the arguments of ``aten::convolution`` for a convolution of complex numbers.

    PyTorch dispatches three real convolutions and some sums instead of it. A single image becomes
    a batch here, and one that is padded unequally on both sides is padded, as PyTorch does it for
    real numbers.

    Args:
        func: A function of PyTorch.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Returns:
        None if the function is no such convolution, or if it fails.
    """
    name = getattr(func, "__name__", "")
    if name not in _CONVOLUTIONS or not any(t.is_complex() for t in list_tensors((args, kwargs))):
        return None
    transposed = "transpose" in name
    packet = getattr(torch.ops.aten, name)
    overload = "input" if "input" in packet.overloads() else "default"
    bound = bind_arguments(getattr(packet, overload), args, kwargs)
    x, weight, padding = bound["input"], bound["weight"], bound["padding"]
    rank = weight.dim() - 2
    if x.dim() == rank + 1:
        x = x.unsqueeze(0)
    if x.dim() != weight.dim():
        return None
    dilation = bound["dilation"]
    if isinstance(padding, str):
        each = dilation if isinstance(dilation, Sequence) else [dilation]
        total = [
            (size - 1) * each[axis % len(each)] if padding == "same" else 0
            for axis, size in enumerate(weight.shape[2:])
        ]
        padding = [both // 2 for both in total]
        if any(both % 2 for both in total):
            x = pad(x, [side for both in reversed(total) for side in (0, both % 2)])
    added = bound["output_padding"] if transposed else [0] * rank
    return (
        *(x, weight, bound["bias"], bound["stride"], padding, dilation, transposed, added),
        bound["groups"],
    )


def written_tensors(func: Any, arguments: dict[str, Any]) -> list[torch.Tensor]:
    """Return the tensors that an operation writes to.

    Args:
        func: The operation, an ``OpOverload``.
        arguments: By name.
    """
    if not func._schema.is_mutable:
        return []
    written = [
        arguments.get(argument.name)
        for argument in func._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return list(list_tensors(written))


def sampling_tensors(func: Any, arguments: dict[str, Any]) -> list[torch.Tensor]:
    """Return the tensors whose numbers say how an operation of ``RANDOM`` draws each of its own.

    Such as means and probabilities. Most of these operations read only the shape of a tensor.

    Args:
        func: The operation, an ``OpOverload``.
        arguments: By name.
    """
    schema = func._schema
    by_number = isinstance(arguments.get("p"), float) and schema.name == "aten::bernoulli"
    if operation_name(func) not in _SAMPLING or by_number:
        return []
    read = {
        argument.name: arguments.get(argument.name)
        for argument in schema.arguments
        if argument.alias_info is None or not argument.alias_info.is_write
    }
    return list(list_tensors(read))


def replaced_tensors(func: Any, arguments: dict[str, Any]) -> list[torch.Tensor]:
    """Return the tensors whose numbers an operation replaces without reading them.

    Args:
        func: The operation, an ``OpOverload``.
        arguments: By name.
    """
    names = _replaced_names(func)
    return list(list_tensors({name: arguments.get(name) for name in names}))


def drop_overwritten(func: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an operation, without those of which nothing is left afterwards.

    Args:
        func: The operation, an ``OpOverload``, which is over: it may have resized what it wrote to.
        arguments: By name.

    Returns:
        ``arguments`` itself if it writes to nothing, or if numbers in that memory are as before.
    """
    names = _replaced_names(func)
    # Some operations that make tensors leave in ``out`` what was there.
    if not names or func.namespace != "aten" or operation_name(func) not in POINTWISE | {"zero"}:
        return arguments
    lost, written = replaced_tensors(func, arguments), written_tensors(func, arguments)
    if len(lost) != len(written) or not all(map(fills_storage, lost)):
        return arguments
    return {name: value for name, value in arguments.items() if name not in names}


def _replaced_names(func: Any) -> list[str]:
    if not func._schema.is_mutable:
        return []
    replaces = func._schema.name in ("aten::copy_", "aten::fill_", "aten::zero_")
    return [
        argument.name
        for argument in func._schema.arguments
        if argument.alias_info is not None
        and argument.alias_info.is_write
        and (argument.kwarg_only or replaces)
    ]


@dataclass(frozen=True)
class Call:
    """A call of an ATen operation that reads at least one value.

    Attributes:
        name: The name of the operation, without overload and trailing underscore.
        arguments: By name, also those that have their default value.
        out: Its first output.
        is_value: Tells whether a tensor is a value.
        weight: Returns a tensor that is not a value as a weight; the second argument: transposed.
        function: The operation itself, an ``OpOverload``; None if it is not known.
    """

    name: str
    arguments: dict[str, Any]
    out: torch.Tensor
    is_value: Callable[[Any], bool]
    weight: Callable[[torch.Tensor, bool], Weight]
    function: Any = None

    def __getitem__(self, name: str) -> Any:
        """Return an argument.

        Raises:
            KeyError: The operation has none of this name.
        """
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument that only some overloads of the operation have."""
        return self.arguments.get(name, default)

    def optional_weight(self, name: str) -> Weight | None:
        """Return an argument that may be None as a weight."""
        tensor = self.get(name)
        return None if tensor is None else self.weight(tensor, False)

    def opaque(self, why: str, like: Operation | None = None) -> Opaque:
        """Return an operation that no reader knows, for the reason given.

        Args:
            why: The reason.
            like: What has the same cost and depends on the same elements, if that is known.
        """
        return Opaque(self.name.strip("_"), why, like)
