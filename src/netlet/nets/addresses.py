"""Addresses of nets in users' code: ``file.py``, ``notebook.ipynb:Name``, ``module:Name``."""

from __future__ import annotations

import ast
import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from netlet.errors import NetError, first_line
from netlet.nets.cells import Source
from netlet.nets.code_imports import UNREADABLE
from netlet.nets.definitions import (
    Selection,
    describe_broken_cells,
    describe_content,
    describe_definitions,
    describe_nets,
    note_definitions,
    select_net,
)
from netlet.nets.imported_definitions import list_imported
from netlet.nets.module_classes import find_required_arguments
from netlet.nets.net_builds import Builds
from netlet.nets.net_calls import list_returned
from netlet.nets.net_code import FILES, is_file_address
from netlet.nets.net_names import list_nets, list_of_private
from netlet.nets.script import list_definitions, list_statements
from netlet.nets.script_functions import ScriptFunctions
from netlet.nets.sources import read_source
from netlet.nets.training_code import TrainingCode
from netlet.nets.unreached_nets import BELOW_MAIN, list_below_main
from netlet.nets.used_functions import FunctionNode
from netlet.nets.written_modules import name_modules
from netlet.text import quote_shell

# Of a file that defines nothing that can be built by its name alone.
ALL_NEED_ARGUMENTS = (
    "has required arguments; give defaults to those of the net, or add a "
    "function without arguments that builds the net"
)
_NO_NET = "no class or function of it is or returns a net; add one that does"
_FOLDERS_SEARCHED = 20  # for the code in a folder that is taken for a net


def is_user_code(name: str) -> bool:
    """Return whether finding a net of this name runs code that does not come with netlet."""
    return ":" in name or name.endswith(FILES)


def complete_address(name: str) -> str:
    """Return an address with the name of the net: ``file.py`` alone means the only net in it.

    The same holds for a notebook.

    Args:
        name: An address. No code is run.

    Raises:
        NetError: It is a file alone that does not exist, cannot be read, or has no net or several.
    """
    if not name.endswith(FILES):
        return name
    if not os.path.isfile(name):
        remedy = f"check its path, as in {name}:Name"
        if "*" in name:  # a shell leaves a pattern as it is if it is quoted or no file matches
            remedy = "leave this pattern out if no file matches it; else write it without quotes"
        raise NetError(f"{name}: no such file; {remedy}")
    try:
        source = read_source(Path(name))
        nets, defined = _list_nets(source), list_definitions(source.tree)
    except (SyntaxError, ValueError) as error:
        reason = first_line(error)
        raise NetError(f"{name}: is not valid Python ({reason}); repair it") from error
    except (RecursionError, MemoryError) as error:
        raise NetError(f"{name}: has an expression that is nested too deep; split it") from error
    if len(nets) == 1:
        return f"{name}:{nets[0]}"
    if of_private := find_of_private(source):
        return f"{name}:{of_private}"
    if not nets and (below := list_below_main(source.tree)):
        raise NetError(f"{name}: {below[0]} {BELOW_MAIN}")
    if not nets and not defined:
        broken = "; ".join(["", *describe_broken_cells(source)])
        if private := list_definitions(source.tree, private=True):
            raise NetError(
                f"{name}: names that begin with an underscore are not taken for nets; name the "
                f"net, for example {name}:{private[0]}{broken}"
            )
        remedy = "; add one that is or builds a net"
        if held := [*Builds(source.tree, list_imported(source)).named]:
            remedy = f", but builds a net of another file; name it, for example {name}:{held[0]}"
        raise NetError(f"{name}: defines no class or function{remedy}{broken}")
    listed = f"it has {len(nets)} nets: {describe_nets(source, nets)}" if nets else ""
    listed = listed or describe_content(source)
    usable = nets or _list_usable(source.tree, defined)
    if not usable:
        needing = [one for one in defined if find_required_arguments(source.tree, one)]
        which = "all that it defines" if len(needing) == len(defined) else "what may be a net"
        problem = f"{which} {ALL_NEED_ARGUMENTS}" if needing else _NO_NET
        raise NetError(f"{name}: {problem}; {listed}")
    raise NetError(f"{name}: name the net in this file, for example {name}:{usable[0]}; {listed}")


def _list_usable(tree: ast.Module, names: Iterable[str]) -> list[str]:
    """Return the definitions that may be nets: without required arguments, and not a ``main()``.

    A function that trains or returns nothing is none.
    """
    statements = [*list_statements(tree)]
    training = TrainingCode(ScriptFunctions(statements), statements)
    functions = {one.name: one for one in tree.body if isinstance(one, FunctionNode)}
    others = {
        name
        for name, one in functions.items()
        if not one.decorator_list and (training.trains(one) or not list_returned(one))
    }
    return [n for n in names if n not in others and not find_required_arguments(tree, n)]


def full_address(name: str) -> str:
    """Return ``file.py:Name`` with an absolute path, and any other name as it is.

    Raises:
        NetError: It is a file alone that does not exist, cannot be read, or has no net or several.
    """
    name = complete_address(name)
    place, _, attribute = name.rpartition(":")
    return f"{Path(place).resolve()}:{attribute}" if is_file_address(place) else name


def short_address(name: str) -> str:
    """Return ``file.py:Name`` with a relative path if that is shorter than the absolute one.

    Args:
        name: An address; that of a module, or the name of a net, is returned as it is.
    """
    place, _, attribute = name.rpartition(":")
    if not is_file_address(place):
        return name
    return f"{min(os.path.relpath(place), os.path.abspath(place), key=len)}:{attribute}"


