"""Which names the statements of a script bind, read and modify."""

from __future__ import annotations

import ast
import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Methods that modify the object they are called on in a way that matters to a net. Others, such as
# a net's train(), do not.
MUTATING_METHODS = {"append", "appendleft", "extend", "extendleft", "insert", "remove", "pop"}
MUTATING_METHODS |= {"popleft", "popitem", "clear", "sort", "reverse", "rotate", "add", "discard"}
MUTATING_METHODS |= {"update", "subtract", "setdefault", "difference_update", "fill", "apply"}
MUTATING_METHODS |= {"intersection_update", "symmetric_difference_update", "load_state_dict"}
MUTATING_METHODS |= {"__setitem__", "__delitem__", "__iadd__", "__ior__"}
MUTATING_METHODS |= {"add_module", "register_module", "register_buffer", "register_parameter"}
MUTATING_METHODS |= {"set_submodule", "half", "double", "bfloat16"}
MUTATING_METHODS |= {"add_argument", "set_defaults", "read", "read_string", "read_dict", "set"}

# Functions that can bind a name which no statement shows.
_BINDING_CALLS = {"exec", "globals", "locals", "vars"}
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)


def binds_name(name: str, tree: ast.Module) -> bool:
    """Return whether a statement of a module may bind a name, wherever it stands."""
    nodes = list(ast.walk(tree))
    if any(isinstance(node, ast.Name) and node.id in _BINDING_CALLS for node in nodes):
        return True
    bound = {bound for statement in tree.body for bound in names_bound(statement)}
    declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    return bool({name, "*"} & (bound | declared))


