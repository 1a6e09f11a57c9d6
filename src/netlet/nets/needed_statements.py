"""Select from a user's script only the statements that a net needs.

Scripts and exported notebooks train, print and download in the file that defines their nets. Only
imports, definitions and values that the net depends on are run.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from netlet.nets.effects import ScriptEffects
from netlet.nets.known_changes import NEEDS_MODE, UNDONE
from netlet.nets.random_numbers import RANDOM, list_drawing
from netlet.nets.script import (
    follow_names,
    is_always_kept,
    is_main_guard,
    last_name,
    names_bound,
    names_used,
    names_used_at_once,
    names_used_later,
    walk_outside_functions,
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef
_Import = ast.Import | ast.ImportFrom
_Loop = ast.For | ast.AsyncFor | ast.While
# Functions and methods that read attributes of packages, those that depend on a net's mode, and
# those whose work others undo.
_READ = {"parse_args": "argv", "parse_known_args": "argv"}
_READ |= {"getenv": "environ", "environ": "environ"} | {name: name for name in NEEDS_MODE | UNDONE}
# What may run functions, as ``k[1]`` runs an own ``__getitem__``.
_Calling = ast.Call | ast.Subscript | ast.Attribute | ast.BinOp | ast.For | ast.With


def select_statements(name: str, tree: ast.Module) -> ast.Module | None:
    """Return the statements of a module that a name depends on, in their order.

    These are the statements that bind the name, those that modify the object (``Net.forward =
    ...``, ``layers.append(...)``, and see ``effects.py``), those that bind or modify what these
    use, and so on. If one draws random numbers, so are those that seed them. Changes of
    ``sys.path`` and star imports are always kept. The block under ``if __name__ == "__main__"`` is
    left out, and so is what :class:`_Script` says.

    Args:
        name: The name of the net.
        tree: The module.

    Returns:
        A smaller module, or None if no statement binds the name, not even a star import.
    """
    script = _Script(name, _read_statements(tree))
    body = script.body
    if not any(name in names or "*" in names for names in script.binds):
        return None
    kept = {i for i, statement in enumerate(body) if is_always_kept(statement)}
    while more := script.list_needed(kept):
        kept |= more
    return ast.Module([body[i] for i in sorted(kept)], tree.type_ignores)


@dataclass(frozen=True)
class _Statements:
    """What the statements of a script do with names, whichever net is asked for.

    Attributes:
        body: The statements.
        effects: What they change.
        drawing: Whether they draw random numbers.
        binds: The names that they bind.
        uses: The names that they read, now or later.
        sets: The names that they set to something else, without reading them.
        augmented: The names of ``name += ...``.
        later: The names that they may read after they have run.
        at_once: The names that they read when they run.
    """

    body: list[ast.stmt]
    effects: ScriptEffects
    drawing: list[bool]
    binds: list[set[str]]
    uses: list[set[str]]
    sets: list[set[str]]
    augmented: list[set[str]]
    later: list[set[str]]
    at_once: list[set[str]]


@functools.lru_cache(maxsize=4)  # a file may have several nets
def _read_statements(tree: ast.Module) -> _Statements:
    body = [statement for statement in tree.body if not is_main_guard(statement)]
    return _Statements(
        body=body,
        effects=ScriptEffects(body),
        drawing=list_drawing(body),
        binds=[set(names_bound(statement)) for statement in body],
        uses=[_names_read(statement) for statement in body],
        sets=[_names_set(statement) for statement in body],
        augmented=[_names_augmented(statement) for statement in body],
        later=[names_used_later(statement) for statement in body],
        at_once=[names_used_at_once(n) & _names_read(n) for n in body],
    )


class _Script:
    """What the statements of a script do with names.

    What a statement does to a name does not count

    - if it is a loop or trains, and a plain assignment below it replaces the name before the net
      reads it;
    - if it assigns the name below the definitions that read it, and these read it only when they
      are defined, as default arguments and the statements of a class do;
    - if it uses the net and an earlier statement has bound the name.
    """

    def __init__(self, name: str, read: _Statements) -> None:
        self._name, self.body, self._effects = name, read.body, read.effects
        self._uses, self._drawing, self._sets = read.uses, read.drawing, read.sets
        self._augmented, self._later, self._at_once = read.augmented, read.later, read.at_once
        self.binds = _leave_out_users(name, read)
        self._trains: dict[int, bool] = {}
        self._attributes: dict[int, set[str]] = {}

    def list_needed(self, kept: set[int]) -> set[int]:
        """Return the other statements that the net needs, if it needs those with some indices."""
        needed = {self._name}.union(*(self._uses[i] for i in kept))
        last_draw = max((i for i in kept if self._drawing[i]), default=-1)
        read = {self._name}.union(*(self._later[i] for i in kept))
        attributes = set[str]().union(*(self._list_attributes(i) for i in kept))
        needed |= {"sys"} if "argv" in attributes else set()
        needed |= {"os"} if "environ" in attributes else set()
        found = set[int]()
        for i in set(range(len(self.body))) - kept:
            noted = {name for name, at in self._effects.noted[i] if at in attributes}
            changes = self._effects.changed[i] | noted
            names = (self.binds[i] | changes) & (needed | ({RANDOM} if i < last_draw else set()))
            late = names - read - changes - self._augmented[i]
            if not isinstance(self.body[i], _Definition | _Import):
                names -= {one for one in late if not self._is_read_after(i, one, kept)}
            registers = any(self._is_looked_up(one, kept) for one in self._effects.registered[i])
            filled = self._effects.filled[i] & needed
            fills = any(self._is_read_after(i, one, kept) for one in filled)
            if registers or fills or any(not self._is_replaced(i, one, kept) for one in names):
                found.add(i)
        return found

    def _list_attributes(self, place: int) -> set[str]:
        if place not in self._attributes:
            self._attributes[place] = _list_attributes(self.body[place])
        return self._attributes[place]

    def _is_looked_up(self, name: str, kept: set[int]) -> bool:
        """Return whether a net may depend on what definitions have put into an object."""
        readers = (i for i in kept if name in _names_used_inside(self.body[i]))
        return any(not self._effects.writes(self.body[i], name) for i in readers)

    def _is_read_after(self, place: int, name: str, kept: set[int]) -> bool:
        return any(name in self._at_once[i] for i in kept if i > place)

    def _is_replaced(self, place: int, name: str, kept: set[int]) -> bool:
        """Return whether what a statement does to a name does not reach the net."""
        node, below = self.body[place], range(place + 1, len(self.body))
        if isinstance(node, _Definition | _Import) or name in self._augmented[place]:
            return False
        end = next((i for i in below if name in self.binds[i] and name in self._sets[i]), None)
        if end is None:
            return False
        if place not in self._trains:
            self._trains[place] = isinstance(node, _Loop) or self._effects.trains(node)
        if not self._trains[place]:
            return False
        # What has read the name before may have the object that the statement changes.
        start = 0 if name in self._effects.changed[place] else place
        return not any(
            name in self._read_now(i, kept) for i in kept if start <= i <= end and i != place
        )

    def _read_now(self, place: int, kept: set[int]) -> set[str]:
        """Return the names that a statement reads when it runs, in the functions that it calls."""
        node, found = self.body[place], self._at_once[place]
        calls = getattr(node, "decorator_list", []) or any(
            isinstance(one, _Calling) for one in walk_outside_functions(node)
        )
        pairs = ((self.binds[i], self._uses[i]) for i in kept)
        return follow_names(found, pairs) if calls else found


def _leave_out_users(name: str, read: _Statements) -> list[set[str]]:
    """Return what each statement binds that the net may depend on.

    A statement that uses the net and works with it, such as a loop that trains it with several
    values, does not count for names that an earlier one has bound.
    """
    found, before = list[set[str]](), set[str]()
    for statement, binds, uses in zip(read.body, read.binds, read.uses, strict=True):
        defines = isinstance(statement, ast.FunctionDef | ast.ClassDef)
        uses_it = name in before and name in uses and name not in binds
        works = uses_it and not defines and read.effects.works(statement)
        found.append(binds - before if works else binds)
        before |= binds
    return found


def _names_set(node: ast.stmt) -> set[str]:
    """Return the names that a statement always sets to something else, without reading them."""
    targets: Iterable[ast.AST] = [node] if isinstance(node, _Definition | _Import) else []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    return {name for one in targets for name in names_bound(one)} - names_used_at_once(node)


def _names_read(node: ast.stmt) -> set[str]:
    """Return the names that a statement reads as others have bound them, now or later.

    These are not the variables of a loop, or what ``with`` binds, in the block below it.
    """
    if not isinstance(node, ast.For | ast.AsyncFor | ast.With | ast.AsyncWith):
        return names_used(node)
    inside = set[str]().union(*map(_names_read, node.body))
    header = copy.copy(node)
    header.body = []
    if isinstance(header, ast.With | ast.AsyncWith):
        bound = {name for one in header.items for name in names_bound(one)}
    else:
        bound = set(names_bound(header.target))
    return (inside - bound) | names_used(header) | names_used_later(node)


def _names_used_inside(node: ast.stmt) -> set[str]:
    """Return what a statement reads, of a definition without its decorators and base classes."""
    if not isinstance(node, _Definition):
        return names_used(node)
    inside = copy.copy(node)
    inside.decorator_list = []
    if isinstance(inside, ast.ClassDef):
        inside.bases = []
    return names_used(inside)


def _list_attributes(node: ast.stmt) -> set[str]:
    """Return the attributes and keys that a statement reads, of whatever object."""
    found = set[str]()
    for one in ast.walk(node):
        name = last_name(one) if isinstance(one, ast.Name | ast.Attribute) else ""
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Load):
            found.add(name)
        found.add(_READ.get(name, ""))
        keys = [one.slice] if isinstance(one, ast.Subscript) else []
        for key in one.args if isinstance(one, ast.Call) else keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.add(key.value)
    return found - {""}


def _names_augmented(node: ast.stmt) -> set[str]:
    """Return the names of ``name += ...``, which may change an object that others have."""
    targets = (one.target for one in ast.walk(node) if isinstance(one, ast.AugAssign))
    return {one.id for one in targets if isinstance(one, ast.Name)}
