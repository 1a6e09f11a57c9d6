"""Follow the imports of a net's code to the files that they run, without running any."""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path

from netlet.errors import NetError
from netlet.files import read_regular
from netlet.nets.added_folders import find_added_folders
from netlet.nets.user_imports import MAX_SOURCE_BYTES, is_installed, lasting_path, module_path

MAX_FILES = 256  # of a net's code
UNREADABLE = (NetError, OSError, SyntaxError, ValueError, RecursionError, MemoryError)
_OWN_PACKAGE = "netlet"  # whose version a record has


def find_module(name: str, path: Sequence[str] | None = None) -> tuple[Path, Path] | None:
    """Return the file of a module, and the folder that its top package lies in.

    Args:
        name: The name of the module.
        path: The folders to look in; by default those of :func:`module_path`.
    """
    parts, origin = name.split("."), ""
    path = module_path() if path is None else path
    places: Sequence[str] | None = path
    for part in parts:
        # By its own name: of a folder without __init__.py, Python asks for the imported parent.
        spec = None if places is None else PathFinder.find_spec(part, places)
        if spec is None and not origin:
            spec = _find_linked(part, path)
        if spec is None:
            return None
        places, origin = spec.submodule_search_locations, spec.origin or ""
    if not origin.endswith(".py"):
        return None
    file = Path(origin).resolve()
    return file, file.parents[len(parts) - 1 + (file.name == "__init__.py")]


def _find_linked(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """Return the package that pip install --editable has linked to, if it put a finder there.

    Some finders look in all folders of ``sys.path``: what lies in another than those of a path does
    not count.
    """
    other = PathFinder.find_spec(name, [folder for folder in sys.path if folder not in path])
    for finder in sys.meta_path:
        if finder in (BuiltinImporter, FrozenImporter, PathFinder):
            continue
        with contextlib.suppress(Exception):  # anybody's code
            spec = finder.find_spec(name, None)
            if spec and not (other and spec.origin == other.origin):
                return spec
    return None


def read_code(path: Path) -> bytes:
    """Return the content of a file of source code."""
    return read_regular(path, MAX_SOURCE_BYTES, NetError)


class Imports:
    """The files that code imports, as far as its text shows.

    Args:
        roots: Folders that modules are looked for in, the folder of the file first.
        only: A folder that everything outside of is left out; None: installed packages are.
        left_out: Files that the code does not import, since it has others of the same name.
        elsewhere: Whether to follow packages that lie in other folders and are not installed there,
            as of ``pip install --editable``.

    Attributes:
        others: The folders in which such packages were found.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        only: Path | None = None,
        left_out: Sequence[Path] = (),
        *,
        elsewhere: bool = False,
    ) -> None:
        self._roots = list(roots)
        self._only = only
        self._left_out = frozenset(left_out)
        self._elsewhere = elsewhere
        self._found: set[Path] = set()
        self.others: list[Path] = []

    def look_in(self, folders: Sequence[Path]) -> None:
        """Look for modules in more folders, too, after that of the file."""
        own, *others = self._roots
        self._roots = [*dict.fromkeys([own, *folders, *others])]

    def follow(self, path: Path, tree: ast.AST) -> list[Path]:
        """Return the files that a file imports, and those that these import, sorted."""
        waiting = [*self._imported_by(path, tree)]
        while waiting and len(self._found) < MAX_FILES:
            file = waiting.pop().resolve()
            if file == path or file in self._found or not self._is_part(file):
                continue
            self._found.add(file)
            with contextlib.suppress(*UNREADABLE):
                tree = ast.parse(read_code(file))
                self.look_in(find_added_folders(file, tree.body))
                waiting += self._imported_by(file, tree)
        return sorted(self._found)

    def list_direct(self, path: Path, statement: ast.Import | ast.ImportFrom) -> list[Path]:
        """Return the files that one statement of a file imports."""
        return [*filter(self._is_part, self._imported_by(path, statement))]

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
        if not self._elsewhere or parts[0] == _OWN_PACKAGE:
            return
        found = find_module(parts[0], lasting_path())
        if found is not None and not is_installed(found[0]):
            self.others.append(found[1])
            yield from _files_of(found[1], parts, names)


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
