"""Compare the code of a net in a file with the code that runs in this process."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from netlet.errors import NetError
from netlet.nets.definitions import select_net
from netlet.nets.net_code import NetCode, find_code, is_file_address
from netlet.nets.sources import read_source


def find_running_code(net: nn.Module, address: str) -> NetCode | None:
    """Return the code of a net that was built here, as its file has it.

    A notebook runs what its cells say; its file has what was saved last.

    Args:
        net: The net.
        address: ``notebook.ipynb:Net`` or ``file.py:Net``; of a module, nothing is compared.

    Raises:
        NetError: There is no such file, it does not define the net, or defines it otherwise.
    """
    place, _, name = address.rpartition(":")
    if not is_file_address(place):
        return find_code(address)
    if not Path(place).is_file():
        raise NetError(f"{place}: no such file; save the notebook, or correct net_name={address!r}")
    source = read_source(Path(place))
    selection = select_net(source, name)
    # Python compiles a call like nn.Conv2d() otherwise where it sees the import of nn: a file is
    # compiled as a whole, the statements of a cell one by one.
    parts = [selection.tree, *(ast.Module([one], []) for one in selection.tree.body)]
    compiled = [compile(part, place, "exec", dont_inherit=True) for part in parts]
    ways: dict[FunctionType, list[tuple[object, ...]]] = {}
    for code in compiled:
        for function, body in _list_functions(code, vars(_find_module(net))):
            ways.setdefault(function, []).append(_describe(body))
    for function, saved in ways.items():
        if _describe(function.__code__) not in saved:
            raise NetError(
                f"{place}: has another {function.__qualname__} than the one that runs here; save "
                f"the {'notebook' if source.has_cells else 'file'}, run all of it again, and train"
            )
    return find_code(address)


def _find_module(net: nn.Module) -> ModuleType:
    """Return the module that the code of a net runs in: the notebook, as a rule."""
    name = type(net).__module__
    own = sys.modules["__main__"] if name.startswith("torch.") else sys.modules.get(name)
    return own or sys.modules["__main__"]


def _list_functions(
    code: CodeType, values: dict[str, Any] | Any
) -> Iterator[tuple[FunctionType, CodeType]]:
    """Yield each function that code defines and that runs here, with the code of its definition.

    Args:
        code: That of a file, or of the body of a class.
        values: What the names stand for here.
    """
    for part in code.co_consts:
        if not isinstance(part, CodeType):
            continue
        value = values.get(part.co_name)
        if isinstance(value, FunctionType):
            function = inspect.unwrap(value)  # of a decorator, which may hide it
            if isinstance(function, FunctionType) and function.__code__.co_name == part.co_name:
                yield function, part
        elif isinstance(value, type):
            yield from _list_functions(part, vars(value))


def _describe(code: CodeType) -> tuple[object, ...]:
    """Return what code does, without its place, names of files and comments."""
    constants = tuple(
        _describe(value) if isinstance(value, CodeType) else (type(value), value)
        for value in code.co_consts
    )
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars
