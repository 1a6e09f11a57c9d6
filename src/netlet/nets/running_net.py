"""What is known of a net that runs, and what its file has for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType

from torch import nn

from netlet.nets.built_nets import Building, find_namespace
from netlet.nets.cells import Source
from netlet.nets.definitions import Selection
from netlet.nets.registered import list_modules
from netlet.nets.stored_values import is_a, list_bases
from netlet.nets.used_functions import (
    find_used,
    is_of_library,
    list_all_functions,
    list_functions,
    list_names,
)


@dataclass(frozen=True)
class ReadNames:
    """The global names of a net's module that its functions read.

    Attributes:
        built: Those that they read when the net is built.
        called: Those that they read when it runs.
    """

    built: set[str]
    called: set[str]


@dataclass(frozen=True)
class SavedNet:
    """What a file has for a net.

    Attributes:
        source: The file.
        selection: The net and the statements that it needs.
        place: The file as the address names it.
    """

    source: Source
    selection: Selection
    place: str


@dataclass(frozen=True)
class RunningNet:
    """A net that runs.

    Attributes:
        net: The net.
        builder: The class or function that has built it, if that is known.
        building: How it was built, if that is known.
        home: The names in its module, as they are now.
    """

    net: nn.Module
    builder: object
    building: Building | None
    home: Mapping[str, object]

    @property
    def own_building(self) -> Building | None:
        """How it was built, if code of its module did that."""
        building = self.building
        return building if building and find_namespace(building.builder) is self.home else None

    @cached_property
    def parts(self) -> list[nn.Module]:
        """The net and its modules."""
        return [part for _, part in list_modules(self.net)]

    @cached_property
    def classes(self) -> list[type]:
        """The classes of its modules, with their bases."""
        found = {id(cls): cls for part in self.parts for cls in list_bases(type(part))}
        return list(found.values())

    @cached_property
    def read(self) -> ReadNames:
        """The names of its module that its functions read."""
        own = {id(cls) for cls in self.classes}
        members: dict[str, list[FunctionType]] = {}
        for cls in self.classes:
            for function in list_functions(cls):
                members.setdefault(function.__name__, []).append(function)
        built = [*members.get("__init__", ()), *members.get("__new__", ())]
        if not is_a(self.builder, type):
            built += list_functions(self.builder)

        def follow(todo: list[FunctionType]) -> set[str]:
            seen, found = set[FunctionType](), set[str]()
            while todo:
                function = todo.pop()
                if function in seen or is_of_library(function):
                    continue
                seen.add(function)
                read, names = list_names(function.__code__)
                if function.__globals__ is self.home:
                    found |= read
                todo += [one for name in names for one in members.get(name, ())]
                # Of the net's own classes, the methods that are called are followed by their names.
                used = (one for one in find_used(function) if id(one) not in own)
                todo += [one for value in used for one in list_all_functions(value)]
            return found

        return ReadNames(follow(built), follow([*members.get("forward", ())]))
