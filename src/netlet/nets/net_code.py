"""Where the code of a net is and which code it is, without running any.

A run records both, so that its weights are never used with another net of the same name.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from netlet.display import Displayed
from netlet.errors import NetError
from netlet.files import read_regular
from netlet.nets.cells import Source
from netlet.nets.definitions import select_net
from netlet.nets.notebook_files import NOTEBOOK
from netlet.nets.sources import read_source
from netlet.nets.user_imports import (
    MAX_SOURCE_BYTES,
    folders_above,
    is_installed,
    module_path,
)
from netlet.nets.written_modules import find_imported, name_modules, parse_written, place_of

FILES = (".py", NOTEBOOK)  # endings of files with nets
_MAX_FILES = 256  # of a net's code
_UNREADABLE = (NetError, OSError, SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class NetCode(Displayed):
    """The source code that a net is made by.

    Attributes:
        path: The path of the file, absolute.
        digest: SHA-256 of the statements of the file that the net needs, and of the files around it
            that they import. Line endings, blank lines and the outputs of a notebook do not count.
        cell: The number of the cell that defines the net; 0 if the file has no cells.
    """

    path: str
    digest: str
    cell: int = 0


def is_file_address(place: str) -> bool:
    """Return whether the part of an address before the colon names a file, and not a module."""
    return place.endswith(FILES) or "/" in place


def find_code(address: str) -> NetCode | None:
    """Return the code that an address means here and now.

    Args:
        address: ``path/to/file.py:Name``, ``notebook.ipynb:Name`` or ``package.module:Name``.

    Returns:
        It; None if there is no such file or module, it is not written in Python, or it does not
        have this name.
    """
    place, _, name = address.rpartition(":")
    try:
        if is_file_address(place):
            return _code_in_file(Path(place), name)
        return _code_in_module(place)
    except _UNREADABLE:  # loading the net says what is wrong
        return None


def list_code_files(address: str) -> list[Path]:
    """Return the files that the code of a net needs, and the Python files beside it.

    Args:
        address: ``path/to/file.py:Name`` or ``package.module:Name``. Files of installed packages
            are left out.

    Returns:
        Absolute paths, sorted; none if there is no such file or module.
    """
    place, _, _ = address.rpartition(":")
    try:
        if is_file_address(place):
            path = Path(place).resolve()
            roots = [path.parent, *folders_above(path.parent)]
        else:
            found = _find_module(place)
            if found is None or is_installed(found[0]):
                return []
            path, roots = found[0], [found[1]]
        beside = sorted(path.parent.glob("*.py"))[:_MAX_FILES]
        imports = _Imports(roots)
        files = {path, *(file.resolve() for file in beside if file.is_file())}
        for file in sorted(files):
            with contextlib.suppress(*_UNREADABLE):
                source = read_source(file)
                files |= set(source.files)
                imports.look_in(source.folders)
                files |= set(imports.follow(file, source.tree))
                for module, tree in parse_written(file, name_modules(source.written)):
                    files |= set(imports.follow(module, tree))
        files |= {init for file in files for init in _package_files(file, roots)}
    except _UNREADABLE:  # loading the net says what is wrong
        return []
    return sorted(files)


def _package_files(file: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the ``__init__`` files of the packages that a file is in."""
    for folder in file.parents:
        if not (folder / "__init__.py").is_file():
            return
        yield folder / "__init__.py"
        if folder in roots[1:]:
            return


def _code_in_file(path: Path, name: str) -> NetCode | None:
    path = path.resolve()
    source = read_source(path)
    selection = select_net(source, name)
    kept = [line for node in selection.tree.body for line in source.lines_of(node)]
    roots = [path.parent, *source.folders, *folders_above(path.parent)]
    modules = _find_written(source, selection.tree, roots)
    kept += [line for module, text in modules.items() for line in (module, *text.split("\n"))]
    # What an earlier run of the notebook has written is not what the net imports.
    stale = [place_of(path, module) for module in modules]
    imports = _Imports(roots, left_out=stale)
    files = imports.follow(path, selection.tree)
    for place, tree in parse_written(path, modules):
        files = imports.follow(place, tree)
    code = _make_code(path, kept, files)
    cell = selection.chosen.cell if selection.chosen else None
    return dataclasses.replace(code, cell=(cell.outer or cell.number) if cell else 0)


def _find_written(source: Source, tree: ast.Module, roots: Sequence[Path]) -> dict[str, str]:
    """Return the modules that cells write, if code or a file that it imports imports any."""
    modules = find_imported(source.written, tree)
    if modules or not source.written:
        return modules
    for file in _Imports(roots).follow(source.path, tree):
        with contextlib.suppress(*_UNREADABLE):
            if modules := find_imported(source.written, ast.parse(_read(file))):
                return modules
    return {}


