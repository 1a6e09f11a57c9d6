"""What the code of a user's net imports: from its own folder, its package and the folders above.

A file is run as Python runs a script: its folder comes first on the path. Beyond that, relative
imports work, and what is found nowhere else is looked for in the folders above, up to the root of
the repository. ``module:Name`` is looked for in the working directory, too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from netlet.errors import NetError
from netlet.files import read_regular

MAX_SOURCE_BYTES = 1 << 24  # of a file of source code
_ROOT_MARKS = (".git", ".hg", "pyproject.toml", "setup.py", "setup.cfg")
_MAX_ABOVE = 3  # folders above a file that is in no repository
_INSTALLED = ("site-packages", "dist-packages")

_imported: set[str] = set()  # modules that users' code has imported from its own folders
_appended: list[str] = []  # folders that this module has put on the path


def folders_above(folder: Path) -> list[Path]:
    """Return the folders above one that code in it may import from, the nearest first.

    They end at the root of the repository. Without one they are few, and none that other users may
    write to.
    """
    found: list[Path] = []
    for above in [folder, *folder.parents]:
        if above.parent == above or not _is_own(above):
            break
        found.append(above)
        if any((above / mark).exists() for mark in _ROOT_MARKS):
            return found[1:]
    return found[1 : _MAX_ABOVE + 1]


def _is_own(folder: Path) -> bool:
    """Return whether other users cannot put modules into a folder."""
    with contextlib.suppress(OSError):
        return os.name != "posix" or not folder.stat().st_mode & stat.S_IWOTH
    return False


def is_installed(path: Path) -> bool:
    """Return whether a file belongs to an installed package."""
    return any(part in _INSTALLED for part in path.parts)


def forget_imports() -> None:
    """Forget what users' code has imported: another file may mean another module by a name."""
    for name in _imported:
        sys.modules.pop(name, None)
    _imported.clear()
    importlib.invalidate_caches()


def forget_at_next_load(name: str) -> None:
    """Note that a module belongs to the code of the net that is being loaded."""
    _imported.add(name)


@contextlib.contextmanager
def imports_of_file(path: Path, beside: Sequence[Path] = ()) -> Iterator[str]:
    """Let the code of a file import what lies around it, while the block runs.

    Args:
        path: The file.
        beside: Folders of other files that it runs, whose neighbors it may import, too.

    Yields:
        The name of the package that the file is in; relative imports start from there.
    """
    folder = path.resolve().parent
    above = folders_above(folder)
    forget_imports()
    finder = _FolderFinder([folder, *beside, *above])
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    sys.meta_path.insert(0, finder)
    try:
        yield _make_packages([*reversed(above), folder])
    finally:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(finder)
        # Moved to the end: later imports by the net still work, and no other module is shadowed.
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        _append(str(folder))
        _remember(before, [folder, *beside, *above])


@contextlib.contextmanager
def imports_of_module() -> Iterator[None]:
    """Let the working directory be searched for modules, after all else, while the block runs."""
    forget_imports()
    before = set(sys.modules)
    here = os.getcwd()
    sys.path[:] = module_path()
    if here not in _appended:
        _appended.append(here)
    try:
        yield
    finally:
        _remember(before, [Path(here)])


def module_path() -> list[str]:
    """Return the folders that ``module:Name`` is looked for in, in order."""
    own = [folder for folder in sys.path if folder not in _appended]
    here = os.getcwd()
    return own + [here] * (here not in own) + [f for f in _appended if f != here]


def lasting_path() -> list[str]:
    """Return the folders of the path that a new process here has, too, in order.

    They are those of installed packages, those that their ``.pth`` files or ``PYTHONPATH`` name,
    and the working directory. What code has put on the path is left out: a command that has not run
    the code does not know it.
    """
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = {os.path.abspath(folder) for folder in named if folder}
    installed = [folder for folder in sys.path if is_installed(Path(folder))]
    kept = kept.union(installed, *map(_read_links, installed))
    found, here = [folder for folder in sys.path if folder in kept], os.getcwd()
    return found + [here] * (here not in found)


