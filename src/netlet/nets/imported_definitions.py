"""The classes and functions that a file imports from other files beside it: read from their text.

Installed packages are left out.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from netlet.nets.cells import Source
from netlet.nets.code_imports import UNREADABLE, Imports
from netlet.nets.module_classes import class_name
from netlet.nets.net_calls import outer_statements
from netlet.nets.script import names_used
from netlet.nets.sources import read_source
from netlet.nets.used_functions import FunctionNode
from netlet.nets.user_imports import folders_above
from netlet.nets.written_modules import name_modules, place_of


@dataclass(frozen=True)
class Imported:
    """A class or function of another file.

    Attributes:
        node: Its definition.
        path: The file, absolute.
        name: Its name there.
    """

    node: ast.ClassDef | FunctionNode
    path: Path
    name: str


_MOST_IMPORTS = 30  # that are followed from one file, since a submission may have thousands
_Import = ast.Import | ast.ImportFrom
_Definitions = dict[str, Imported]


def list_imported(source: Source) -> _Definitions:
    """Return the classes and functions that a file imports from others, by their names in the file.

    Base classes and what functions use are among them, and so is all of a module that is imported
    as a whole. No code is run.

    Args:
        source: The file.
    """
    path = source.path.resolve()
    return _Reader(path, source).list_imported(path, _Content(source.body).imports)


class _Reader:
    """Reads each file once."""

    def __init__(self, path: Path, source: Source) -> None:
        self._imports = Imports([path.parent, *source.folders, *folders_above(path.parent)])
        self._known: dict[Path, _Definitions] = {path: {}}
        self._left = _MOST_IMPORTS
        self._written: dict[str, tuple[Path, ast.Module]] = {}
        for module, text in name_modules(source.written).items():
            with contextlib.suppress(*UNREADABLE):
                self._written[module] = place_of(path, module), ast.parse(text)

    def list_imported(self, path: Path, imports: Iterable[_Import]) -> _Definitions:
        """Return what statements of a file import."""
        named: _Definitions = {}
        others: _Definitions = {}
        for node in imports:
            for file, there in self._read_imported(path, node):
                bound = _list_named(node, there)
                named |= bound
                others |= there if _is_whole(node, file) else _list_needed(bound, there)
        return {**others, **named}

    def _read_imported(self, path: Path, node: _Import) -> list[tuple[Path, _Definitions]]:
        """Return the files that a statement imports, with their definitions."""
        if isinstance(node, ast.ImportFrom) and node.module in self._written and not node.level:
            place, tree = self._written[node.module]
            return [(place, self._list_definitions(place, _Content(tree.body)))]
        found: list[tuple[Path, _Definitions]] = []
        if self._left <= 0:
            return found
        files = self._imports.list_direct(path, node)
        self._left -= len(files)
        for file in files:
            with contextlib.suppress(*UNREADABLE):
                found.append((file, self._read_file(file.resolve())))
        return found

    def _read_file(self, path: Path) -> _Definitions:
        if path not in self._known:
            self._known[path] = {}  # for files that import each other
            state = path.stat()
            content = _read_content(path, state.st_mtime_ns, state.st_size)
            self._known[path] = self._list_definitions(path, content)
        return self._known[path]

    def _list_definitions(self, path: Path, content: _Content) -> _Definitions:
        """Return what a file defines and what it imports."""
        own = {node.name: Imported(node, path, node.name) for node in content.definitions}
        return {**self.list_imported(path, content.imports), **own}


class _Content:
    """What of a file matters to those that import it.

    Attributes:
        imports: Its imports, also those in functions.
        definitions: Its classes and functions.

    Args:
        body: Its statements.
    """

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        nodes = (node for statement in body for node in ast.walk(statement))
        self.imports = [one for one in nodes if isinstance(one, _Import)]
        outer = outer_statements([*body])
        self.definitions = [one for one in outer if isinstance(one, ast.ClassDef | FunctionNode)]


@lru_cache(1_000)
def _read_content(path: Path, changed: int, size: int) -> _Content:
    """Return the content of a file that has been changed at a time and has a size."""
    return _Content(read_source(path).body)


def _is_whole(node: _Import, file: Path) -> bool:
    """Return whether a statement imports a file as a module."""
    return isinstance(node, ast.Import) or any(one.name == file.stem for one in node.names)


def _list_named(node: _Import, there: Mapping[str, Imported]) -> _Definitions:
    """Return what a statement imports from a file by name, or by a star."""
    if isinstance(node, ast.Import):
        return {}
    if any(alias.name == "*" for alias in node.names):
        return dict(there)
    return {one.asname or one.name: there[one.name] for one in node.names if one.name in there}


def _list_needed(definitions: _Definitions, there: Mapping[str, Imported]) -> _Definitions:
    """Return the base classes of classes, and what functions use, as far as their file has them."""
    found: _Definitions = {}
    todo = [*definitions.values()]
    while todo:
        node = todo.pop().node
        if isinstance(node, ast.ClassDef):
            names = {*map(class_name, node.bases)}
        else:
            names = names_used(node)
        for name in names & there.keys() - found.keys():
            found[name] = there[name]
            todo.append(there[name])
    return found
