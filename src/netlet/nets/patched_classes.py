"""Find what changes a class outside of its body: decorators, ``setattr``, functions of the file.

``@add_to_class(Net)`` of Dive into Deep Learning puts a function on a class that stands above it,
and so does ``@patch`` of fastai, by the annotation of ``self``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef
_SET = {"setattr", "delattr"}
_TRAIN = {"backward", "fit", "run_study", "step", "zero_grad"}  # what training code calls
# Of functools.singledispatch and others, of pytest, and of click.
_DO_NOT_SET = {"register", "parametrize", "option", "argument"}


def list_patched(body: Sequence[ast.stmt]) -> list[set[str]]:
    """Return for each statement of a file the names whose classes or objects it changes so.

    Statements that train do not count: they are never run to load a net.

    Args:
        body: All statements, since it depends on the functions of the file what a call changes.
    """
    functions = {node.name: node for node in body if isinstance(node, _Function)}
    classes = {node.name for node in body if isinstance(node, ast.ClassDef)}
    return [_find_patched(node, functions, classes) for node in body]


def list_added(body: Sequence[ast.stmt]) -> dict[str, set[str]]:
    """Return the functions that decorators put on classes, by name, with the names of these."""
    found: dict[str, set[str]] = {}
    for node, patched in zip(body, list_patched(body), strict=True):
        if isinstance(node, _Definition) and patched:
            found.setdefault(node.name, set()).update(patched)
    return found


def _find_patched(
    node: ast.stmt, functions: Mapping[str, _Function], classes: set[str]
) -> set[str]:
    """Return the names that a statement changes; by other code than its own, only classes.

    A function that gets a net or a configuration is more likely to train or to evaluate.
    """
    found = set[str]()
    if isinstance(node, _Definition):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                found |= _find_in_decorator(decorator, functions)
            if isinstance(node, _Function):
                found |= _find_annotated(decorator, node)
        return found & classes
    for call in _walk_now(node):
        if isinstance(call, ast.Call) and _name(call.func) in _SET and call.args:
            found.add(_root(call.args[0]))
    called = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    while isinstance(called, ast.Call):  # also add_to_class(Net)(forward)
        if function := functions.get(_name(called.func)):
            found |= _find_passed(called, function, _find_set(function)) & classes
        called = called.func
    found.discard("")
    return set() if found and trains(node, functions) else found


def _find_in_decorator(call: ast.Call, functions: Mapping[str, _Function]) -> set[str]:
    """Return the names in the arguments of a decorator that may set attributes of them."""
    function = functions.get(_name(call.func))
    if function is not None:
        return _find_passed(call, function, _find_set(function, passed_on=True))
    if _last_name(call.func) in _DO_NOT_SET:
        return set()
    return {_root(one) for one in (*call.args, *(each.value for each in call.keywords))} - {""}


def _find_annotated(decorator: ast.expr, function: _Function) -> set[str]:
    """Return the names in the annotation of ``self``, as fastai's ``@patch`` reads them."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    if not arguments or arguments[0].annotation is None:
        return set()
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if arguments[0].arg not in ("self", "cls") and not _last_name(called).startswith("patch"):
        return set()
    return {one.id for one in ast.walk(arguments[0].annotation) if isinstance(one, ast.Name)}


def _find_passed(call: ast.Call, function: _Function, parameters: set[str]) -> set[str]:
    """Return the names that a call passes for some parameters of a function."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    pairs = [*zip(names, call.args, strict=False)]
    pairs += [(one.arg, one.value) for one in call.keywords if one.arg]
    return {_root(value) for name, value in pairs if name in parameters} - {""}


def _find_set(function: _Function, *, passed_on: bool = False) -> set[str]:
    """Return the parameters of a function whose attributes it sets.

    Those that it calls are none: it builds nets of them.

    Args:
        function: The function; functions inside it count.
        passed_on: Whether parameters that it passes on to other functions count.
    """
    parameters = {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}
    found, called = set[str](), set[str]()
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(_name(node.value))
        elif isinstance(node, ast.Call):
            called.add(_name(node.func))
            if _name(node.func) in _SET or passed_on:
                found |= set(map(_name, node.args if passed_on else node.args[:1]))
    return found & parameters - called


def trains(statement: ast.stmt, functions: Mapping[str, _Function]) -> bool:
    """Return whether a statement calls what trains, itself or in functions that it uses."""
    todo, seen = list[ast.AST]([statement]), set[str]()
    while todo:
        for node in ast.walk(todo.pop()):
            if isinstance(node, ast.Call) and _last_name(node.func) in _TRAIN - functions.keys():
                return True
            if isinstance(node, ast.Name) and node.id in functions.keys() - seen:
                seen.add(node.id)
                todo.append(functions[node.id])
    return False


def _walk_now(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a statement that run with it, and not in a function that it defines."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _Definition | ast.Lambda):
            todo += ast.iter_child_nodes(node)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else _name(node)


def _root(node: ast.expr) -> str:
    """Return ``Net`` for ``Net`` and ``Net.block``; nothing for other expressions."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return _name(node)
