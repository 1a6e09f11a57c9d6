"""Which hooks that a script registers change what a net computes.

Most hooks only look: they keep an activation or print a shape. A hook counts if it returns
something, which takes the place of the output or the gradient, or writes into what it gets.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence

from netlet.nets.script import MUTATING_METHODS, find_root, last_name, list_parameters

Function = ast.FunctionDef | ast.AsyncFunctionDef
# Methods of modules and tensors; their first argument is the hook.
_HOOKS = {"register_forward_hook", "register_forward_pre_hook", "register_hook"}
_HOOKS |= {"register_full_backward_hook", "register_full_backward_pre_hook"}
_HOOKS |= {"register_backward_hook", "register_post_accumulate_grad_hook"}
_HOOKS |= {"register_state_dict_pre_hook", "register_state_dict_post_hook"}
_HOOKS |= {"register_load_state_dict_pre_hook", "register_load_state_dict_post_hook"}
# What a hook calls that only looks: its value is None.
_LOOK = {"print", "setattr"} | MUTATING_METHODS - {"pop", "popitem", "popleft", "setdefault"}
_OF_TORCH = {"torch", "nn", "F", "functional"}  # whose functions compute something
_TENSORS = {"data", "grad", "weight", "bias"}


def registers_hook(
    call: ast.Call, functions: Mapping[str, Function], methods: Mapping[str, Sequence[Function]]
) -> bool:
    """Return whether a call registers a hook that may change what a net computes.

    Args:
        call: Any call.
        functions: The functions of the script by name.
        methods: The methods of its classes by name.
    """
    if last_name(call.func) not in _HOOKS or not isinstance(call.func, ast.Attribute):
        return False
    hook = next((one.value for one in call.keywords if one.arg == "hook"), None)
    hook = call.args[0] if hook is None and call.args else hook
    return hook is not None and _may_act(hook, functions, methods)


def _may_act(
    hook: ast.expr, functions: Mapping[str, Function], methods: Mapping[str, Sequence[Function]]
) -> bool:
    """Return whether a hook changes something; one whose text is not known only looks."""
    match hook:
        case ast.Lambda(args=parameters, body=body):
            return _computes(body, set(list_parameters(parameters)), functions)
        case ast.Name(id=name) if name in functions:
            return _acts(functions[name])
        case ast.Attribute(attr=name) if name in methods:
            return any(map(_acts, methods[name]))
        case ast.Call(func=called, args=[function, *_]) if last_name(called) == "partial":
            return _may_act(function, functions, methods)
        case ast.Call(func=called):  # as of "def keep(name)", which returns a hook
            name = last_name(called)
            makers = [functions[name]] if name in functions else methods.get(name, ())
            made = [one for maker in makers for one in _list_returned(maker)]
            return any(_may_act(one, _list_inner(makers), {}) for one in made)
    return False


def _computes(
    value: ast.expr, parameters: Collection[str], functions: Mapping[str, Function]
) -> bool:
    """Return whether what a lambda returns is computed from what it gets.

    ``lambda m, i, o: logger.info(o.shape)`` only looks.
    """
    if not isinstance(value, ast.Call):
        return not _only_looks(value)
    name, root = last_name(value.func), find_root(value.func)
    if isinstance(value.func, ast.Name) and name in functions:
        return _acts(functions[name])
    return root in {*parameters, *_OF_TORCH} and not _only_looks(value)


def _only_looks(value: ast.expr) -> bool:
    """Return whether what a hook returns is None, as far as its text shows."""
    if isinstance(value, ast.Call):
        return last_name(value.func) in _LOOK
    return isinstance(value, ast.Constant) and value.value is None


def _acts(function: Function) -> bool:
    """Return whether a function returns something, or writes into what it gets."""
    parameters = set(list_parameters(function.args))
    for node in _walk_inside(function):
        match node:
            case ast.Return(value=ast.expr() as value):
                if not _only_looks(value):
                    return True
            case ast.Call(func=ast.Attribute(attr=name, value=written)) if name.endswith("_"):
                if find_root(written) in parameters:
                    return True
            case ast.AugAssign(target=ast.Name(id=name)) if name in parameters:
                return True
            case ast.Subscript(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
                if find_root(node) in parameters and _is_in_tensor(node):
                    return True
    return False


def _is_in_tensor(node: ast.expr) -> bool:
    """Return whether this is a part of a tensor, not a note at a module like ``module.seen``."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr not in _TENSORS:
            return False
        node = node.value
    return True


def _list_returned(function: Function) -> list[ast.expr]:
    nodes = _walk_inside(function)
    return [one.value for one in nodes if isinstance(one, ast.Return) and one.value is not None]


def _list_inner(functions: Sequence[Function]) -> dict[str, Function]:
    """Return the functions that some functions define."""
    inner = (one for each in functions for one in ast.walk(each) if one is not each)
    return {one.name: one for one in inner if isinstance(one, Function)}


def _walk_inside(function: Function) -> Iterator[ast.AST]:
    """Yield the parts of a function, but not of those inside it."""
    left: list[ast.AST] = [*function.body]
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            left += ast.iter_child_nodes(node)
