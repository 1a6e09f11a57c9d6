"""What an operation does to receptive fields: the registry of the functions that know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netlet.analysis.fields import Field, find_places
from netlet.analysis.windows import Window
from netlet.graph import BATCH, Graph
from netlet.graph.operations import Operation

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reach:
    """What an operation works on.

    Attributes:
        fields: Receptive fields of the values that it reads.
        shapes: Their shapes, with all dimensions.
        output: Shape of its output, with all dimensions.
        makers: For each value, the operation that made it and the shape of what that one read
            first; None for the images.
        in_map: The positions of the elements of the last value in the map that they are taken from;
            None if that is not known, or the operation need not know it.
    """

    fields: tuple[Field, ...]
    shapes: tuple[Shape, ...]
    output: Shape
    makers: tuple[tuple[Operation | None, Shape], ...] = ()
    in_map: Field = None

    @property
    def field(self) -> Field:
        """The field of the first value."""
        return self.fields[0]

    def map_field(self, axes: int) -> Field:
        """Return the field of the first value as a map, whose last dimensions are its places."""
        return find_places(self.field, range(self.rank - axes, self.rank))

    @property
    def rank(self) -> int:
        """The number of dimensions of the first value."""
        return len(self.shapes[0])


@dataclass(frozen=True)
class Effect:
    """The receptive field after an operation, and the window that it slides, if any.

    ``why`` says why the field is unknown, if it is.
    """

    field: Field
    window: Window | None = None
    why: str = ""


Rule = Callable[[Any, Reach], Effect]
RULES: dict[type[Operation], Rule] = {}


def passes(*kinds: type[Operation]) -> Callable[[Rule], Rule]:
    """Register a function as the rule of some operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def apply_rule(operation: Operation, reach: Reach) -> Effect:
    """Return what an operation does to receptive fields, by its rule."""
    rule = RULES.get(type(operation))
    if rule is None:
        return Effect(None)
    try:
        return rule(operation, reach)
    except (ValueError, IndexError):  # shapes that the rule does not foresee
        return Effect(None)


def full_shape(graph: Graph, value: int) -> Shape:
    """Return the shape of a value with all dimensions, also the batch."""
    batched = not value or graph.nodes[value - 1].batched
    return (BATCH, *graph.shape_of(value)) if batched else graph.shape_of(value)
