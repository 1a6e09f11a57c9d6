"""Turn the graph of a net into a program, or say which operation the compiled backend lacks.

Each operation of the vocabulary has one function, registered by :func:`lowers`. An operation
without one is refused by name, and the net is trained in eager mode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch

from netlet.backends.cpu.errors import UnsupportedNetError
from netlet.backends.cpu.parts.base import IMAGE, MapShape, Part
from netlet.backends.cpu.parts.maps import Images
from netlet.backends.cpu.parts.stage import Stage
from netlet.graph import Graph, Node, Weight
from netlet.graph.operations import Operation
from netlet.text import format_shape


@dataclass(frozen=True)
class Value:
    """A value of the graph, as the program has it.

    Attributes:
        part: Number of the part that computes it, or :data:`IMAGE`.
        shape: The shape of the map. The net's own shape may lack dimensions of size 1, or be
            flattened.
        dims: The net's own shape, without ``N``.
        exclusive: Whether nothing else reads the part, as far as it is known.
        scale: The scale of the images: factors of their channels.
        shift: The shift of the images: added to their channels.
    """

    part: int
    shape: MapShape
    dims: tuple[int, ...]
    exclusive: bool = True
    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether a map of several pixels is flattened."""
        shape = self.shape
        pixels = shape.h * shape.w
        return pixels > 1 and self.dims == (shape.channels * pixels,)

    def axes(self) -> tuple[str, ...]:
        """Return what each of the net's own dimensions is, such as ``C``, ``H`` and ``W``."""
        if self.flat:
            return ("CHW",)
        if len(self.dims) == 2 and self.shape.h > 1 and self.shape.w > 1:
            return ("C", "HW")
        if len(self.dims) == 2:
            return ("C", "H" if self.shape.w == 1 else "W")
        return ("C", "H", "W")[: len(self.dims)]


Lowering = Callable[["Builder", Node, Any], Value]
LOWERINGS: dict[type[Operation], Lowering] = {}


def lowers(*kinds: type[Operation]) -> Callable[[Lowering], Lowering]:
    """Register a function that adds an operation to a program and returns its value."""

    def register(function: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(kinds, function))
        return function

    return register


@dataclass
class Builder:
    """A program that is being built.

    Attributes:
        graph: The graph of the net, in training mode.
        tensors: The net's own tensors by name.
        parts: So far.
        values: Those of the graph so far.
        needed: Numbers of the graph's values that its output depends on.
        statistics: Names of running statistics.
        node: The node that is being lowered.
    """

    graph: Graph
    tensors: dict[str, torch.Tensor]
    parts: list[Part] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    needed: frozenset[int] = frozenset()
    statistics: frozenset[str] = frozenset()
    node: Node | None = None

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that names the node that is being lowered.

        If it is one of several operations of a layer or function of PyTorch, the error names that
        one, and not the reason, which is not about what the user has written.
        """
        node = self.node
        assert node is not None
        kind = node.operation.name
        if node.function not in ("", kind):
            parts = [other for other in self.graph.nodes if other.call == node.call]
            if len({part.operation.name for part in parts}) > 1:
                kind, why = node.layer or node.function, "is not supported"
                if any(part.operation.name == node.function for part in parts):
                    # Such as a linear layer, which is one operation for vectors only.
                    given = self.graph.shape_of(parts[0].inputs[0])
                    why += f" for an input of {format_shape(given)}"
            else:
                kind = node.layer or kind
        name = node.path or kind
        raise UnsupportedNetError(f"{name} {why}" if name == kind else f"{name} ({kind}) {why}")

    def value(self, position: int = 0) -> Value:
        """Return an input of the node; its ``exclusive`` tells whether the node alone reads it."""
        assert self.node is not None
        number = self.node.inputs[position]
        found = self.values[number]
        readers = [r for r in self.graph.readers(number) if r in self.needed]
        alone = found.exclusive and len(readers) == 1 and number != self.graph.output
        return dataclasses.replace(found, exclusive=alone)

    def map(self, position: int = 0) -> Value:
        """Return an input as a map that a part computes."""
        found = self.value(position)
        if found.part != IMAGE:
            return found
        number = self.add(Images((IMAGE,), found.shape, scale=found.scale, shift=found.shift))
        return dataclasses.replace(found, part=number)

    def whole_map(self) -> Value:
        """Return the first input as a map, which must be one ``C H W``."""
        value = self.map()
        if value.flat or len(value.dims) != 3:
            self.refuse("reads a flattened map")
        return value

    def tensor(self, weight: Weight | None) -> torch.Tensor | None:
        """Return the net's own tensor of a weight.

        Raises:
            UnsupportedNetError: It is none, but computed from others.
        """
        if weight is None:
            return None
        if not weight.name:
            self.refuse("computes its weights from other tensors")
        return self.tensors[weight.name]

    def parameter(self, weight: Weight | None) -> torch.Tensor | None:
        """Return the net's own parameter of a weight.

        Raises:
            UnsupportedNetError: It is none, but a buffer or computed from other tensors.
        """
        tensor = self.tensor(weight)
        if tensor is not None and not isinstance(tensor, torch.nn.Parameter):
            self.refuse("has weights that are not trained")
        return tensor

    def add(self, part: Part) -> int:
        """Add a part and return its number."""
        self.parts.append(part)
        return len(self.parts) - 1

    def result(self, part: Part, dims: Sequence[int] | None = None) -> Value:
        """Add a part and return its output as the value of the node.

        Args:
            part: The part.
            dims: The net's own shape of the output; by default the node's.
        """
        assert self.node is not None
        return Value(self.add(part), part.shape, tuple(self.node.shape if dims is None else dims))

    def open_stage(self, value: Value) -> Stage | None:
        """Return the stage that computes a value, if the node may become a part of it."""
        if value.part == IMAGE or not value.exclusive:
            return None
        part = self.parts[value.part]
        return part if isinstance(part, Stage) else None

    def extend(self, value: Value, stage: Stage) -> Value:
        """Replace the stage that computes a value by one that also computes the node."""
        assert self.node is not None
        self.parts[value.part] = stage
        return dataclasses.replace(
            value, shape=stage.shape, dims=tuple(self.node.shape), exclusive=True
        )

    def pop(self, kind: type[Part], value: Value) -> Part | None:
        """Remove and return the part that computes a value, or None.

        Only the last part, of a kind, that nothing else reads can be removed.
        """
        last = len(self.parts) - 1
        if value.part == last and value.exclusive and isinstance(self.parts[last], kind):
            return self.parts.pop()
        return None
