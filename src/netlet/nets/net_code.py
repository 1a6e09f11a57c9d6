"""Where the code of a net is and which code it is, without running any.

A run records both, so that its weights are never used with another net of the same name.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlet.display import Displayed
from netlet.nets.cells import Source
from netlet.nets.code_imports import MAX_FILES, UNREADABLE, Imports, find_module, read_code
from netlet.nets.definitions import select_net, split_number
from netlet.nets.sources import read_source
from netlet.nets.user_imports import folders_above, is_installed
from netlet.nets.written_modules import find_imported, name_modules, parse_written, place_of
from netlet.text import CODE_FILES

FILES = CODE_FILES  # endings of files with nets


@dataclass(frozen=True)
class NetCode(Displayed):
    """The source code that a net is made by.

    Attributes:
        path: The path of the file, absolute.
        digest: SHA-256 of the statements of the file that the net needs, and of the files that they
            import, apart from those of installed packages. Comments count; line endings, blank
            lines and the outputs of a notebook do not.
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
    except UNREADABLE:  # loading the net says what is wrong
        return None


def find_definition(address: str, digest: str) -> str:
    """Return the address of another definition of a net, like ``Net[1]``, whose code has a digest.

    Args:
        address: The address of the net.
        digest: The digest of the code.

    Returns:
        It; empty if the file has none.
    """
    place, _, attribute = address.rpartition(":")
    with contextlib.suppress(*UNREADABLE):
        if is_file_address(place):
            name = split_number(attribute)[0]
            count = len(select_net(read_source(Path(place)), name).definitions)
            for numbered in (f"{place}:{name}[{i}]" for i in range(count, 0, -1)):
                if (code := find_code(numbered)) and code.digest == digest:
                    return numbered
    return ""


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
            found = find_module(place)
            if found is None or is_installed(found[0]):
                return []
            path, roots = found[0], [found[1]]
        beside = sorted(path.parent.glob("*.py"))[:MAX_FILES]
        imports = Imports(roots)
        files = {path, *(file.resolve() for file in beside if file.is_file())}
        for file in sorted(files):
            with contextlib.suppress(*UNREADABLE):
                source = read_source(file)
                files |= set(source.files)
                imports.look_in(source.folders)
                files |= set(imports.follow(file, source.tree))
                for module, tree in parse_written(file, name_modules(source.written)):
                    files |= set(imports.follow(module, tree))
        files |= {init for file in files for init in _package_files(file, roots)}
    except UNREADABLE:  # loading the net says what is wrong
        return []
    return sorted(files)


def list_needed_files(address: str) -> list[Path]:
    """Return the files without which the code of a net cannot be loaded.

    They are those that :attr:`NetCode.digest` covers, and the ``__init__`` files of the packages of
    a module.

    Args:
        address: ``path/to/file.py:Name`` or ``package.module:Name``.

    Returns:
        Absolute paths, that of the net first, the others sorted; none if there is no such file or
        module, it belongs to an installed package, or it does not have this name.
    """
    place, _, name = address.rpartition(":")
    try:
        if is_file_address(place):
            path = Path(place).resolve()
            source = read_source(path)
            files = {*source.files, *_follow_file(path, source, select_net(source, name).tree)[2]}
        else:
            found = find_module(place)
            if found is None or is_installed(found[0]):
                return []
            path, root = found
            inside = [folder for folder in path.parents if folder.is_relative_to(root)]
            packages = (folder / "__init__.py" for folder in inside if folder != root)
            files, imports = {file for file in packages if file.is_file()}, Imports([root])
            for file in (path, *files):
                files |= {*imports.follow(file, ast.parse(read_code(file), filename=str(file)))}
    except UNREADABLE:  # loading the net says what is wrong
        return []
    return [path, *sorted(file for file in files if file != path)]


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
    modules, imports, files = _follow_file(path, source, selection.tree)
    kept += [line for module, text in modules.items() for line in (module, *text.split("\n"))]
    code = _make_code(path, kept, files, imports.others)
    cell = selection.chosen.cell if selection.chosen else None
    return dataclasses.replace(code, cell=(cell.outer or cell.number) if cell else 0)


def _follow_file(
    path: Path, source: Source, tree: ast.Module
) -> tuple[dict[str, str], Imports, list[Path]]:
    """Return what statements of a file import.

    Args:
        path: The file, absolute.
        source: Its content.
        tree: The statements.

    Returns:
        The text of the modules that cells write, by name; how imports are found; the files.
    """
    roots = [path.parent, *source.folders, *folders_above(path.parent)]
    modules = _find_written(source, tree, roots)
    # What an earlier run of the notebook has written is not what the net imports.
    stale = [place_of(path, module) for module in modules]
    imports = Imports(roots, left_out=stale, elsewhere=True)
    files = imports.follow(path, tree)
    for place, module in parse_written(path, modules):
        files = imports.follow(place, module)
    return modules, imports, files


def _find_written(source: Source, tree: ast.Module, roots: Sequence[Path]) -> dict[str, str]:
    """Return the modules that cells write, if code or a file that it imports imports any."""
    modules = find_imported(source.written, tree)
    if modules or not source.written:
        return modules
    for file in Imports(roots).follow(source.path, tree):
        with contextlib.suppress(*UNREADABLE):
            if modules := find_imported(source.written, ast.parse(read_code(file))):
                return modules
    return {}


def _code_in_module(name: str) -> NetCode | None:
    found = find_module(name)
    if found is None:
        return None
    path, root = found
    text = read_code(path)
    # Of an installed package, other packages beside it are not a part.
    package = root / name.partition(".")[0]
    imports = Imports([root], only=package if is_installed(path) else None, elsewhere=True)
    lines = text.decode("utf-8", "surrogateescape").splitlines()
    files = imports.follow(path, ast.parse(text, filename=str(path)))
    return _make_code(path, lines, files, imports.others)


def _make_code(
    path: Path, lines: Sequence[str], files: Sequence[Path], others: Sequence[Path]
) -> NetCode:
    """Return the code of a file.

    Args:
        path: The file.
        lines: Its lines that count.
        files: The files that it imports.
        others: Folders of packages that lie elsewhere, perhaps at another place tomorrow.
    """
    digest = hashlib.sha256(_digest_lines(lines).encode())
    for file in files:
        root = next((other for other in others if file.is_relative_to(other)), path.parent)
        name = Path(os.path.relpath(file, root)).as_posix()
        lines = read_code(file).decode("utf-8", "surrogateescape").splitlines()
        digest.update(f"{name!r} {_digest_lines(lines)}\n".encode())
    return NetCode(str(path), digest.hexdigest())


def _digest_lines(lines: Sequence[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines if line.strip())
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