def find_defining_file(address: str) -> Path:
    """Return the file with the definition of a net: a notebook may run it with ``%run``.

    Args:
        address: A complete one of a file. No code is run.

    Returns:
        An absolute path; that of the address if the net is not found.
    """
    place, _, name = address.rpartition(":")
    path = Path(place).resolve()
    with contextlib.suppress(NetError, OSError, SyntaxError, ValueError, RecursionError):
        chosen = select_net(read_source(path), name).chosen
        if chosen is not None and chosen.cell.file:
            return (path.parent / chosen.cell.file).resolve()
    return path


def check_name(address: str) -> None:
    """Check that a file defines the name of a net; what else is wrong with it, loading says.

    Args:
        address: A complete one. No code is run.

    Raises:
        NetError: It does not, or is damaged.
    """
    place, _, name = address.rpartition(":")
    if is_file_address(place) and os.path.isfile(place):
        with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
            select_net(read_source(Path(place)), name)


def refuse_required_arguments(address: str, path: Path) -> None:
    """Check that a net can be built again by its address alone, as far as the text shows.

    Args:
        address: A complete one. No code is run.
        path: The file that it means.

    Raises:
        NetError: The class or function has required arguments.
    """
    place, _, name = address.rpartition(":")
    try:
        selection = select_net(read_source(path), name)
    except UNREADABLE:  # other checks say what is wrong
        return
    if required := find_required_arguments(selection.tree, selection.name):
        raise NetError(
            f"{address}: has required arguments ({', '.join(required)}), so the net cannot be "
            "built from its record; add a function without arguments that returns this net, like "
            f"def my_net(): return {selection.name}(...), and pass net_name='{place}:my_net'"
        )


def list_addresses(*files: str) -> list[str]:
    """Return the addresses of the nets in files; none of those that cannot be read.

    If there is none, those of nets that are built of private classes. No code is run.
    """
    found: list[str] = []
    of_private: list[str] = []
    for file in files:
        with contextlib.suppress(NetError, OSError, SyntaxError, ValueError, RecursionError):
            source = read_source(Path(file))
            found += [f"{file}:{name}" for name in _list_nets(source)]
            if name := find_of_private(source):
                of_private.append(f"{file}:{name}")
    return found or of_private


def find_of_private(source: Source) -> str | None:
    """Return the only function or module of a file that is built of a private class or function.

    Args:
        source: The file. No code is run.

    Returns:
        The name; None if there are none or several, or if the file has other nets.
    """
    if _list_nets(source) or list_below_main(source.tree):
        return None
    found = _list_usable(source.tree, list_of_private(source.tree))
    return found[0] if len(found) == 1 else None


def _list_nets(source: Source) -> list[str]:
    """Return the nets of a file; without any, those that it imports from files its cells write."""
    found, modules = list_nets(source.tree), name_modules(source.written)
    for node in () if found else source.body:
        if isinstance(node, ast.ImportFrom) and not node.level and node.module in modules:
            with contextlib.suppress(*UNREADABLE):
                there = list_nets(ast.parse(modules[node.module]))
                found += [one.asname or one.name for one in node.names if one.name in there]
    return found


def note_other_definitions(address: str) -> None:
    """Warn if the name in an address has several definitions; the last one counts.

    Args:
        address: A complete one. No code is run.
    """
    if selection := _select_quietly(address):
        note_definitions(address, selection)


def describe_other_definitions(address: str, shown: str) -> str:
    """Return which of several definitions of a net counts; empty if there is only one.

    Args:
        address: A complete one. No code is run.
        shown: How the text writes the address.
    """
    selection = _select_quietly(address)
    return describe_definitions(shown, selection) if selection else ""


def list_other_definitions(address: str) -> list[str]:
    """Return the addresses of the other definitions of a name, like ``file.py:Net[1]``.

    Args:
        address: A complete one. No code is run.
    """
    selection = _select_quietly(address)
    if not selection or not selection.definitions:
        return []
    chosen = selection.chosen or selection.definitions[-1]
    place = address.rpartition(":")[0]
    return [
        f"{place}:{selection.name}[{i}]"
        for i, one in enumerate(selection.definitions, 1)
        if one is not chosen and one.statement is not None
    ]


def _select_quietly(address: str) -> Selection | None:
    """Return the selection of a net in a file; None without one, of which loading says more."""
    place, _, name = address.rpartition(":")
    if is_file_address(place):
        with contextlib.suppress(NetError, OSError, SyntaxError, ValueError, RecursionError):
            return select_net(read_source(Path(place)), name)
    return None


def _find_code_inside(folder: str) -> str | None:
    """Return the first Python file or notebook in a folder; None if there is none nearby."""
    for place, folders, names in itertools.islice(os.walk(folder), _FOLDERS_SEARCHED):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        if found := sorted(name for name in names if name.endswith(FILES)):
            return os.path.join(place, found[0])
    return None


def explain_path(name: str) -> str | None:
    """Return why a path is not the name of a net, and what to name instead.

    Args:
        name: The name that was given; neither an address nor a Python file.

    Returns:
        The error message; None if this is not a path.
    """
    if os.path.isdir(name) or os.path.isfile(name):
        kind = "folder" if os.path.isdir(name) else "file"
        where = "file.py:Name"
        if code := _find_code_inside(name):
            where = f"{code}:Name"
        elif kind == "file" and name.lower().endswith(".zip"):  # weights are archives, too
            kind = "zip file"
        text = f"{name}: is a {kind}, not a net; name one from 'netlet list', or {where}"
        if not code and kind != "zip file":
            return text
        grading = f"netlet grade {quote_shell(name)} --single --budget NAME"
        return f"{text}; '{grading}' takes all of it as a submission"
    if "/" in name:
        return f"{name}: no such folder; 'netlet runs' lists your runs"
    return None