@functools.cache
def _read_links(folder: str) -> frozenset[str]:
    """Return the lines of a folder's ``.pth`` files as folders that Python puts on the path."""
    lines = set[str]()
    for file in Path(folder).glob("*.pth"):
        with contextlib.suppress(NetError, OSError):
            content = read_regular(file, MAX_SOURCE_BYTES, NetError)
            lines |= {*content.decode(errors="replace").splitlines()}
    return frozenset(os.path.abspath(os.path.join(folder, line.strip())) for line in lines)


def _append(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)
        if folder not in _appended:
            _appended.append(folder)


def _remember(before: set[str], folders: Sequence[Path]) -> None:
    """Note which modules have been imported from some folders."""
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        place = getattr(module, "__file__", None) or next(iter(_search_path(module)), None)
        if isinstance(place, str) and _lies_in(Path(place), folders):
            _imported.add(name)


def _search_path(module: ModuleType) -> list[str]:
    with contextlib.suppress(Exception):  # some modules compute it
        return [str(folder) for folder in getattr(module, "__path__", ())]
    return []


def _lies_in(path: Path, folders: Sequence[Path]) -> bool:
    resolved = path.resolve()
    inside = any(resolved.is_relative_to(folder.resolve()) for folder in folders)
    return inside and not is_installed(resolved)


class _FolderFinder:
    """Finds modules that are found nowhere else in some folders.

    A folder without ``__init__.py`` that lies elsewhere on the path, such as another ``src``, does
    not count as found.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [str(folder) for folder in folders]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None if it is found elsewhere, or in none of the folders."""
        if path is not None or "." in name or name in sys.stdlib_module_names:
            return None
        # Not in the folders of nets that were loaded before, whose modules may have the same names.
        own = [folder for folder in sys.path if folder not in _appended]
        elsewhere = PathFinder.find_spec(name, own)
        if elsewhere is not None and elsewhere.origin:
            return None
        for folder in self._folders:
            spec = PathFinder.find_spec(name, [folder])
            if spec is not None and (spec.origin or _holds_code(Path(folder) / name)):
                _append(folder)
                return spec
        return None


def _holds_code(folder: Path) -> bool:
    """Return whether a folder without ``__init__.py`` is a package, and not one of data."""
    return any(next(folder.glob(pattern), None) for pattern in ("*.py", "*/*.py"))


class _Package(ModuleType):
    """A folder as a package, whose ``__init__.py`` runs only if something is imported from it."""

    def __getattr__(self, name: str) -> Any:
        """Return what the ``__init__.py`` defines.

        Raises:
            AttributeError: It does not, or the name is that of a module.
        """
        values = vars(self)
        init = Path(values["__path__"][0]) / "__init__.py"
        is_module = PathFinder.find_spec(f"{self.__name__}.{name}", values["__path__"])
        if not (name.startswith("__") or is_module or "__file__" in values) and init.is_file():
            values["__file__"] = str(init)
            exec(compile(read_regular(init, MAX_SOURCE_BYTES, NetError), str(init), "exec"), values)
        if name in values:
            return values[name]
        raise AttributeError(f"{init.parent} has no module {name!r}")


def _make_packages(folders: Sequence[Path]) -> str:
    """Register folders, each in the one before, as packages, and return the name of the last.

    They have names of their own, since a folder may be called like an installed package.
    """
    name = "netlet_folder_" + hashlib.sha256(os.fsencode(folders[0])).hexdigest()[:8]
    for number, folder in enumerate(folders):
        if number:
            name += "." + re.sub(r"\W", "_", folder.name)
        package = _Package(name)
        package.__path__ = [str(folder)]
        package.__package__ = name
        sys.modules[name] = package
        _imported.add(name)
    return name
