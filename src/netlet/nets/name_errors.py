"""Say what is wrong if somebody's code uses a name that is not defined."""

from __future__ import annotations

import ast
import traceback
from pathlib import Path

from netlet.errors import NetError, first_line
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


def _own_attributes(tree: ast.Module) -> set[str]:
    """Return the attributes that methods of a module's classes assign to ``self``."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def _explain_order(error: NameError, source: Source) -> str:
    """Return where a name is defined if that is below the statement that uses it; else nothing."""
    use = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "<module>" and use is None:
            use = _statement_at(source, frame.f_code.co_filename, line)
    name = error.name or ""
    found = [i for i, one in enumerate(source.body) if name in names_bound(one)]
    if use is None or not found or found[0] <= use:
        return ""
    below, above = source.body[found[0]], source.body[use]
    verb = "imported" if isinstance(below, ast.Import | ast.ImportFrom) else "defined"
    cell, user = source.cell_of(below), source.cell_of(above)
    if cell is user or not source.has_cells:
        place, using, remedy = cell.locate(below.lineno), user.locate(above.lineno), "it"
    else:
        place, using, remedy = str(cell), str(user), "that cell"
    return f"{name!r} is {verb} in {place}, below {using}, which uses it; move {remedy} above"


def _statement_at(source: Source, filename: str, line: int) -> int | None:
    """Return the place of the statement with a line among those of a file; None if it has none."""
    for i, statement in enumerate(source.body):
        inside = statement.lineno <= line <= (statement.end_lineno or statement.lineno)
        if inside and source.cell_of(statement).filename == filename:
            return i
    return None


def explain_name_error(error: NameError) -> str:
    """Return which name is not defined where, and what to do about it, in one line."""
    reason = first_line(error, otherwise="no message")
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
        if error.name in _own_attributes(tree):
            return f"{error.name!r} is not defined in {file.name}; write self.{error.name}"
        return f"{error.name!r} is not defined in the file {file.name}; define or import it there"
    if not binds_name(error.name, _without_main_block(tree)):
        return (
            f"{error.name!r} is defined only where {file.name} runs as a script (in its "
            "if __name__ block); define it above"
        )
    if str(trace.tb_frame.f_globals.get("__name__")).startswith(SELECTED):
        if order := _explain_order(error, source or read_source(file)):
            return order
        return (
            f"{reason} by the statements that the net depends on; write module:Name to run the "
            "whole file"
        )
    return f"{reason} where {file.name} uses it; define it above"
