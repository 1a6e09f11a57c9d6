"""Compare the code of a net that was imported with its files, which may have been edited since."""

from __future__ import annotations

import ast
import contextlib
import dis
import os
import textwrap
import time
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, MethodType

from torch import nn

from netlet.nets.registered import list_attributes, list_modules
from netlet.nets.script import list_values
from netlet.nets.stored_values import is_a
from netlet.nets.used_functions import (
    FunctionNode,
    list_code,
    name_lambdas,
    read_global,
    walk_functions,
)

_MARGIN_S = 2.0  # since some file systems round times
_RELOADED = "__autoreload_class__"  # in a class of this name, IPython compiles a method again
# Instructions that differ by whether Python knows that a name is imported.
_ONLY_OF_CALLS = ("CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "PUSH_NULL")
ImportedCode = Mapping[tuple[Path, str], CodeType]


def find_edited(net: nn.Module, builder: object = None) -> tuple[Path, str] | None:
    """Return a file that has another function than the one that was imported from it, and its name.

    Python keeps what it has imported; a record would name the code that the file has now. Files of
    installed packages are not read.

    Args:
        net: The net.
        builder: The class or function that has built it, if that is known.

    Returns:
        The file and the function, such as ``Net.forward``; None if there is none.
    """
    lambdas: dict[FunctionType, str] = {}
    readers = cache(_read_functions), cache(_read_reloaded)
    read_lambdas = cache(_read_lambdas)
    parts = [part for _, part in list_modules(net)]
    kinds = {id(type(part)): type(part) for part in parts}
    held = [value for part in parts for value in _attributes(part)]
    for function in walk_functions((builder, *kinds.values(), *held)):
        lambdas |= name_lambdas(function)
        code = function.__code__
        path, name = _find_file(function), _find_name(function)
        if path is None:
            continue
        found = [one for read in readers for one in read(path).get(name, ())]
        if own := read_lambdas(path).get(lambdas.get(function, "")):
            found = [one for one in found if one.co_firstlineno in own]
        same = (_sign(code) == _sign(one) for one in found)
        if not _is_older_than_process(path) and not any(same):
            return path, lambdas.get(function, name.removeprefix(f"{_RELOADED}."))
    return None


def list_imported(builder: object) -> ImportedCode:
    """Return the code of the imported functions that a class or function may run, by file and name.

    Several of one name, such as lambdas, are left out.
    """
    found: dict[tuple[Path, str], list[CodeType]] = {}
    for function in walk_functions([builder]):
        if (path := _find_file(function)) is not None:
            found.setdefault((path, _find_name(function)), []).append(function.__code__)
    return {place: codes[0] for place, codes in found.items() if len(codes) == 1}


def find_edited_since(before: ImportedCode, builder: object) -> tuple[Path, str] | None:
    """Return a function of which a module has taken up other code, as by IPython's autoreload.

    A net that was built before has what the earlier code built.

    Args:
        before: The functions as :func:`list_imported` gave them then.
        builder: The class or function that has built the net.

    Returns:
        The file and the name of the function; None if there is none.
    """
    for place, code in list_imported(builder).items():
        known = before.get(place, code)
        if known is not code and _list_steps(known) != _list_steps(code):
            return place
    return None


def _attributes(part: nn.Module) -> list[object]:
    """Return the functions that a part of a net holds."""
    kinds = FunctionType, MethodType, partial
    values = list_attributes(part).values()
    return [value for value in values if any(is_a(value, kind) for kind in kinds)]


def _find_file(function: FunctionType) -> Path | None:
    """Return the file that Python itself has read a function from; None if there is none."""
    # Other loaders may change the code, as that of pytest does.
    if type(read_global(function, "__loader__")) is not SourceFileLoader:
        return None
    code = function.__code__
    # For properties, IPython notes no file.
    is_reloaded = code.co_qualname.startswith(f"{_RELOADED}.")
    place = read_global(function, "__file__") if is_reloaded else code.co_filename
    return Path(place) if is_a(place, str) and os.path.isfile(place) else None


def _find_name(function: FunctionType) -> str:
    """Return the name of a function in its file, as far as it is known."""
    name = function.__code__.co_qualname
    # IPython gives other code to a method; it keeps its own name.
    return function.__qualname__ if name.startswith(f"{_RELOADED}.") else name


def _find_start() -> float:
    """Return when this process began, in seconds since 1970; 0 if that is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - age
    return 0.0


# Now, since a process that is forked later has what this one has imported.
_started = _find_start()


def _is_older_than_process(path: Path) -> bool:
    """Return whether a file is surely as it was when Python started.

    Its functions are what was imported then, even if a decorator has compiled them in another way.
    """
    with contextlib.suppress(OSError):
        both = path.stat(), path.lstat()  # of a link, too
        return max(max(one.st_mtime, one.st_ctime) for one in both) < _started - _MARGIN_S
    return False


def _read_functions(path: Path) -> dict[str, list[CodeType]]:
    """Return the functions of a file as it is now, by their names."""
    try:
        whole = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, list[CodeType]] = {}
    for code in list_code(whole):
        found.setdefault(code.co_qualname, []).append(code)
    return found


def _read_reloaded(path: Path) -> dict[str, list[CodeType]]:
    """Return the functions of a file as it is now, as IPython's autoreload compiles edited ones.

    It does so with each by itself. Then Python does not see which names are imported, and calls
    what they hold by other instructions.
    """
    found: dict[str, list[CodeType]] = {}
    for node, outer in _list_definitions(path):
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            text = ast.unparse(node)  # on the lines that IPython has: Python optimizes within lines
            if outer:
                text = f"class {_RELOADED}:\n{textwrap.indent(text, '    ')}"
            for code in list_code(compile(text, str(path), "exec", dont_inherit=True)):
                name = code.co_qualname
                # Of a function in a method, IPython leaves no other name.
                for one in {name, name.replace(_RELOADED, outer, 1)}:
                    found.setdefault(one, []).append(code)
    return found


def _read_lambdas(path: Path) -> dict[str, set[int]]:
    """Return the lines of a file's lambdas that are assigned to names."""
    try:
        values = list_values(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return {}
    return {
        name: lines
        for name, nodes in values.items()
        if (lines := {node.lineno for node in nodes if isinstance(node, ast.Lambda)})
    }


def _list_definitions(path: Path) -> Iterator[tuple[FunctionNode, str]]:
    """Yield the functions of a file that are not in other ones, and the names of their classes."""
    try:
        todo: list[tuple[ast.AST, str]] = [(ast.parse(path.read_bytes()), "")]
    except (OSError, SyntaxError, ValueError):
        return
    while todo:
        node, outer = todo.pop()
        if isinstance(node, FunctionNode):
            yield node, outer
            continue
        if isinstance(node, ast.ClassDef):
            outer = f"{outer}.{node.name}" if outer else node.name
        todo += [(one, outer) for one in ast.iter_child_nodes(node)]


def _sign(code: CodeType) -> object:
    """Return what a function does, to be compared: without its lines and its docstring.

    No instruction reads a docstring; it only moves the places of other constants.
    """
    steps = [
        (one.opcode, _describe(one.argval) if one.opcode in dis.hasconst else one.arg)
        for one in dis.get_instructions(code)
    ]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return steps, *names, *counts


def _list_steps(code: CodeType) -> list[object]:
    """Return what a function does, the same if IPython has compiled it by itself."""
    steps: list[object] = []
    for one in dis.get_instructions(code):
        if one.opname in _ONLY_OF_CALLS:
            continue
        value: object = one.argval
        if isinstance(value, CodeType):
            value = _list_steps(value)
        elif one.opcode in dis.hasconst:
            value = _describe(value)
        elif one.opcode in (*dis.hasjrel, *dis.hasjabs):
            value = None  # places, which shift
        steps.append(("LOAD_ATTR" if one.opname == "LOAD_METHOD" else one.opname, value))
    return steps


def _describe(constant: object) -> object:
    """Return what tells a constant from others: 1, 1.0 and True differ, and sets have an order."""
    if isinstance(constant, CodeType):
        return _sign(constant)
    if isinstance(constant, frozenset):
        return f"{{{', '.join(sorted(map(repr, constant)))}}}"
    return repr(constant)
