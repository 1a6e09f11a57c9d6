"""Nets of a submission that belong together: a class, what is built of it, and its base classes."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netlet.classroom.code_uses import CodeUses
from netlet.classroom.failed_nets import HAS_NAME
from netlet.nets.code_imports import UNREADABLE
from netlet.nets.imported_definitions import Imported, list_imported
from netlet.nets.module_classes import (
    class_name,
    find_method,
    list_module_classes,
    list_required,
    takes_several_inputs,
)
from netlet.nets.net_builds import HELD_BEFORE, Builds
from netlet.nets.patched_classes import list_added
from netlet.nets.script import last_name
from netlet.nets.sources import read_source
from netlet.nets.used_functions import FunctionNode

_TESTS = ("test", "tests")
_MOST_SHOWN = 40  # characters of arguments


@dataclass
class Families:
    """Which nets of a submission are built of which classes, as far as the text of its files shows.

    Tests do not count: they build small nets of a class that is trained with other arguments.

    Attributes:
        named: The class or function of which a net with a name is built, and with which arguments
            other than the defaults, by the addresses of the nets.
        unnamed: The same for nets that cannot be loaded by a name, with their files and the
            reasons.
        holders: Like ``named``, but also of nets without such arguments.
        built: What code builds apart from functions that return it, like the values of ``named``.
        by_default: The classes and functions that are called with no other than the defaults.
        used: The classes that code outside of classes uses.
        bases: The base classes of classes.
        derived: The classes that inherit ``forward`` from a class of another file.
    """

    named: dict[str, tuple[str, str]] = field(default_factory=dict)
    unnamed: list[tuple[str, str, str, str]] = field(default_factory=list)
    holders: dict[str, tuple[str, str]] = field(default_factory=dict)
    built: set[tuple[str, str]] = field(default_factory=set)
    by_default: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    bases: dict[str, set[str]] = field(default_factory=dict)
    derived: list[str] = field(default_factory=list)

    def list_derived(self, graded: str) -> list[str]:
        """Return the classes that inherit ``forward`` from a net of another file."""
        return [one for one in self.derived if graded in self._list_bases(one)]

    def find_used(self, graded: str) -> str | None:
        """Return the only class derived from a net that code uses, if none uses the net itself."""
        used = [one for one in self.list_derived(graded) if one in self.used]
        return used[0] if len(used) == 1 and graded not in self.used else None

    def list_given(self, needing: Collection[str]) -> list[str]:
        """Return the variables that hold nets of classes of other files that need arguments.

        Left out is what code that trains would have to run for.

        Args:
            needing: The addresses of these classes, and of functions.
        """
        return [
            address
            for address, (kind, _) in self.named.items()
            if kind in needing
            and kind.rpartition(":")[0] != address.rpartition(":")[0]
            and not CodeUses(address).trains()
        ]

    def is_built(self, graded: str) -> bool:
        """Return whether code builds a net that is graded, apart from a function that returns it.

        A class is built if code calls it with its defaults.
        """
        return graded in self.by_default or self.holders.get(graded) in self.built

    def list_variants(self, graded: str, *, weights: bool) -> dict[str, str]:
        """Return why nets of the class that is graded are not tried, by what builds them.

        They are built with other arguments, or of a derived class.

        Args:
            graded: The address of the class, or of a function or variable that holds a net of it.
            weights: Whether there are weights: only they may be of a net that a variable held
                before its last one.
        """
        found = {}
        own = self.holders.get(graded, (graded, ""))
        for address, (kind, arguments) in self.named.items():
            if kind == own[0] and arguments != own[1]:
                name = address.rpartition(":")[2]
                found[_describe(address, kind, arguments)] = f"{HAS_NAME}{name}"
        for file, kind, arguments, reason in self.unnamed:
            is_other = kind == own[0] and arguments != own[1]
            if is_other and (weights or reason != HELD_BEFORE):
                found.setdefault(_describe(f"{file}:", kind, arguments), reason)
        for one in self.list_derived(graded):
            if one in self.used:
                found[one] = f"{HAS_NAME}{one.rpartition(':')[2]}"
        return found

    def _list_bases(self, address: str) -> set[str]:
        found: set[str] = set()
        todo = {address}
        while todo:
            more = self.bases.get(todo.pop(), set()) - found
            found |= more
            todo |= more
        return found


def _describe(address: str, kind: str, arguments: str) -> str:
    """Return ``train.py:Net(width=64)``."""
    is_short = len(arguments) <= _MOST_SHOWN and ":" not in arguments
    name = kind.rpartition(":")[2]
    return f"{address.rpartition(':')[0]}:{name}({arguments if is_short else '...'})"


def read_families(files: Iterable[Path], folder: Path) -> Families:
    """Return which nets of a submission are built of which classes.

    Args:
        files: The files of the submission.
        folder: The folder of the submission.
    """
    found = Families()
    shown = {file.resolve(): str(file) for file in files}
    for file in shown.values():
        if not is_test(Path(file), folder):
            with contextlib.suppress(*UNREADABLE):
                source = read_source(Path(file))
                imported = list_imported(source)
                _add(found, file, source.tree, imported, shown)
    return found


def _add(
    found: Families,
    file: str,
    tree: ast.Module,
    imported: Mapping[str, Imported],
    shown: Mapping[Path, str],
) -> None:
    """Add what a file builds."""
    builds = Builds(tree, imported)

    def locate(name: str) -> str:
        if name in builds.own or name not in imported:
            return f"{file}:{name}"
        there = imported[name]
        return f"{shown.get(there.path, there.path)}:{there.name}"

    for name, (node, build) in builds.named.items():
        built = locate(build.kind), build.arguments
        if not name.startswith("_"):
            found.holders[f"{file}:{name}"] = built
            if build.arguments:
                found.named[f"{file}:{name}"] = built
        if not isinstance(node, FunctionNode):
            found.built.add(built)
    for build, reason in builds.unnamed:
        kind = locate(build.kind)
        found.unnamed.append((file, kind, build.arguments, reason))
        if reason != HELD_BEFORE:
            found.built.add((kind, build.arguments))
    found.by_default |= {locate(name) for name in builds.by_default}
    modules = {*builds.modules}
    found.used |= {locate(name) for name in _list_read(tree) if name in modules}
    found.derived += [locate(name) for name in _list_derived(tree, builds)]
    for name in builds.modules:
        bases = {class_name(base) for base in builds.classes[name].bases}
        if known := {locate(base) for base in bases if base in modules and base != name}:
            found.bases.setdefault(locate(name), set()).update(known)


def _list_derived(tree: ast.Module, builds: Builds) -> Iterator[str]:
    """Yield the nets of a file that inherit ``forward`` from a class of another one."""
    classes = {name: node for name, node in builds.classes.items() if name in builds.own}
    alone = list_module_classes(classes, list_added(tree.body).get("forward", set()))
    for name in builds.modules:
        if name in classes and name not in alone and not name.startswith("_"):
            required = list_required(find_method(name, builds.classes, "__init__"))
            if not (required or takes_several_inputs(name, builds.classes)):
                yield name


def _list_read(node: ast.AST) -> Iterator[str]:
    """Yield the names that code outside of classes reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            continue
        if isinstance(child, ast.Name | ast.Attribute):
            yield last_name(child)
        yield from _list_read(child)


def is_test(file: Path, folder: Path) -> bool:
    """Return whether a file of a submission has tests, by its name or folder."""
    *folders, _ = (part.lower() for part in file.relative_to(folder).parts)
    name = file.stem.lower()
    is_named = name.startswith("test_") or name.endswith("_test") or name in (*_TESTS, "conftest")
    return is_named or any(one in _TESTS for one in folders)
