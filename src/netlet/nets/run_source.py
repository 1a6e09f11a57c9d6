"""Run the statements of a file that a net needs, and say where in the file they fail."""

from __future__ import annotations
import __future__

import ast
import functools
import itertools
import os
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from netlet.errors import NetError
from netlet.nets.cells import Cell, Source
from netlet.nets.definitions import Selection, describe_content, select_net
from netlet.nets.device_moves import leave_out_missing_devices
from netlet.nets.ipython_syntax import parse_env
from netlet.nets.name_errors import SELECTED
from netlet.nets.script import drop_unused_imports, walk_outside_functions
from netlet.nets.sources import read_source, register_code
from netlet.nets.user_imports import imports_of_file
from netlet.nets.written_modules import imports_of_cells


def load_from_file(path: Path, attribute: str) -> tuple[object, Selection]:
    """Return what a name in a file stands for, and the statements that were run for it.

    Args:
        path: A script or a notebook.
        attribute: The name, or a numbered one like ``Net[3]``.

    Raises:
        NetError: There is no such file or name, or the cell that defines it is not valid Python.
        Exception: Anything that the statements raise.
    """
    if not path.is_file():
        raise NetError(f"no file {path}; check its name")
    source = read_source(path)
    selection = select_net(source, attribute)
    used = drop_unused_imports(selection.tree.body, selection.name)
    statements = [
        (leave_out_missing_devices(node), source.cell_of(original))
        for node, original in zip(used, selection.tree.body, strict=True)
        if node is not None
    ]
    _refuse_await(statements)
    found = vars(_run(statements, source))
    if selection.name not in found:
        raise NetError(f"no {attribute!r} in {path}; {describe_content(source)}")
    return found[selection.name], selection


def _run(statements: Sequence[tuple[ast.stmt, Cell]], source: Source) -> ModuleType:
    """Run statements of a file, each with its cell, as a module and return it."""
    path = source.path
    name = f"{SELECTED}{path.stem}"
    module = ModuleType(name)
    vars(module).update(_notebook_names([node for node, _ in statements], source))
    register_code(source)
    # The module is registered as when Python runs the file: dataclasses need this.
    sys.modules[name] = module
    try:
        imports = imports_of_file(path, source.folders)
        with imports as package, imports_of_cells(path, source.written):
            module.__package__ = package
            # A part for each cell of a notebook, so that tracebacks show the cells.
            parts = itertools.groupby(statements, lambda one: one[1].filename)
            flags = _future_flags(statements)
            for filename, part in parts:
                if filename == str(path):
                    module.__file__ = filename
                body = [node for node, _ in part]
                code = compile(ast.Module(body, []), filename, "exec", flags, True)
                exec(code, vars(module))
    except BaseException:
        sys.modules.pop(name, None)  # which the code may have removed itself
        raise
    return module


def _refuse_await(statements: Sequence[tuple[ast.stmt, Cell]]) -> None:
    """Refuse values that a cell waits for outside of functions.

    Raises:
        NetError: There is one.
    """
    for statement, cell in statements:
        for node in walk_outside_functions(statement):
            if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
                where = cell.locate(node.lineno)
                raise NetError(
                    f"{where}: the net needs the value of an 'await', which only a running "
                    "notebook has; write the value into the cell"
                )


def _future_flags(statements: Sequence[tuple[ast.stmt, Cell]]) -> int:
    """Return the compiler's flags for ``from __future__`` imports, which count in all cells."""
    flags = 0
    for node, _ in statements:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(getattr(__future__, alias.name, None), "compiler_flag", 0)
    return flags


def _notebook_names(
    statements: Sequence[ast.stmt], source: Source
) -> dict[str, Callable[..., Any]]:
    """Return what IPython defines and a net may call: these show nothing and run no command.

    Exported scripts call ``get_ipython``, too, also those in which no mark separates the cells.
    """
    nodes = [*itertools.chain.from_iterable(map(ast.walk, statements))]
    texts = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    names: dict[str, Callable[..., Any]] = {"get_ipython": functools.partial(_Shell, texts)}
    if source.has_cells:
        return names | {"display": _show_nothing}
    called = any(isinstance(node, ast.Name) and node.id in names for node in nodes)
    return names if called else {}


def _show_nothing(*values: object, **options: object) -> None:
    """Do nothing in place of ``display``."""


class _Shell:
    """What ``get_ipython()`` returns: it runs no commands of the shell, and one of IPython.

    Args:
        texts: The texts in the statements that are run.
    """

    def __init__(self, texts: Collection[str]) -> None:
        self._texts = texts

    def getoutput(self, command: str) -> NoReturn:
        """Refuse ``files = !ls``.

        Raises:
            NetError: Always.
        """
        raise NetError(
            f"the net needs the output of '!{command}', and netlet runs no commands of notebooks; "
            "write the value into the cell"
        )

    def run_line_magic(self, name: str, line: str = "") -> None:
        """Set a variable of the environment; refuse ``value = %magic``.

        Raises:
            NetError: It is another command, or one with a computed value that is read.
        """
        variable = parse_env(line) if name in ("env", "set_env") else None
        if variable is None:
            raise NetError(
                f"the net needs the result of '%{name}', and netlet runs no commands of notebooks; "
                "write the value into the cell"
            )
        if not any(mark in line for mark in "${"):
            os.environ[variable[0]] = variable[1]
        elif variable[0] in self._texts:
            raise NetError(
                f"the net needs the variable {variable[0]} of the environment, and netlet does not "
                f"compute '%{name} {line}'; write os.environ[{variable[0]!r}] = ..."
            )

    def system(self, command: str) -> None:
        """Run nothing: exports of notebooks have this for ``!pip install``."""
