"""Compare the code of a net that runs with what its notebook or its files have."""

from __future__ import annotations

import ast
import contextlib
import linecache
import os
import sys
from pathlib import Path

from torch import nn

from netlet.errors import NetError
from netlet.nets.definitions import select_net
from netlet.nets.imported_code import find_edited, list_functions
from netlet.nets.net_code import NetCode, find_code, is_file_address
from netlet.nets.sources import read_source

_Constant = bool | int | float | str
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def find_running_code(net: nn.Module, address: str) -> NetCode | None:
    """Return the code of a net that was built here, as its file has it.

    A notebook runs what its cells say, and Python what it has imported; the files have what was
    saved last.

    Args:
        net: The net.
        address: ``notebook.ipynb:Net``, ``file.py:Net`` or ``package.module:Net``.

    Raises:
        NetError: There is no such file, it does not define the net, or a file defines something
            otherwise than the cell that has run, or than was imported.
    """
    if edited := find_edited(net):
        file, function = edited
        raise NetError(
            f"{file}: has another {function} than the one that was imported; start Python, or the "
            "kernel of the notebook, again and train"
        )
    place, _, name = address.rpartition(":")
    if not is_file_address(place):
        return find_code(address)
    if not Path(place).is_file():
        raise NetError(f"{place}: no such file; save the notebook, or correct net_name={address!r}")
    selection = select_net(read_source(Path(place)), name)
    saved: dict[str, list[str]] = {}
    for node in ast.walk(selection.tree):
        if isinstance(node, _Definition):
            saved.setdefault(node.name, []).append(_describe(node))
    for definition in selection.tree.body:
        if not isinstance(definition, _Definition):
            continue
        running = _find_in_cell(_find_value(net, definition.name), definition.name)
        if running is None or _describe(running) in saved[definition.name]:
            continue
        remedy = "save the notebook, run all of it again, and train"
        if len(selection.definitions) > 1:
            remedy = f"name the definition that was trained, like {place}:{name}[1], or {remedy}"
        raise NetError(
            f"{place}: has another {definition.name} than the one that runs here; {remedy}"
        )
    for variable, constants in _list_constants(selection.tree).items():
        value = _find_value(net, variable)
        if isinstance(value, _Constant) and _tag(value) not in constants:
            raise NetError(
                f"{place}: {variable} is not {value!r} there, as it is here; save the notebook, "
                "run all of it again, and train"
            )
    return find_code(address)


def _list_constants(tree: ast.Module) -> dict[str, list[object]]:
    """Return the variables that are only ever set to constants, and to which, with their types."""
    found: dict[str, list[object]] = {}
    others: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            with contextlib.suppress(ValueError):
                value = _tag(ast.literal_eval(node.value))
                for target in targets:
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, []).append(value)
                continue
        if not isinstance(node, _Definition):
            others |= {
                one.id
                for one in ast.walk(node)
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            }
    return {name: values for name, values in found.items() if name not in others}


def _tag(constant: object) -> tuple[type, object]:
    """Return a constant with its type, by which 1, 1.0 and True differ."""
    return type(constant), constant


def _find_value(net: nn.Module, name: str) -> object:
    """Return what a name stands for in the module of a net; its own class is the net's."""
    cls = type(net)
    if cls.__name__ == name:
        return cls
    module = "__main__" if cls.__module__.startswith("torch.") else cls.__module__
    return getattr(sys.modules.get(module), name, None)


def _find_in_cell(value: object, name: str) -> _Definition | None:
    """Return the definition of a class or function in the cell that has run.

    None if it is from a file, or its cell is not known.
    """
    for function in list_functions(value):
        code = function.__code__
        if os.path.exists(code.co_filename):
            continue
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(ast.parse("".join(linecache.getlines(code.co_filename)))):
                if (
                    isinstance(node, _Definition)
                    and node.name == name
                    and _first_line(node) <= code.co_firstlineno
                    and code.co_firstlineno <= (node.end_lineno or 0)
                ):
                    return node
    return None


def _first_line(node: _Definition) -> int:
    """Return the first line of a definition, with its decorators, as code objects count it."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _describe(definition: _Definition) -> str:
    """Return the text of a definition without comments, layout and docstrings."""
    copy = ast.parse(ast.unparse(definition))
    for node in ast.walk(copy):
        if isinstance(node, _Definition) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(copy)
