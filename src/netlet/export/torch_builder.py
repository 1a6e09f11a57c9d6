"""Write the operations of a net as expressions of PyTorch, one function for each.

Each operation of the vocabulary that can be written has one function, registered by :func:`writes`.
An operation without one is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch

from netlet.export.unsupported import SUPPORTED, unsupported
from netlet.graph import Graph, Node, Weight
from netlet.graph.operations import Operation

Writer = Callable[["SourceBuilder", Node, Any], str]
WRITERS: dict[type[Operation], Writer] = {}


def writes(kind: type[Operation]) -> Callable[[Writer], Writer]:
    """Register a function that returns an operation as a Python expression."""

    def register(function: Writer) -> Writer:
        WRITERS[kind] = function
        return function

    return register


@dataclass
class SourceBuilder:
    """The source of a net that is being written.

    Attributes:
        net: The net's name in messages.
        names: The names of the net's own tensors.
        graph: The graph of the net.
        node: The node that is being written.
        constants: So far.
    """

    net: str
    names: frozenset[str]
    graph: Graph
    node: Node = field(init=False)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)

    def value(self, position: int = 0) -> str:
        """Return the variable that holds an input."""
        return f"x{self.node.inputs[position]}"

    def values(self) -> str:
        """Return the variables that hold all inputs, as a tuple."""
        return f"({''.join(f'x{number}, ' for number in self.node.inputs)})"

    def weight(self, weight: Weight | None) -> str:
        """Return the expression of a tensor that does not depend on the images, or ``None``."""
        if weight is None:
            return "None"
        if weight.name in self.names:
            return f"w[{weight.name!r}]"
        return self.constant(weight.tensor)

    def constant(self, tensor: torch.Tensor) -> str:
        """Return the expression of a tensor that is stored beside those of the net."""
        number = len(self.constants)
        name = f"constant_{number}"
        while name in self.names:
            name += "_"
        self.constants[name] = tensor.detach().clone().contiguous()
        return f"w[{name!r}]"

    def refuse(self, what: str) -> NoReturn:
        """Raise the error that names the node's module and the operation."""
        raise unsupported(self.node.place(self.net), what, f"{SUPPORTED} (docs/hubs.md)")
