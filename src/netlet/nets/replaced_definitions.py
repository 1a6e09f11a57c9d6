"""Find what runs in a kernel although its notebook defines it anew before the net uses it.

This happens when an earlier cell is run again: the kernel then has its definition, but loading the
notebook runs all cells in order.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType

import torch

from netlet.nets.built_nets import (
    Building,
    describe_constant,
    evaluate_constant,
    find_namespace,
)
from netlet.nets.cell_history import Definition, describe, find_ran, look_up
from netlet.nets.name_bindings import Binding, find_loaded, list_bindings
from netlet.nets.other_nets import find_definitions
from netlet.nets.registered import list_attributes
from netlet.nets.running_net import RunningNet, SavedNet
from netlet.nets.stored_values import (
    is_a,
    read_attribute,
    read_class_name,
    read_module,
    read_names,
)
from netlet.nets.used_functions import list_functions


@dataclass(frozen=True)
class Replaced:
    """A definition that runs and that loading a notebook does not use.

    Attributes:
        name: The name.
        ran: The cell of the definition that runs.
        loaded: The cell of the definition that loading uses.
    """

    name: str
    ran: str
    loaded: str


@dataclass(frozen=True)
class _Running:
    """What a name means for a net that runs.

    Attributes:
        name: The name.
        value: What it means.
        body: The statements that decide what it means after loading.
        is_known: Whether the net surely has this value. If it is not known when the net was built,
            a statement below the net's last use may have set the name since.
    """

    name: str
    value: object
    body: Sequence[ast.stmt]
    is_known: bool = True


def find_replaced(running: RunningNet, saved: SavedNet) -> Replaced | None:
    """Return what a net runs, or was built with, that its notebook replaces before the net uses it.

    Only what surely is the replaced definition counts: by the text of its cell, or by its value.

    Args:
        running: The net. The names of a file were bound in the order of the file.
        saved: What the notebook has for it.
    """
    home, source = running.home, saved.source
    if "__file__" in home:
        return None
    bindings = list_bindings(source.body)
    once = {name for name, ones in bindings.items() if len(ones) == 1}
    for one in _list_running(running, saved, bindings):
        own, name, value = bindings[one.name], one.name, one.value
        loaded = find_loaded(one.body, name, own)
        below = [] if one.is_known else [of for of in own if of.statement not in one.body]
        possible = [*loaded, *below]
        if not loaded or any(_is_from(value, of, name, home, once) is not False for of in possible):
            continue
        for other in own:
            if other not in loaded and _is_from(value, other, name, home, once):
                ran, last = (source.cell_of(of.statement) for of in (other, loaded[-1]))
                return Replaced(name, str(ran), str(last))
    return None


def _list_running(
    running: RunningNet, saved: SavedNet, bindings: Mapping[str, Sequence[Binding]]
) -> Iterator[_Running]:
    """Yield names with what they mean for a net, and the statements that decide what they mean."""
    names = {name: ones for name, ones in bindings.items() if len(ones) > 1}
    home, body = running.home, saved.selection.tree.body
    for one in _list_read(running, saved):
        if one.name in names:
            yield one
        elif (binding := next(iter(bindings.get(one.name, ())), None)) is not None:
            above = _cut(one.body, binding.statement)
            if isinstance(binding.node, ast.Name) and binding.node.id in names:  # an alias
                yield _Running(binding.node.id, one.value, above)
            functions = [one.value] if is_a(one.value, FunctionType) else []
            for function in _walk_held(functions, home):  # by its decorators
                if (top := _find_top(function)) in names:
                    yield _Running(top, function, above)
    for cls in running.classes:
        if find_namespace(cls) is home:
            members, owner = read_names(cls), f"{read_class_name(cls)}."
            for name in names:
                if name.startswith(owner) and (member := name.removeprefix(owner)) in members:
                    yield _Running(name, members[member], body)
    attributes = (value for part in running.parts for value in list_attributes(part).values())
    for function in _walk_held([*running.classes, *attributes], home):
        top = _find_top(function)
        for name, own in names.items():
            if name == top or (
                top == "<lambda>" and any(isinstance(one.node, ast.Lambda) for one in own)
            ):
                yield _Running(name, function, body)


def _list_read(running: RunningNet, saved: SavedNet) -> Iterator[_Running]:
    """Yield the names that a net reads as :func:`_list_running` does."""
    home, read, selection = running.home, running.read, saved.selection
    body: Sequence[ast.stmt] = selection.tree.body
    before, is_variable = body, not find_definitions(selection)
    if selection.chosen and is_variable:  # it is built there
        before = _cut(body, saved.source.body[selection.chosen.statement or 0])
    then = running.own_building or Building(None)
    for name in sorted(read.called & home.keys()):
        yield _Running(name, home[name], body)
    for name in sorted(read.built):
        if name in then.definitions:
            yield _Running(name, then.definitions[name], before)
        elif name in then.constants and not is_variable:  # as find_other_constant has it
            with contextlib.suppress(ValueError, SyntaxError):  # it is of a class of its own
                yield _Running(name, ast.literal_eval(then.constants[name]), before)
        elif not running.building and name in home and name not in read.called:
            yield _Running(name, home[name], body, is_known=False)


def _cut(body: Sequence[ast.stmt], statement: ast.stmt) -> Sequence[ast.stmt]:
    """Return the statements above another one."""
    return body[: body.index(statement)] if statement in body else body


def _walk_held(values: Sequence[object], home: Mapping[str, object]) -> Iterator[FunctionType]:
    """Yield the functions of cells that classes and functions hold themselves, not by names."""
    seen, todo = set[FunctionType](), [one for value in values for one in _list_own(value)]
    while todo:
        function = todo.pop()
        if function in seen or function.__globals__ is not home:
            continue
        seen.add(function)
        yield function
        inside: list[object] = [*(function.__defaults__ or ())]
        inside += (function.__kwdefaults__ or {}).values()
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # it is empty
                inside.append(cell.cell_contents)
        todo += [one for value in inside for one in _list_own(value)]


def _find_top(function: FunctionType) -> str:
    """Return the name of the function or class that a function is of, at the top of its cell."""
    return function.__code__.co_qualname.partition(".")[0]


def _list_own(value: object) -> Iterator[FunctionType]:
    kinds = FunctionType, partial, type
    return list_functions(value) if any(is_a(value, kind) for kind in kinds) else iter(())


def _is_from(
    value: object, binding: Binding, name: str, home: Mapping[str, object], once: set[str]
) -> bool | None:
    """Return whether a value surely is what a statement binds a name to; None if in doubt.

    Args:
        value: The value.
        binding: The statement.
        name: The name.
        home: The names in the kernel.
        once: Those of them that one statement binds, so that they mean the same as then.
    """
    node = binding.node
    if isinstance(node, Definition):
        return _is_defined_by(value, node, name, home)
    if isinstance(node, ast.Import | ast.ImportFrom) and binding.alias is not None:
        return _is_imported_by(value, node, binding.alias)
    if not isinstance(node, ast.expr):
        return None
    with contextlib.suppress(ValueError):
        constant = describe_constant(evaluate_constant(node))
        if constant[0] in "[{(":
            return None  # it may have been changed
        with contextlib.suppress(Exception):  # not a constant; its class is anybody's
            return describe_constant(value) == constant
        return False
    if isinstance(node, ast.Call):
        return _is_made_by(value, node, home, once)
    return _is_same(value, _find_known(node, home, once))


def _is_same(value: object, known: object) -> bool | None:
    """Return whether a value is a known one, or an equal constant; None if none is known."""
    with contextlib.suppress(Exception):  # not a constant; its class is anybody's
        return None if known is None else describe_constant(value) == describe_constant(known)
    return value is known


def _is_defined_by(
    value: object, node: ast.AST, name: str, home: Mapping[str, object]
) -> bool | None:
    if ran := find_ran(value, name):
        return any(describe(one) == describe(node) for one in ran)
    if getattr(node, "decorator_list", []):
        return None
    if is_a(value, FunctionType):
        return None if value.__globals__ is home else False
    if is_a(value, type):
        return None if find_namespace(value) is home else False
    return False


def _is_imported_by(
    value: object, node: ast.Import | ast.ImportFrom, alias: ast.alias
) -> bool | None:
    if isinstance(node, ast.Import):
        module = sys.modules.get(alias.name if alias.asname else alias.name.partition(".")[0])
        return None if module is None else module is value
    if node.level or not node.module:
        return None
    names = read_names(sys.modules.get(node.module))
    found = names.get(alias.name, sys.modules.get(f"{node.module}.{alias.name}"))
    return _is_same(value, found)


def _is_made_by(
    value: object, node: ast.Call, home: Mapping[str, object], once: set[str]
) -> bool | None:
    """Compare an object with a call with constants: a layer of PyTorch, or a ``partial``."""
    made, args = _find_known(node.func, home, once), node.args
    is_partial = made is partial and bool(args)
    if not is_a(made, type):
        return None
    if not is_partial and not read_module(made).startswith("torch.nn.modules."):
        return None
    if type(value) is not made:
        return False
    if is_partial:
        inner, args = _find_known(args[0], home, once), args[1:]
        if inner is None or is_a(inner, partial):  # Python takes a partial of a partial apart
            return None
        if read_attribute(value, "func") is not inner:
            return False
    if any(one.arg is None for one in node.keywords):  # **values
        return None
    with contextlib.suppress(Exception):  # no constants, or none that the layer takes
        given = [evaluate_constant(one) for one in args]
        named = {str(one.arg): evaluate_constant(one.value) for one in node.keywords}
        if type(value) is partial:
            own = {**value.keywords, "*": value.args}
            return _describe_constants(own) == _describe_constants({**named, "*": tuple(given)})
        with torch.device("meta"):  # without memory for weights, and without random numbers
            layer = made(*given, **named)
        own = {one: held for one, held in read_names(layer).items() if one[0] != "_"}
        del own["training"]
        running = _describe_constants(read_names(value))
        return _describe_constants(own).items() <= running.items()
    return None


def _describe_constants(values: Mapping[str, object]) -> dict[str, str]:
    """Return the texts of those values that are constants."""
    found = dict[str, str]()
    for name, value in values.items():
        with contextlib.suppress(Exception):  # not a constant; its class is anybody's
            found[name] = describe_constant(value)
    return found


def _find_known(node: ast.expr, home: Mapping[str, object], once: set[str]) -> object:
    """Return what ``name`` or ``module.name`` means; None if that is not sure."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return None
    if root.id not in once and not is_a(home.get(root.id), ModuleType):
        return None
    return look_up(node, home)
