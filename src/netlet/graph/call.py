"""A call of an operation that PyTorch dispatches, as a tracer sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from netlet.graph.graph import Weight
from netlet.graph.operations import Opaque, Operation


@dataclass(frozen=True)
class Call:
    """A call of an ATen operation that reads at least one value.

    Attributes:
        name: Of the operation, without overload and trailing underscore.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        out: Its first output.
        is_value: Tells whether a tensor is a value.
        weight: Returns a tensor that is no value as a weight; the second argument: transposed.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: torch.Tensor
    is_value: Callable[[Any], bool]
    weight: Callable[[torch.Tensor, bool], Weight]

    def get(self, index: int, name: str, default: Any = None) -> Any:
        """Return an argument by position or name."""
        return self.args[index] if len(self.args) > index else self.kwargs.get(name, default)

    def optional_weight(self, index: int) -> Weight | None:
        """Return an argument that may be None as a weight."""
        tensor = self.args[index]
        return None if tensor is None else self.weight(tensor, False)

    def opaque(self, why: str, like: Operation | None = None) -> Opaque:
        """Return an operation that no reader knows, for the reason given.

        Args:
            why: The reason.
            like: What has the same cost and depends on the same elements, if that is known.
        """
        return Opaque(self.name.strip("_"), why, like)
