"""What the statements of a script change besides the names that they bind.

A statement may change an object by another name, as in ``for layer in net.children()``, or in a
function or method of the file that it calls. Of what other files have, only functions of Python and
PyTorch are known.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from netlet.nets.aliases import Aliases, find_aliases, find_place, find_roots
from netlet.nets.dry_runs import DryRuns
from netlet.nets.ipython_syntax import sets_environment
from netlet.nets.known_changes import NEEDS_MODE, UNDONE, KnownChanges, read_net_of_mode
from netlet.nets.patched_classes import list_patched
from netlet.nets.random_numbers import DRAW, RANDOM, SEED, list_generators, list_imported
from netlet.nets.script import (
    find_root,
    last_name,
    list_parameters,
    list_statements,
    names_bound,
    names_used_at_once,
    walk_outside_functions,
)
from netlet.nets.script_functions import Function, ScriptFunctions, list_kept
from netlet.nets.trained_names import TrainedNames
from netlet.nets.training_code import TrainingCode

_Definition = Function | ast.ClassDef
_Loop = ast.For | ast.AsyncFor | ast.While
# A name, and the attribute or key of its object that is changed; empty if that is not known.
_Change = tuple[str, str]
# What changes weights only is no part of how a net is made, unless the script does it itself.
_OF_WEIGHTS = {"apply", "load_state_dict"}
# Packages with settings, such as torch.backends.cudnn.benchmark, that most nets do not read.
_WITH_SETTINGS = {"wandb", "mlflow", "comet_ml", "neptune", "clearml"}
_WITH_SETTINGS |= {"torch", "numpy", "matplotlib", "pandas", "os", "sys", "warnings", "logging"}


@dataclass
class _Effects:
    """What a function changes when it is called.

    Attributes:
        parameters: Of its parameters.
        names: Of the names outside of it; these may be set, too.
    """

    parameters: set[_Change] = field(default_factory=set)
    names: set[_Change] = field(default_factory=set)


@dataclass(frozen=True)
class _Code:
    """What is known of a function without the functions that it calls.

    Attributes:
        nodes: Its calls and the like.
        aliases: By which names it knows objects.
        places: What it sets itself.
        declared: Its global names.
        local: The names that it binds.
        own: The parameters that it sets to nothing else.
    """

    nodes: Sequence[ast.AST]
    aliases: Aliases
    places: set[_Change]
    declared: set[str]
    local: set[str]
    own: set[str]


class ScriptEffects:
    """What each statement of a script changes.

    Attributes:
        changed: For each statement the names whose objects it may change.
        noted: For each statement names with the attributes and keys that matter only to who reads
            these: settings of packages, the mode of a net, what is known of the data or after the
            training, and what undoes something, which may be part of a training.
        registered: For each definition what its decorators or ``__init_subclass__`` change, such
            as a dict of all nets, which matters only to who reads that.
        filled: For each statement the nets with lazy layers that it gives their sizes, by a run.

    Args:
        body: All statements.
    """

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        statements = [*list_statements(ast.Module([*body], []))]
        self._functions = ScriptFunctions(statements)
        functions = self._functions.list_all()
        self._imported = list_imported(body)
        self._known = KnownChanges(self._imported, self._functions.classes.values(), body)
        self._generators = list_generators(body)
        self._training = TrainingCode(self._functions, statements)
        self._effects = {one: _Effects() for one in functions}
        self._code = {one: self._prepare(one) for one in functions}
        self._read_functions()
        self._aliases: dict[str, set[str]] = {}
        self._trained = TrainedNames(self._training)
        self._dry_runs = DryRuns(body, self._imported, self._functions)
        self.filled = list[set[str]]()
        found = list[tuple[set[_Change], set[_Change]]]()
        for node in body:
            found.append(self._read_statement(node))
            self.filled.append(self._find_filled(node))
            self._trained.note(node)
        self.changed = [
            {name for name, _ in changed} | patched
            for (changed, _), patched in zip(found, list_patched(body), strict=True)
        ]
        self.noted = [noted for _, noted in found]
        self.registered = [self._find_registered(node) for node in body]

    def writes(self, node: ast.stmt, name: str) -> bool:
        """Return whether a function, or a method of a class, changes what is outside of it."""
        functions = getattr(node, "body", ()) if isinstance(node, ast.ClassDef) else [node]
        found = (self._effects[one].names for one in functions if one in self._effects)
        return any(name == written for names in found for written, _ in names)

    def trains(self, node: ast.stmt) -> bool:
        """Return whether a statement trains, reads data or writes; see :class:`TrainingCode`."""
        return self._training.is_in(node)

    def works(self, node: ast.stmt) -> bool:
        """Return whether a statement does so, or evaluates, or may by an imported function."""
        calls = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
        packages = {self._imported.get(find_root(one), "torch") for one in calls}
        known = sys.stdlib_module_names | {"torch", "numpy"}
        is_work = self._training.is_in(node) or self._training.uses_work(node)
        return is_work or not packages <= known

    def _read_functions(self) -> None:
        """Find what the functions do, also those that call each other."""
        order, before = [*self._effects], -1
        while before != (size := sum(map(_measure, self._effects.values()))):
            before = size
            for function in order:
                self._read_function(function, self._effects[function])
            order.reverse()  # a chain of calls is followed in one direction

    def _read_function(self, function: Function, effects: _Effects) -> None:
        """Note what a function changes; those inside it count."""
        code = self._code[function]
        changed = self._find_changed(code.nodes, code.aliases, is_inside=True) | code.places
        effects.parameters |= {one for one in changed if one[0] in code.own}
        effects.names |= {one for one in changed if one[0] not in code.local}
        effects.names |= {(name, "") for name in code.declared & code.local}

    def _prepare(self, function: Function) -> _Code:
        nodes = [node for statement in function.body for node in ast.walk(statement)]
        parameters = set(list_parameters(function.args))
        aliases = find_aliases(nodes, self._functions.list_passed_on)
        places = (self._change(node, aliases) for node in _list_set(nodes))
        return _Code(
            nodes=[node for node in nodes if isinstance(node, ast.Call | ast.AugAssign)],
            aliases=aliases,
            places=set[_Change]().union(*places),
            declared={name for n in nodes if isinstance(n, ast.Global) for name in n.names},
            local=parameters | _list_bound(nodes),
            own=list_kept(parameters, aliases),
        )

    def _change(self, node: ast.expr, aliases: Aliases) -> set[_Change]:
        """Return what is changed with the object of a node, by each of its names."""
        root, key = find_place(node)
        if isinstance(node, ast.Attribute | ast.Subscript) and _is_set(node):
            node = node.value
        roots = find_roots(node, aliases, self._functions.list_passed_on)
        return {(one, key if one == root else "") for one in roots}

    def _has_settings(self, name: str) -> bool:
        return self._imported.get(name) in _WITH_SETTINGS

    def _read_statement(self, node: ast.stmt) -> tuple[set[_Change], set[_Change]]:
        """Return what a statement changes, and what of it matters only to who reads just that.

        What trains changes only what it names itself, but for attributes in a loop that trains,
        such as ``args.fold``.
        """
        if isinstance(node, _Definition):
            return set(), set()
        nodes = [*walk_outside_functions(node)]
        own = find_aliases(nodes, self._functions.list_passed_on)
        aliases, replaced = {**self._aliases}, _list_replaced(node)
        for name, roots in own.items():
            aliases[name] = roots if name in replaced else aliases.get(name, set()) | roots
        calls = any(isinstance(one, ast.Call) for one in nodes)
        trains = calls and self.trains(node)
        changed = self._find_mutated(nodes, but_weights=trains)
        if not (trains and isinstance(node, _Loop)):
            changed |= set().union(*(self._change(one, {}) for one in _list_set(nodes)))
        if not trains:
            changed |= self._find_changed(nodes, aliases)
            changed |= set().union(*(self._change(one, aliases) for one in _list_set(nodes)))
        self._aliases |= own  # names mean something else now
        if trains or (calls and self._training.uses_work(node)):  # notes a result in a setting
            changed = {one for one in changed if one[0] not in self._imported}
        known = {one for one in changed if one[1]}
        noted = {one for one in changed if one[1] in UNDONE or self._has_settings(one[0])}
        if self._trained.are_read(node, {name for name, _ in changed}):
            return set(), known
        if self._training.uses_data(node):
            noted |= known
        nets = find_roots(read_net_of_mode(node), aliases, self._functions.list_passed_on)
        modes = {(one, function) for one in nets for function in NEEDS_MODE}
        return changed - noted, noted & known | modes

    def _find_filled(self, node: ast.stmt) -> set[str]:
        """Return the nets with lazy layers that a statement runs, but for their training."""
        called = self._dry_runs.list_called(node)
        if not called or self._training.is_in(node) or self._training.uses_work(node):
            return set()
        found = (find_roots(one, self._aliases, self._functions.list_passed_on) for one in called)
        return set[str]().union(*found) & self._trained.bound - self._trained.names

    def _find_mutated(self, nodes: Iterable[ast.AST], *, but_weights: bool) -> set[_Change]:
        """Return what some nodes change by methods, without other names of it."""
        found = set[_Change]()
        for one in nodes:
            match one:
                case ast.Call(func=ast.Attribute(attr=name, value=of)) if self._changes(one):
                    found |= set() if but_weights and name in _OF_WEIGHTS else self._change(of, {})
        return found

    def _changes(self, call: ast.Call) -> bool:
        """Return whether a call changes the object of its method, as a hook that acts does."""
        return self._known.is_mutating(call) or self._functions.registers_hook(call)

    def _find_changed(
        self, nodes: Sequence[ast.AST], aliases: Aliases, *, is_inside: bool = False
    ) -> set[_Change]:
        """Return what some nodes change, but for what they set themselves."""
        found = set[_Change]()
        for node in nodes:
            if isinstance(node, ast.Call):
                found |= self._find_changed_by_call(node, aliases, is_inside=is_inside)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                # It may be a list; inside a function, more likely a number or an image.
                found |= self._change(node.target, {} if is_inside else aliases)
        return found

    def _find_changed_by_call(
        self, call: ast.Call, aliases: Aliases, *, is_inside: bool
    ) -> set[_Change]:
        name, found = last_name(call.func), set[_Change]()
        receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
        of = self._change(receiver, aliases) if receiver is not None else set[_Change]()
        roots = {root for root, _ in of}
        of_module = bool((roots or {name}) & self._imported.keys())
        in_place = name.endswith("_") and not name.startswith("_") and not of_module
        if is_inside and name != "requires_grad_":
            in_place = False  # restores weights
        only_weights = is_inside and name in _OF_WEIGHTS
        if (not only_weights and self._changes(call)) or in_place:
            found |= of
        elif name in SEED | DRAW:
            found |= {(root, "") for root in roots & self._generators}
        if of_module and name in SEED:
            found.add((RANDOM, ""))
        if sets_environment(call):
            found.add(("os", "environ"))
        listed = self._known.list_changed(call, is_of_package=of_module)
        for one in listed:
            places = self._change(one, aliases) | self._change(ast.Starred(one), aliases)
            undone = self._known.list_undone(call)
            found |= {(root, by) for root, _ in places for by in undone} if undone else places
        for function, given in self._functions.list_meant(call, aliases):
            effects = self._effects[function]
            if not self._training.works(function):
                found |= effects.names
                for parameter, value in given:
                    keys = {at for one, at in effects.parameters if one == parameter}
                    if keys:
                        got = value if value is receiver else ast.Starred(value)  # its elements
                        objects = find_roots(got, aliases, self._functions.list_passed_on)
                        found |= {(one, at) for one in objects for at in keys}
        return found

    def _find_registered(self, node: ast.stmt) -> set[str]:
        if not isinstance(node, _Definition):
            return set()
        found = set[str]()
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else ast.Call(decorator, [], [])
            for function, given in self._functions.list_meant(call):
                effects = self._effects[function]
                found |= {name for name, _ in effects.names}
                changed = {name for name, _ in effects.parameters}
                objects = (value for name, value in given if name in changed)
                found |= {root for one in objects for root in find_roots(one, {})}
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            above = self._functions.classes.get(last_name(base))
            for one in above.body if above else ():
                if isinstance(one, Function) and one.name == "__init_subclass__":
                    found |= {name for name, _ in self._effects[one].names} | {last_name(base)}
        return found


def _list_replaced(node: ast.stmt) -> set[str]:
    """Return the names that a statement sets before it reads them, as a loop its variable."""
    match node:
        case ast.For(target=target, iter=value) | ast.Assign(targets=[target], value=value):
            return set(names_bound(target)) - names_used_at_once(value)
    return set()


def _list_bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that are bound in a function, or in those inside it."""
    found = set[str]()
    for node in nodes:
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.stmt):
            found |= set(names_bound(node))
    return found


def _measure(effects: _Effects) -> int:
    return len(effects.parameters) + len(effects.names)


def _list_set(nodes: Iterable[ast.AST]) -> Iterator[ast.Attribute | ast.Subscript]:
    """Yield the attributes and items that some nodes set or delete."""
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Subscript) and _is_set(node):
            yield node


def _is_set(node: ast.Attribute | ast.Subscript) -> bool:
    return not isinstance(node.ctx, ast.Load)
