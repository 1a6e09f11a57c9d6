"""Say what is wrong if somebody's code uses a name that is not defined."""

from __future__ import annotations

import ast
from pathlib import Path

from netlet.errors import NetError
from netlet.nets.cells import Source
from netlet.nets.definitions import find_broken_cell
from netlet.nets.script import binds_name, is_main_guard, names_bound
from netlet.nets.sources import find_source, read_source

SELECTED = "netlet_user_"  # begins the names of modules of which only some statements are run


def _without_main_block(tree: ast.Module) -> ast.Module:
    """Return a module without the blocks that run only if its file is run as a script."""
    return ast.Module([node for node in tree.body if not is_main_guard(node)], tree.type_ignores)


def _explain_in_cells(name: str, source: Source) -> str:
    """Return why a name of a notebook is not defined, if its cells say so; else nothing."""
    if (cell := find_broken_cell(source, name)) is not None:
        return (
            f"{name!r} is defined in {cell} of {source.path.name}, which is not valid Python "
            f"({cell.problem}); repair it"
        )
    if binds_name(name, source.tree):
        if any(name in names_bound(statement) for statement in source.body):
            return ""
        return f"{name!r} is not defined by a statement of its own; define it outside of functions"
    if source.unfollowed:
        cell, run = source.unfollowed[0]
        command = f"%run {run.file}".strip()
        return (
            f"{name!r} is not defined in {source.path.name}, and netlet does not follow the "
            f"{command!r} of {cell.locate(run.line)}: {run.problem}"
        )
    return ""


def explain_name_error(error: NameError) -> str:
    """Return which name is not defined where, and what to do about it, in one line."""
    reason = (str(error).strip().splitlines() or ["no message"])[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not error.name or not reason.endswith("is not defined"):
        return f"{type(error).__name__}: {reason}"
    file = Path(trace.tb_frame.f_code.co_filename)
    source = find_source(str(file))
    if source is not None and (about_cells := _explain_in_cells(error.name, source)):
        return about_cells
    file = source.path if source is not None else file
    try:
        tree = (source or read_source(file)).tree
    except (NetError, OSError, SyntaxError, ValueError):  # code of no file
        return f"{reason}; define or import it"
    if not binds_name(error.name, tree):
        return f"{error.name!r} is not defined in the file {file.name}; define or import it there"
    if not binds_name(error.name, _without_main_block(tree)):
        return (
            f"{error.name!r} is defined only where {file.name} runs as a script (in its "
            "if __name__ block); define it above"
        )
    if str(trace.tb_frame.f_globals.get("__name__")).startswith(SELECTED):
        return (
            f"{reason} by the statements that the net depends on; write module:Name to run the "
            "whole file"
        )
    return f"{reason} where {file.name} uses it; define it above"
