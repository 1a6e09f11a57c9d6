"""Choose among several definitions of a name, and what the notebook had defined by then.

A name means its last definition, and ``Net[2]`` its second one. All other names count as they stood
at the last place where the notebook uses this definition, or at its end: a block that is written
anew for a later net does not change an earlier one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from netlet.errors import DefinitionsWarning, NetError, did_you_mean, warn
from netlet.nets.cells import Cell, Source
from netlet.nets.effects import ScriptEffects
from netlet.nets.needed_statements import select_statements
from netlet.nets.net_names import list_nets
from netlet.nets.patched_classes import list_patched
from netlet.nets.script import (
    is_always_kept,
    list_definitions,
    names_bound,
    names_used,
    names_used_at_once,
)
from netlet.nets.unreached_nets import BELOW_MAIN, list_below_main

_NUMBERED = re.compile(r"(?P<name>.*)\[(?P<number>\d{1,9})\]", re.DOTALL)
_OTHERS_SHOWN = 3
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Definition:
    """A place where a file defines a name.

    Attributes:
        cell: The cell.
        line: The line in the cell; of a script, in the file.
        statement: The index of the statement in the file's; None if the cell is not valid Python.
    """

    cell: Cell
    line: int
    statement: int | None

    def __str__(self) -> str:
        place = str(self.cell) if self.cell.number else self.cell.locate(self.line)
        return place if self.statement is not None else f"{place}, not valid Python"


@dataclass(frozen=True)
class Selection:
    """The statements that a net needs.

    Attributes:
        name: The name of the net, without a number.
        tree: The statements, in their order.
        chosen: The definition of the net; None if a star import has it, or of a script.
        definitions: All definitions of the name; of a script only if they are classes and
            functions, since a variable is assigned anew in passing.
    """

    name: str
    tree: ast.Module
    chosen: Definition | None
    definitions: Sequence[Definition]


def split_number(attribute: str) -> tuple[str, int | None]:
    """Return the name and the number of ``Net[3]``; None for a name without a number."""
    match = _NUMBERED.fullmatch(attribute)
    return (match["name"], int(match["number"])) if match else (attribute, None)


def select_net(source: Source, attribute: str) -> Selection:
    """Return the statements that a net needs.

    Args:
        source: The file.
        attribute: The name of the net, or a numbered one like ``Net[3]``.

    Raises:
        NetError: The file does not define it, or not as often; or the cell with the definition is
            not valid Python.
    """
    name, number = split_number(attribute)
    definitions = _find_definitions(source, name)
    if number is None and not (source.has_cells and definitions):
        selected = select_statements(name, source.tree)
        if selected is None:
            raise _no_such_name(source, name)
        return Selection(name, selected, None, _keep_blocks(source, definitions))
    if not definitions:
        raise _no_such_name(source, name)
    if number is not None and not 1 <= number <= len(definitions):
        raise NetError(
            f"no {attribute} in {source.path}; it defines {name!r} in {list_places(definitions)}: "
            f"write {', '.join(f'{name}[{i}]' for i in range(1, len(definitions) + 1))}"
        )
    place = (number or len(definitions)) - 1
    chosen = definitions[place]
    if chosen.statement is None:
        valid = [i for i, one in enumerate(definitions, 1) if one.statement is not None]
        others = ", ".join(f"{name}[{i}]" for i in valid)
        remedy = f", or name another definition: {others}" if others else ""
        raise NetError(
            f"{chosen.cell}, which defines {name!r}, is not valid Python ({chosen.cell.problem}); "
            f"repair it{remedy}"
        )
    return Selection(name, _select(source, name, definitions, chosen), chosen, definitions)


def _no_such_name(source: Source, name: str) -> NetError:
    known = [*list_nets(source.tree), *list_definitions(source.tree)]
    if name in list_below_main(source.tree):
        return NetError(f"no {name!r} in {source.path}: it {BELOW_MAIN}")
    owner, _, method = name.partition(".")
    if owner in known and method.isidentifier():
        return NetError(
            f"no {name!r} in {source.path}: it is not a name of the file; write a function, "
            f"def {method}(): return {name}(), and name {method}"
        )
    return NetError(
        f"no {name!r} in {source.path}; {did_you_mean(name, known)}{describe_content(source)}"
    )


def describe_content(source: Source) -> str:
    """Return what a file defines, and which of its cells cannot be read."""
    found = list_definitions(source.tree)
    if not source.has_cells:
        return f"it defines: {', '.join(found) or 'nothing'}"
    named = dict.fromkeys([*found, *list_nets(source.tree)])
    places = [f"{name} ({list_places(_find_definitions(source, name))})" for name in named]
    return "; ".join(
        [f"it defines: {', '.join(places) or 'nothing'}", *describe_broken_cells(source)]
    )


def describe_broken_cells(source: Source) -> list[str]:
    """Return which cells are not valid Python, and why."""
    broken = [cell for cell in source.cells if cell.problem]
    return [f"{cell} is not valid Python ({cell.problem})" for cell in broken]


def describe_nets(source: Source, names: Sequence[str]) -> str:
    """Return the names of nets, with their cells if the file has any."""
    if not source.has_cells:
        return ", ".join(names)
    return ", ".join(f"{name} ({list_places(_find_definitions(source, name))})" for name in names)


def list_places(definitions: Sequence[Definition]) -> str:
    """Return where a name is defined: ``cell 3, cell 8``."""
    return ", ".join(map(str, definitions))


def describe_definitions(address: str, selection: Selection) -> str:
    """Return which of several definitions of a name counts; empty if there is one, or a number."""
    places, name = selection.definitions, selection.name
    if len(places) < 2 or split_number(address)[1] is not None:
        return ""
    others = [f"{name}[{i}] for the one in {place}" for i, place in enumerate(places[:-1], 1)]
    more = len(others) - _OTHERS_SHOWN
    shown = others if more <= 0 else [*others[:_OTHERS_SHOWN], f"... up to {name}[{len(others)}]"]
    return (
        f"{address}: {name!r} is defined {len(places)} times; the last one counts, in "
        f"{places[-1]}; write {', '.join(shown)}"
    )


def note_definitions(address: str, selection: Selection) -> None:
    """Warn if a name without a number has several definitions."""
    if text := describe_definitions(address, selection):
        warn(text, DefinitionsWarning)


def find_broken_cell(source: Source, name: str) -> Cell | None:
    """Return a cell that would define a name if it were valid Python; None if there is none."""
    return next((cell for cell in source.cells if cell.problem and _line_of(cell, name)), None)


def _find_definitions(source: Source, name: str) -> list[Definition]:
    """Return where a name is defined. A statement that uses the name changes it instead."""
    found = [
        Definition(source.cell_of(statement), statement.lineno, i)
        for i, statement in enumerate(source.body)
        if name in names_bound(statement)
        and (isinstance(statement, _DEFINITIONS) or name not in names_used_at_once(statement))
    ]
    if not source.has_cells:
        return found
    for cell in source.cells:
        if cell.problem and (line := _line_of(cell, name)):
            found.append(Definition(cell, line, None))
    order = {id(cell): i for i, cell in enumerate(source.cells)}
    return sorted(found, key=lambda one: (order[id(one.cell)], one.line))


def _keep_blocks(source: Source, definitions: Sequence[Definition]) -> Sequence[Definition]:
    """Return definitions if all of them are classes and functions, else none."""
    blocks = all(isinstance(source.body[one.statement or 0], _DEFINITIONS) for one in definitions)
    return definitions if blocks else ()


def _line_of(cell: Cell, name: str) -> int:
    """Return the line where text that is not Python seems to define a name; 0 if it does not."""
    word = re.escape(name)
    pattern = re.compile(
        rf"(?:(?:async\s+)?def|class)\s+{word}\b|{word}\s*=[^=]|(?:from|import)\s.*\b{word}\b"
    )
    return next((i for i, s in enumerate(cell.lines, cell.first_line) if pattern.match(s)), 0)


def _select(
    source: Source, name: str, definitions: Sequence[Definition], chosen: Definition
) -> ast.Module:
    """Return the statements that one of several definitions needs."""
    own = [one.statement for one in definitions if one.statement is not None]
    start = chosen.statement or 0
    following = next((i for i in own if i > start), len(source.body))
    end = _end_of_use(source.body, name, start, following)
    before = list(source.body[:end])
    others = {id(source.body[i]) for i in own if i != start}
    effects = ScriptEffects(source.body[:start])  # on earlier definitions
    noted = [{of for of, _ in one} for one in effects.noted]
    read = set[str]().union(*map(names_used, before))
    others |= {
        id(node)
        for node, *names in zip(before, effects.changed, noted, strict=False)
        if any(name in some for some in names) and getattr(node, "name", "") not in read
    }
    kept = [statement for statement in before if id(statement) not in others]
    selected = _with_later_names(source, name, kept, end)
    above = set(map(id, source.body[: start + 1]))
    if any(name in names_used_at_once(n) for n in selected.body if id(n) in above):  # Net(Net)
        selected = _with_later_names(source, name, before, end)
    return selected


def _end_of_use(body: Sequence[ast.stmt], name: str, start: int, following: int) -> int:
    """Return where the last use of a definition ends, before the name is defined again."""
    functions = {n.name: names_used(n) for n in body[:following] if isinstance(n, ast.FunctionDef)}
    users = {name}
    while more := {f for f, used in functions.items() if used & users} - users:
        users |= more
    patched = list_patched(body)
    for i in range(following - 1, start, -1):
        uses = set[str]() if isinstance(body[i], _DEFINITIONS) else names_used(body[i])
        if (uses | patched[i]) & users:
            return i + 1
    return following


def _with_later_names(source: Source, name: str, body: Sequence[ast.stmt], end: int) -> ast.Module:
    """Select from some statements, and from later ones those that define what these lack."""
    bound = {bound for statement in source.body[:end] for bound in names_bound(statement)} | {name}
    later = []
    changed = ScriptEffects(source.body).changed
    for statement, modified in zip(source.body[end:], changed[end:], strict=True):
        names = {*names_bound(statement), *modified}
        if isinstance(statement, ast.Expr) and is_always_kept(statement):
            names.add("sys")
        if names and not names & bound:
            later.append(statement)
    selected = select_statements(name, ast.Module([*body, *later], []))
    assert selected is not None
    return selected