def list_definitions(tree: ast.Module, *, private: bool = False) -> list[str]:
    """Return the names of a module's public classes and functions, in their order.

    Args:
        tree: The module.
        private: Return those that begin with an underscore instead.
    """
    kinds = (ast.ClassDef, ast.FunctionDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    return [name for name in names if name.startswith("_") == private]


def list_values(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Return what a file assigns to each name, in its order."""
    found: dict[str, list[ast.expr]] = {}
    for node in list_statements(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return found


def list_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a file, also those in the blocks of ``if``, ``try`` and others."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    todo: list[ast.AST] = [*reversed(tree.body)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, kinds) and not is_main_guard(node):
            inside = (ast.stmt, ast.ExceptHandler, ast.match_case)
            todo += [c for c in reversed([*ast.iter_child_nodes(node)]) if isinstance(c, inside)]


def names_bound(node: ast.AST) -> Iterator[str]:
    """Yield the module-level names that a statement binds, and ``*`` for a star import."""
    left = [node]  # not recursive, since an expression may be nested deeper than Python's stack
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from map(_bound_by, node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, _COMPREHENSIONS):  # binds what := binds
            inside = [one for one in walk_outside_functions(node) if isinstance(one, ast.NamedExpr)]
            yield from (one.target.id for one in inside)
        elif not isinstance(node, _FUNCTIONS):
            yield from _bound_by_pattern(node)
            left += reversed([*ast.iter_child_nodes(node)])


def _bound_by_pattern(node: ast.AST) -> Iterator[str]:
    """Yield the name that a pattern of ``match``, or an ``except``, binds."""
    if isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
        yield node.name
    if isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def names_used(node: ast.AST) -> set[str]:
    """Return the module-level names that a statement reads.

    Names read inside its functions and classes count, but not their local names.
    """
    names, left = set[str](), [node]
    while left:
        node = left.pop()
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                names.add(node.id)
        elif isinstance(node, _FUNCTIONS):
            names |= _names_used_by_header(node) | _names_used_by_body(node)
        elif isinstance(node, ast.ClassDef):
            methods = [child for child in node.body if isinstance(child, _FUNCTIONS)]
            names |= names_used_at_once(node).union(*map(_names_used_by_body, methods))
        elif isinstance(node, _COMPREHENSIONS):
            bound = {name for each in node.generators for name in names_bound(each.target)}
            names |= names_used_by_all(ast.iter_child_nodes(node)) - bound
        else:
            names |= _names_used_by_text(node)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
            left += ast.iter_child_nodes(node)
    return names


def _names_used_by_text(node: ast.AST) -> set[str]:
    """Return the names that ``eval("WIDTH + 1")`` or ``globals()["WIDTH"]`` reads."""
    match node:
        case ast.Call(func=ast.Name(id="eval"), args=[ast.Constant(value=str(text)), *_]):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                return names_used(ast.parse(text.strip(), mode="eval"))
        case ast.Subscript(
            value=ast.Call(func=ast.Name(id="globals")), slice=ast.Constant(value=str(name))
        ):
            return {name}
    return set()


def names_used_at_once(node: ast.AST) -> set[str]:
    """Return the module-level names that a statement reads when it runs.

    What a function or a method reads, it reads later, when it is called.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return _names_used_by_header(node)
    if not isinstance(node, ast.ClassDef):
        return names_used(node)
    # A class's own names are visible to its statements, but not inside its methods.
    header = [child for child in ast.iter_child_nodes(node) if child not in node.body]
    found, own = names_used_by_all(header), set[str]()
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            used = _names_used_by_header(child)
        else:
            used = names_used(child)
        bound = set(names_bound(child))
        # "width = width" reads the one outside.
        found |= used - own - (set() if isinstance(child, _ASSIGNMENTS) else bound)
        own |= bound
    return found


def follow_names(names: set[str], statements: Iterable[tuple[set[str], set[str]]]) -> set[str]:
    """Return names, with those that are read by the statements that bind them, and so on.

    Args:
        names: The names.
        statements: For each statement, the names that it binds, and those that it reads.
    """
    pairs, found = [*statements], set(names)
    while more := set[str]().union(*(reads for binds, reads in pairs if binds & found)) - found:
        found |= more
    return found


def names_used_later(node: ast.AST) -> set[str]:
    """Return the module-level names that a statement may read after it has run.

    They are those that its functions read when they are called, and its generators.
    """
    inside = [*ast.walk(node)]
    functions = (one for one in inside if isinstance(one, _FUNCTIONS))
    generators = (one for one in inside if isinstance(one, ast.GeneratorExp))
    return names_used_by_all(generators).union(*map(_names_used_by_body, functions))


def drop_unused_imports(body: Sequence[ast.stmt], name: str) -> list[ast.stmt | None]:
    """Take those names out of the imports of selected statements that nothing uses.

    ``import torch, torchvision`` needs no torchvision for a net that does not use it.

    Args:
        body: The statements that a net depends on; they are not changed.
        name: The name of the net.

    Returns:
        The same statements, and for imports other ones; None where no name is left.
    """
    used = names_used_by_all(body) | {name}
    if used & {*_BINDING_CALLS, "eval"}:
        return list(body)
    return [_with_used_names(node, used) for node in body]


def _with_used_names(node: ast.stmt, used: set[str]) -> ast.stmt | None:
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return node
    if isinstance(node, ast.ImportFrom) and is_always_kept(node):
        return node
    always = {"sys"} if isinstance(node, ast.Import) else set()
    names = [alias for alias in node.names if alias.name in always or _bound_by(alias) in used]
    if len(names) == len(node.names):
        return node
    made = copy.copy(node)  # the statements of a file are shared
    made.names = names
    return made if names else None


def _bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _names_used_by_header(
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
) -> set[str]:
    """Return the names that a function's decorators, defaults and annotations read."""
    body = function.body if isinstance(function.body, list) else [function.body]
    return names_used_by_all(child for child in ast.iter_child_nodes(function) if child not in body)


def _names_used_by_body(
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
) -> set[str]:
    """Return the names that a function's body reads, without its local names."""
    body = function.body if isinstance(function.body, list) else [function.body]
    arguments = {n.arg for n in ast.walk(function.args) if isinstance(n, ast.arg)}
    declared_global = {
        name for n in ast.walk(function) if isinstance(n, ast.Global) for name in n.names
    }
    local = arguments.union(*(names_bound(statement) for statement in body)) - declared_global
    # "COUNT += 1" reads COUNT, too.
    return names_used_by_all(body) - local | declared_global


def walk_outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a statement that run with it, and not when a function is called."""
    left = [node]
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _FUNCTIONS):
            inside = [c for c in ast.iter_child_nodes(node) if not isinstance(c, _FUNCTIONS)]
            left += reversed(inside)


def names_used_by_all(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the module-level names that any of the nodes reads."""
    return set().union(*map(names_used, nodes))


def find_root(node: ast.expr) -> str:
    """Return ``net`` for ``net``, ``net.block`` and ``net[0].weight``; nothing for others."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def last_name(node: ast.expr) -> str:
    """Return ``add`` for ``add`` and ``operator.add``; nothing for other expressions."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def list_parameters(arguments: ast.arguments) -> list[str]:
    """Return the names of a function's parameters, first those that can be passed by place."""
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one.arg for one in (*found, arguments.vararg, arguments.kwarg) if one]


def pair_arguments(
    call: ast.Call, arguments: ast.arguments, *, is_method: bool = False
) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters of a function with what a call passes for them.

    Args:
        call: The call.
        arguments: The parameters of the function.
        is_method: Whether Python passes ``self`` or ``cls``.
    """
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    names = names[1:] if is_method and names[:1] in (["self"], ["cls"]) else names
    known = {*names, *(one.arg for one in arguments.kwonlyargs)}
    rest = [one.arg for one in (arguments.vararg, arguments.kwarg) if one]
    yield from zip(names, call.args, strict=False)
    yield from ((one.arg, one.value) for one in call.keywords if one.arg in known)
    # Any parameter may get what else is passed, as by "*values" and "**values".
    others = call.args[len(names) :] + [one.value for one in call.keywords if one.arg not in known]
    others += [one for one in call.args if isinstance(one, ast.Starred)]
    yield from ((name, value) for name in (*known, *rest) for value in others)


def is_always_kept(node: ast.AST) -> bool:
    """Return whether a statement is run for every net: what it binds or changes is not shown."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" or any(alias.name == "*" for alias in node.names)
    if isinstance(node, ast.Import):
        return any(alias.name == "sys" for alias in node.names)
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("sys.path.")


def is_main_guard(node: ast.AST) -> bool:
    """Return whether a statement is ``if __name__ == "__main__"``, perhaps with ``and``.

    With an ``else`` it is none: that runs also where the file does not run as a script.
    """
    if not isinstance(node, ast.If) or node.orelse:
        return False
    tests = [node.test]
    if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
        tests = node.test.values
    return any(map(_compares_with_main, tests))


def _compares_with_main(test: ast.expr) -> bool:
    """Return whether an expression is ``__name__ == "__main__"``."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, *test.comparators]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and texts == ["__main__"]
