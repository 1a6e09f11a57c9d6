"""What a net consists of, as plain values: what rules about layers are judged by.

``netlet.analysis`` reads it off the traced graph. It is kept in the records of runs whose budget
has such rules, so that the verdict can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PerAxis = tuple[int, ...]


@dataclass(frozen=True)
class Element:
    """One operation that the net's output depends on.

    Attributes:
        name: The path of its module; for a function, the function and the module that calls it.
        families: The names of the families that it belongs to, and of the layers of torch.nn that
            it is an instance of.
        inputs: Places, in the list of elements, of those whose outputs it reads.
        before: The receptive field of what it reads, for each axis; None if it is unknown.
        kernel: Size of the kernel of a convolution.
        weights: The name of its weights; elements with the same weights are one layer.
        near: Families that it nearly belongs to, each with the reason why not.
        unsure: Whether it may be something that the trace cannot see.
    """

    name: str
    families: tuple[str, ...] = ()
    inputs: tuple[int, ...] = ()
    before: PerAxis | None = None
    kernel: PerAxis = ()
    weights: str = ""
    near: tuple[tuple[str, str], ...] = ()
    unsure: bool = False


@dataclass(frozen=True)
class Layout:
    """What one run of a net showed.

    Attributes:
        elements: In the order in which they ran; those that the output does not depend on are left
            out.
        ends: Places of the elements that the output is read from.
        field: The receptive field of the output, for each axis; None if it is unknown.
    """

    elements: tuple[Element, ...]
    ends: tuple[int, ...]
    field: PerAxis | None = None

    def __post_init__(self) -> None:
        """Check that every element reads earlier ones; code in a sandbox may say anything.

        Raises:
            ValueError: One does not.
        """
        for place, element in enumerate(self.elements):
            if any(not 0 <= source < place for source in element.inputs):
                raise ValueError(f"element {place} reads none of those before it")
        if any(not 0 <= end < len(self.elements) for end in self.ends):
            raise ValueError("the output is read from an element that does not exist")


@dataclass(frozen=True)
class Structure:
    """What a net consists of.

    Attributes:
        training: What runs in training mode.
        evaluation: What runs in evaluation mode; None if it is the same.
        unknown: Why the net may consist of something else on other images; empty if it may not.
        kinds: For each class of modules that run, containers included, the names of the modules.
    """

    training: Layout
    evaluation: Layout | None = None
    unknown: str = ""
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = ()


def structure_from_json(values: Mapping[str, Any]) -> Structure:
    """Return a structure from the values that JSON stores."""
    evaluation = values["evaluation"]
    return Structure(
        _layout_from_json(values["training"]),
        None if evaluation is None else _layout_from_json(evaluation),
        values["unknown"],
        tuple((kind, tuple(names)) for kind, names in values["kinds"]),
    )


def _layout_from_json(values: Mapping[str, Any]) -> Layout:
    elements = tuple(
        Element(**{name: _freeze(value) for name, value in element.items()})
        for element in values["elements"]
    )
    return Layout(elements, _freeze(values["ends"]), _freeze(values["field"]))


def _freeze(value: Any) -> Any:
    return tuple(map(_freeze, value)) if isinstance(value, list | tuple) else value
