"""Let a notebook import the files that its cells write with ``%%writefile``; none is written."""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path, PurePosixPath
from types import ModuleType

from netlet.nets.user_imports import forget_at_next_load

_ROOTS = ("content", "kaggle", "working", "root", "home", "tmp")  # that notebooks run in


def name_modules(written: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each module that cells write, by its name: ``src/net.py`` is ``src.net``.

    Args:
        written: The text of the files by their paths.
    """
    found = {}
    for path, text in written.items():
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", ".", "..", "~")]
        while path.startswith("/") and len(parts) > 1 and parts[0] in _ROOTS:
            parts = parts[1:]
        if not parts or not parts[-1].endswith(".py"):
            continue
        parts[-1] = parts[-1].removesuffix(".py")
        if all(part.isidentifier() for part in parts) and parts != ["__init__"]:
            found[".".join(parts)] = text
    return found


def find_imported(written: Mapping[str, str], tree: ast.Module) -> dict[str, str]:
    """Return the modules that cells write, if the code imports any of them.

    They are those of :func:`name_modules`, sorted by name.

    Args:
        written: The text of the files by their paths.
        tree: The code.
    """
    modules = name_modules(written)
    imported = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    if not imported & {name.partition(".")[0] for name in modules}:
        return {}
    return dict(sorted(modules.items()))


def parse_written(notebook: Path, modules: Mapping[str, str]) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the code of modules that cells write; what is not valid Python is left out.

    Args:
        notebook: The file.
        modules: Their text by name.

    Yields:
        The path that a module would have beside the notebook, and its code.
    """
    for name, text in modules.items():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        yield place_of(notebook, name), tree


def place_of(notebook: Path, module: str) -> Path:
    """Return the path that a module of this name would have beside a notebook."""
    return notebook.parent.joinpath(*module.split(".")).with_suffix(".py")


@contextlib.contextmanager
def imports_of_cells(notebook: Path, written: Mapping[str, str]) -> Iterator[None]:
    """Let code import what cells of a notebook write, before anything else of the same name.

    Args:
        notebook: The file.
        written: The text of the files by their paths.
    """
    finder = _Finder(notebook, name_modules(written))
    sys.meta_path[:] = [other for other in sys.meta_path if not isinstance(other, _Finder)]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        # Last from now on: later imports by the net still work, and shadow no other module.
        with contextlib.suppress(ValueError):  # the code may have removed it
            sys.meta_path.remove(finder)
        sys.meta_path.append(finder)


class _Finder:
    def __init__(self, notebook: Path, modules: Mapping[str, str]) -> None:
        self._notebook, self._modules = notebook, modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None if no cell writes it."""
        package = f"{name}.__init__"
        text = self._modules.get(package, self._modules.get(name))
        if text is None and not any(other.startswith(f"{name}.") for other in self._modules):
            return None
        is_package = package in self._modules or text is None
        filename = f"{self._notebook}#{name}"
        spec = spec_from_loader(name, _Loader(text or "", filename), is_package=is_package)
        if spec is not None and is_package:
            spec.submodule_search_locations = [
                str(self._notebook.parent.joinpath(*name.split(".")))
            ]
        forget_at_next_load(name)
        return spec


class _Loader(InspectLoader):
    def __init__(self, text: str, filename: str) -> None:
        self._text, self._filename = text, filename
        lines = [f"{line}\n" for line in text.split("\n")]
        linecache.cache[filename] = (len(text), None, lines, filename)

    def get_source(self, fullname: str) -> str:
        """Return the text."""
        return self._text

    def exec_module(self, module: ModuleType) -> None:
        """Run the text in a module."""
        exec(compile(self._text, self._filename, "exec", dont_inherit=True), vars(module))
