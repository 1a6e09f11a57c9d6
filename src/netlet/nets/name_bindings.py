"""Which of several definitions of a name a net gets when its file is loaded."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlet.nets.effects import ScriptEffects
from netlet.nets.patched_classes import list_patched
from netlet.nets.script import (
    follow_names,
    names_bound,
    names_used,
    names_used_at_once,
    walk_outside_functions,
)

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Binding:
    """A statement of a file that binds a name, or an attribute like ``Net.forward``.

    Attributes:
        statement: The statement.
        node: What it binds the name to: a definition, the ``import`` of it, or the expression; None
            if that cannot be told, as in a loop or below ``if``.
        alias: The name in the import.
        registers: Whether its decorators put it into an object, such as a dict of all nets.
    """

    statement: ast.stmt
    node: ast.stmt | ast.expr | None
    alias: ast.alias | None = None
    registers: bool = False

    def outlives(self, later: Binding) -> bool:
        """Return whether something may have this still when the name is bound again."""
        if later.node is None:
            return True
        kept = _list_kept(self.node)
        return self.registers or (bool(kept) and kept != _list_kept(later.node))


def _list_kept(node: ast.AST | None) -> list[str]:
    """Return what decides where decorators put a definition; nothing without decorators."""
    if not isinstance(node, _Definition) or not node.decorator_list:
        return []
    parameters = [] if isinstance(node, ast.ClassDef) else [node.args]
    return [*map(ast.dump, (*node.decorator_list, *parameters))]


def list_bindings(body: Sequence[ast.stmt]) -> dict[str, list[Binding]]:
    """Return the statements of a file that bind names and attributes of names, by these."""
    found: dict[str, list[Binding]] = {}
    unknown = {name for node in body for one in ast.walk(node) for name in _list_global(one)}
    changed = zip(ScriptEffects(body).registered, list_patched(body), strict=True)
    for statement, (objects, classes) in zip(body, changed, strict=True):
        for name, binding in _read_bindings(statement, bool(objects - classes)):
            found.setdefault(name, []).append(binding)
    # A function may have bound them since.
    return {name: ones for name, ones in found.items() if name not in unknown}


def _list_global(node: ast.AST) -> Sequence[str]:
    return node.names if isinstance(node, ast.Global) else ()


def _read_bindings(statement: ast.stmt, registers: bool) -> Iterator[tuple[str, Binding]]:
    """Yield the names that a statement binds."""
    if isinstance(statement, _Definition):
        yield (
            statement.name,
            Binding(statement, statement, registers=registers or statement.name == "_"),
        )
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield name, Binding(statement, statement, alias)
    elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, Binding(statement, statement.value)
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                yield f"{target.value.id}.{target.attr}", Binding(statement, statement.value)
            else:
                yield from ((name, Binding(statement, None)) for name in names_bound(target))
        yield from ((name, Binding(statement, None)) for name in names_bound(statement.value))
    else:
        yield from ((name, Binding(statement, None)) for name in names_bound(statement))


def find_loaded(body: Sequence[ast.stmt], name: str, bindings: Sequence[Binding]) -> list[Binding]:
    """Return what a name may be bound to wherever the statements of a net use it.

    Bindings that are replaced before a statement can use the name are left out.

    Args:
        body: The statements that the net needs.
        name: The name.
        bindings: Its bindings in the file.
    """
    own = {id(one.statement): one for one in bindings}
    found, now = list[Binding](), list[Binding]()
    pairs = [({*names_bound(statement)}, names_used(statement)) for statement in body]
    for statement, (bound, _) in zip(body, pairs, strict=True):
        if now and name in _list_used_at_once(statement, pairs):
            found += now
        if "*" in bound:
            now = [*now, Binding(statement, None)]
        elif (new := own.get(id(statement))) is not None:
            now = [*(one for one in now if one.outlives(new)), new]
    return [*found, *now]


def _list_used_at_once(statement: ast.stmt, pairs: Sequence[tuple[set[str], set[str]]]) -> set[str]:
    """Return the names that a statement reads when it runs, in what it may call, too."""
    found = names_used_at_once(statement)
    runs = not isinstance(statement, _Definition) or bool(statement.decorator_list)
    runs = runs or any(isinstance(one, ast.Call) for one in walk_outside_functions(statement))
    return follow_names(found, pairs) if runs else found