def _code_in_module(name: str) -> NetCode | None:
    found = _find_module(name)
    if found is None:
        return None
    path, root = found
    text = _read(path)
    # Of an installed package, other packages beside it are not a part.
    package = root / name.partition(".")[0]
    imported = _Imports([root], only=package if is_installed(path) else None)
    lines = text.decode("utf-8", "surrogateescape").splitlines()
    return _make_code(path, lines, imported.follow(path, ast.parse(text, filename=str(path))))


def _find_module(name: str) -> tuple[Path, Path] | None:
    """Return the file of a module, and the folder that its top package lies in."""
    parts, origin = name.split("."), ""
    places: Sequence[str] | None = module_path()
    for part in parts:
        # By its own name: of a folder without __init__.py, Python asks for the imported parent.
        spec = None if places is None else PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places, origin = spec.submodule_search_locations, spec.origin or ""
    if not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    return path, path.parents[len(parts) - 1 + (path.name == "__init__.py")]


def _make_code(path: Path, lines: Sequence[str], files: Sequence[Path]) -> NetCode:
    digest = hashlib.sha256(_digest_lines(lines).encode())
    for file in files:
        name = Path(os.path.relpath(file, path.parent)).as_posix()
        lines = _read(file).decode("utf-8", "surrogateescape").splitlines()
        digest.update(f"{name!r} {_digest_lines(lines)}\n".encode())
    return NetCode(str(path), digest.hexdigest())


def _digest_lines(lines: Sequence[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines if line.strip())
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path) -> bytes:
    return read_regular(path, MAX_SOURCE_BYTES, NetError)


class _Imports:
    """The files that code imports, as far as its text shows.

    Args:
        roots: Folders that modules are looked for in, the folder of the file first.
        only: A folder that everything outside of is left out; None: installed packages are.
        left_out: Files that the code does not import, since it has others of the same name.
    """

    def __init__(
        self, roots: Sequence[Path], only: Path | None = None, left_out: Sequence[Path] = ()
    ) -> None:
        self._roots = list(roots)
        self._only = only
        self._left_out = frozenset(left_out)
        self._found: set[Path] = set()

    def look_in(self, folders: Sequence[Path]) -> None:
        """Look for modules in more folders, too, after the others."""
        self._roots += [folder for folder in folders if folder not in self._roots]

    def follow(self, path: Path, tree: ast.AST) -> list[Path]:
        """Return the files that a file imports, and those that these import, sorted."""
        waiting = [*self._imported_by(path, tree)]
        while waiting and len(self._found) < _MAX_FILES:
            file = waiting.pop().resolve()
            if file == path or file in self._found or not self._is_part(file):
                continue
            self._found.add(file)
            with contextlib.suppress(*_UNREADABLE):
                waiting += self._imported_by(file, ast.parse(_read(file)))
        return sorted(self._found)

    def _is_part(self, file: Path) -> bool:
        if file in self._left_out:
            return False
        if self._only is not None:
            return file.is_relative_to(self._only)
        return not is_installed(file)

    def _imported_by(self, path: Path, tree: ast.AST) -> Iterator[Path]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._find(alias.name.split("."), [])
            elif isinstance(node, ast.ImportFrom):
                parts = node.module.split(".") if node.module else []
                names = [alias.name for alias in node.names]
                if not node.level:
                    yield from self._find(parts, names)
                elif node.level <= len(path.parents):
                    yield from _files_of(path.parents[node.level - 1], parts, names)

    def _find(self, parts: list[str], names: list[str]) -> Iterator[Path]:
        """Yield the files of an absolute import: those of the first folder that has any."""
        if parts[0] in sys.stdlib_module_names:
            return
        for root in self._roots:
            if (root / f"{parts[0]}.py").is_file() or (root / parts[0]).is_dir():
                yield from _files_of(root, parts, names)
                return


def _files_of(folder: Path, parts: list[str], names: list[str]) -> Iterator[Path]:
    """Yield the files that ``from PARTS import NAMES`` runs, where PARTS lies in a folder."""
    for part in parts:
        if (folder / f"{part}.py").is_file() and not (folder / part / "__init__.py").is_file():
            yield folder / f"{part}.py"
            return
        folder = folder / part
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
    for name in names:
        for file in (folder / f"{name}.py", folder / name / "__init__.py"):
            if file.is_file():
                yield file
                break
        else:
            if (folder / "__init__.py").is_file():
                yield folder / "__init__.py"
