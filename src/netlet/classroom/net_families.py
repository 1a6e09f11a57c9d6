"""Nets of a submission that belong together: a class, what is built of it, and its base classes."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netlet.nets.code_imports import UNREADABLE
from netlet.nets.imported_definitions import Imported, list_imported
from netlet.nets.module_classes import class_name
from netlet.nets.net_builds import Builds
from netlet.nets.sources import read_source

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
        by_default: The classes and functions that are called with no other than the defaults.
        bases: The base classes of classes.
    """

    named: dict[str, tuple[str, str]] = field(default_factory=dict)
    unnamed: list[tuple[str, str, str, str]] = field(default_factory=list)
    by_default: set[str] = field(default_factory=set)
    bases: dict[str, set[str]] = field(default_factory=dict)

    def list_hidden(self, addresses: Collection[str]) -> list[str]:
        """Return the classes that are nets, too, since another file builds them by default.

        Args:
            addresses: The nets that are found in each file alone.
        """
        kinds = [self.named[one][0] for one in addresses if one in self.named]
        return [one for one in dict.fromkeys(kinds) if one in self.by_default - {*addresses}]

    def list_variants(self, addresses: Collection[str]) -> set[tuple[str, str]]:
        """Return the classes of which some nets are built although they are nets by themselves."""
        pairs = {(self.named[one][0], one) for one in addresses if one in self.named}
        return {(kind, one) for kind, one in pairs if kind in self.by_default}

    def list_superseded(self, addresses: Collection[str]) -> set[str]:
        """Return those of some nets beside which another one of the same class counts.

        They are classes that are only built with other arguments than their defaults. Of a base
        class and one derived from it, the one that the code builds counts.
        """
        kinds = {one: self.named.get(one, (one, ""))[0] for one in addresses}
        built = {kind for kind, _ in self.named.values()} | self.by_default
        built |= {kind for _, kind, _, _ in self.unnamed}
        found = {kind for one, kind in kinds.items() if one != kind} - self.by_default
        for derived in kinds.values():
            for base in self._list_bases(derived) & {*kinds.values()}:
                if (derived in built) != (base in built):
                    unused = base if derived in built else derived
                    found |= {one for one, kind in kinds.items() if kind == unused}
        return found

    def choose(self, addresses: Sequence[str], fitting: Collection[str]) -> list[str]:
        """Return the nets that count: of a family the one that the weights fit.

        If they fit several, or there are no weights, a class counts more than what is built of it.

        Args:
            addresses: Nets that differ.
            fitting: Those that the weights fit.
        """
        groups: dict[str, list[str]] = {}
        for one in addresses:
            groups.setdefault(self._find_root(one), []).append(one)
        chosen: list[str] = []
        for group in groups.values():
            fits = [one for one in group if one in fitting]
            if len(fits) == 1:
                chosen += fits
                continue
            first: dict[tuple[str, str], str] = {}
            for one in group:
                first.setdefault(self.named.get(one, (one, "")), one)
            chosen += [
                one for (kind, arguments), one in first.items() if not (arguments and kind in group)
            ]
        return chosen

    def list_unnamed(self, graded: str) -> dict[str, str]:
        """Return why nets of the class that is graded cannot be tried, by what builds them."""
        own, given = self.named.get(graded, (graded, ""))
        found = {}
        for file, kind, arguments, reason in self.unnamed:
            if kind == own and arguments not in ("", given):
                name = kind.rpartition(":")[2]
                is_short = len(arguments) <= _MOST_SHOWN and ":" not in arguments
                found[f"{file}:{name}({arguments if is_short else '...'})"] = reason
        return found

    def _list_bases(self, address: str) -> set[str]:
        found: set[str] = set()
        todo = {address}
        while todo:
            more = self.bases.get(todo.pop(), set()) - found
            found |= more
            todo |= more
        return found

    def _find_root(self, address: str) -> str:
        """Return the class from which a net and its class descend."""
        kind, _ = self.named.get(address, (address, ""))
        return min([one for one in self._list_bases(kind) if one not in self.bases], default=kind)


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
                _add(found, file, Builds(source.tree, imported), imported, shown)
    return found


def _add(
    found: Families,
    file: str,
    builds: Builds,
    imported: Mapping[str, Imported],
    shown: Mapping[Path, str],
) -> None:
    """Add what a file builds."""

    def locate(name: str) -> str:
        if name in builds.own or name not in imported:
            return f"{file}:{name}"
        there = imported[name]
        return f"{shown.get(there.path, there.path)}:{there.name}"

    for name, (_, build) in builds.named.items():
        if build.arguments:
            found.named[f"{file}:{name}"] = locate(build.kind), build.arguments
    for build, reason in builds.unnamed:
        found.unnamed.append((file, locate(build.kind), build.arguments, reason))
    found.by_default |= {locate(name) for name in builds.by_default}
    for name in builds.modules:
        bases = {class_name(base) for base in builds.classes[name].bases}
        if known := {locate(base) for base in bases if base in builds.modules and base != name}:
            found.bases.setdefault(locate(name), set()).update(known)


def is_test(file: Path, folder: Path) -> bool:
    """Return whether a file of a submission has tests, by its name or folder."""
    *folders, _ = (part.lower() for part in file.relative_to(folder).parts)
    name = file.stem.lower()
    is_named = name.startswith("test_") or name.endswith("_test") or name in (*_TESTS, "conftest")
    return is_named or any(one in _TESTS for one in folders)
