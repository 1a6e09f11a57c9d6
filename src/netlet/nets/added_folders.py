"""Folders that code puts on ``sys.path``, read from its text.

A command that loads a net cannot rely on running these statements: some are in cells that the net
does not need, and relative paths start from the working directory, which is another one for a
notebook than for the command.
"""

from __future__ import annotations

import ast
import os.path
from collections.abc import Iterator, Sequence
from pathlib import Path

from netlet.nets.script import walk_outside_functions
from netlet.nets.user_imports import folders_above

_MODULES = ("", "os", "os.path", "osp", "path", "pathlib", "Path", "pathlib.Path")
_SAME = ("str", "fspath", "normpath")
_ABSOLUTE = ("abspath", "realpath")
_HERE = ("getcwd", "cwd")
_FUNCTIONS = (*_SAME, *_ABSOLUTE, *_HERE, "join", "Path", "dirname")
_ABSOLUTE_METHODS = ("resolve", "absolute")
_CONSTANTS = {"os.pardir": os.pardir, "os.curdir": os.curdir, "os.sep": os.sep}
_ADDING = ("sys.path.append", "sys.path.insert", "site.addsitedir")
_LONGEST = 4096  # characters of a path


def find_added_folders(path: Path, body: Sequence[ast.stmt]) -> list[Path]:
    """Return the folders that statements of a file put on ``sys.path``.

    Only folders that code of the file may import from anyway count: those inside the topmost of
    :func:`folders_above`. A relative path starts from the folder of the file, as in a notebook, or
    from the first folder above it that has such a folder, as in a script that runs there.

    Args:
        path: The file, absolute.
        body: Its statements.
    """
    bases = [path.parent, *folders_above(path.parent)]
    found: list[Path] = []
    # From each base, the same expressions are other folders.
    for added in zip(*(_Reader(path, base).read_added(body) for base in bases), strict=True):
        resolved = [Path(os.path.realpath(place)) for place, _ in added if place is not None]
        inside = (one for one in resolved if one.is_relative_to(bases[-1]))
        folders = (one for one in inside if os.path.isdir(one))
        if (folder := next(folders, None)) is not None and folder not in found:
            found.insert(0 if added[0][1] else len(found), folder)
    return [folder for folder in found if folder != path.parent]


def _list_added(node: ast.AST) -> Sequence[ast.expr]:
    """Return the expressions of the folders that one statement or call adds."""
    if isinstance(node, ast.Call) and node.args:
        name, last = _name_of(node.func), node.args[-1]
        if name in _ADDING:
            return [last]
        if name == "sys.path.extend" and isinstance(last, ast.List | ast.Tuple):
            return last.elts
    if isinstance(node, ast.AugAssign) and _name_of(node.target) == "sys.path":
        return node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else []
    return []


def _name_of(node: ast.expr) -> str:
    """Return a name with dots, such as ``os.path.join``; empty for other expressions."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


class _Reader:
    """Reads paths from expressions of constants.

    Args:
        path: The file that they are in.
        base: The working directory.
    """

    def __init__(self, path: Path, base: Path) -> None:
        self._base = base
        self._names: dict[str, str | None] = {"__file__": str(path)}

    def read_added(self, body: Sequence[ast.stmt]) -> Iterator[tuple[str | None, bool]]:
        """Yield each folder that statements add, and whether they put it before the others.

        The path is absolute, or None if it is not known.
        """
        for statement in body:
            for node in walk_outside_functions(statement):
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                    if isinstance(target, ast.Name):
                        self._names[target.id] = self._try(node.value)
                for added in _list_added(node):
                    place = self._try(added)
                    first = isinstance(node, ast.Call) and _name_of(node.func) == "sys.path.insert"
                    yield None if place is None else self._absolute(place), first

    def _try(self, node: ast.expr) -> str | None:
        try:
            found = self._read(node)
        except RecursionError:
            return None
        return found if found and len(found) <= _LONGEST and "\0" not in found else None

    def _absolute(self, place: str) -> str:
        return os.path.normpath(self._base / place)

    def _read(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            return self._names.get(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
            parts = self._read_all([node.left, node.right])
            if not parts:
                return None
            return os.path.join(*parts) if isinstance(node.op, ast.Div) else "".join(parts)
        if isinstance(node, ast.JoinedStr):
            values = (
                one.value if isinstance(one, ast.FormattedValue) else one for one in node.values
            )
            return "".join(self._read_all([*values])) or None
        if (name := _name_of(node)) in _CONSTANTS:
            return _CONSTANTS[name]
        if isinstance(node, ast.Attribute) and node.attr == "parent":
            found = self._read(node.value)
            return found and os.path.dirname(found)
        if isinstance(node, ast.Subscript):
            return self._read_parents(node.value, node.slice)
        return self._read_call(node) if isinstance(node, ast.Call) else None

    def _read_all(self, nodes: Sequence[ast.expr]) -> list[str]:
        """Return what several expressions are; none if one of them is not known."""
        found = [self._read(node) for node in nodes]
        known = [one for one in found if one is not None]
        return known if len(known) == len(found) else []

    def _read_call(self, call: ast.Call) -> str | None:
        module, _, name = _name_of(call.func).rpartition(".")
        parts = self._read_all(call.args)
        if module not in _MODULES or name not in _FUNCTIONS:
            return self._read_method(call.func, parts)
        if name in _HERE:
            return str(self._base)
        if not parts:
            return os.curdir if name == "Path" and not call.args else None
        if name in ("join", "Path"):
            return os.path.join(*parts)
        if name == "dirname":
            return os.path.dirname(parts[0])
        return parts[0] if name in _SAME else self._absolute(parts[0])

    def _read_method(self, method: ast.expr, parts: Sequence[str]) -> str | None:
        """Return what a method of a path gives for these arguments."""
        place = self._read(method.value) if isinstance(method, ast.Attribute) else None
        if place is None or not isinstance(method, ast.Attribute):
            return None
        if method.attr == "as_posix":
            return place
        if method.attr == "joinpath":
            return os.path.join(place, *parts) if parts else None
        return self._absolute(place) if method.attr in _ABSOLUTE_METHODS else None

    def _read_parents(self, parents: ast.expr, which: ast.expr) -> str | None:
        if not isinstance(parents, ast.Attribute) or parents.attr != "parents":
            return None
        found = self._read(parents.value)
        if found is None or not isinstance(which, ast.Constant) or type(which.value) is not int:
            return None
        above = Path(found).parents
        return str(above[which.value]) if 0 <= which.value < len(above) else None
