"""Which classes of a file are modules of PyTorch: read from its text, without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from torch import nn

from netlet.nets.registry import recognize_parameter
from netlet.nets.script import last_name
from netlet.nets.used_functions import FunctionNode

_MODULE = "Module"  # also LightningModule, ScriptModule
_DATA = "DataModule"  # Lightning's loads data


def list_module_classes(
    classes: dict[str, ast.ClassDef], with_forward: Collection[str]
) -> list[str]:
    """Return the classes that are modules with a ``forward``, as far as the text shows."""
    return [
        name
        for name, node in classes.items()
        if not name.endswith("Loss")
        and (_is_module(name, classes, frozenset()) or (name in with_forward and node.bases))
    ]


def _is_module(name: str, classes: dict[str, ast.ClassDef], seen: frozenset[str]) -> bool:
    node = classes[name]
    bases = [class_name(base) for base in node.bases]
    own = [base for base in bases if base in classes and base not in seen | {name}]
    if any(_is_module(base, classes, seen | {name}) for base in own):
        return True
    if any(_is_torch_module(base) and not base.endswith(_MODULE) for base in bases):
        return True
    methods = [one.name for one in node.body if isinstance(one, FunctionNode)]
    return bool(bases) and "forward" in methods


def is_meant_as_net(node: ast.ClassDef) -> bool:
    """Return whether a class is meant as a net, also one without ``forward`` or of Keras."""
    bases = map(class_name, node.bases)
    return is_of_torch(node) or any(base.endswith(("Model", "Sequential")) for base in bases)


def is_of_torch(node: ast.ClassDef) -> bool:
    """Return whether a class names a module of PyTorch or Lightning as its base."""
    bases = map(class_name, node.bases)
    return any(base.endswith(_MODULE) and not base.endswith(_DATA) for base in bases)


def _is_torch_module(name: str) -> bool:
    """Return whether a name is that of a class of modules, apart from losses."""
    kind = getattr(nn, name, None)
    known = isinstance(kind, type) and issubclass(kind, nn.Module)
    return (known or name.endswith(_MODULE)) and not name.endswith("Loss")


def find_method(name: str, classes: Mapping[str, ast.ClassDef], method: str) -> FunctionNode | None:
    """Return a method of a class or of its bases; None if it is not in the file."""
    seen: set[str] = set()
    while name in classes and name not in seen:
        seen.add(name)
        for statement in classes[name].body:
            if isinstance(statement, FunctionNode) and statement.name == method:
                return statement
        bases = [class_name(base) for base in classes[name].bases]
        name = next((base for base in bases if base in classes), "")
    return None


def takes_several_inputs(name: str, classes: Mapping[str, ast.ClassDef]) -> bool:
    """Return whether ``forward`` requires more than images, as that of a loss does."""
    forward = find_method(name, classes, "forward")
    return forward is not None and len(_list_without_default(forward)) > 2  # self, images


def takes_net(name: str, classes: Mapping[str, ast.ClassDef]) -> bool:
    """Return whether a class is built around a net that it is given, as an average of weights is.

    It keeps a required argument and calls it.
    """
    function = find_method(name, classes, "__init__")
    given = set(list_required(function))
    kept = {
        target.attr
        for node in (ast.walk(function) if function else ())
        if isinstance(node, ast.Assign) and _find_kept(node.value) in given
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }
    calls = (node for node in ast.walk(classes[name]) if isinstance(node, ast.Call))
    return any(isinstance(one.func, ast.Attribute) and one.func.attr in kept for one in calls)


def _find_kept(value: ast.expr) -> str:
    """Return ``net`` for ``net``, ``net.eval()`` and ``deepcopy(net)``."""
    if isinstance(value, ast.Call):
        if isinstance(value.func, ast.Attribute) and last_name(value.func) != "deepcopy":
            return _find_kept(value.func.value)
        return _find_kept(value.args[0]) if len(value.args) == 1 else ""
    return value.id if isinstance(value, ast.Name) else ""


def list_required(function: FunctionNode | None) -> list[str]:
    """Return the required arguments of a function that netlet has no value for."""
    if function is None:
        return []
    names = _list_without_default(function)
    names = names[1:] if function.name == "__init__" else names
    return [name for name in names if recognize_parameter(name) is None]


def _list_without_default(function: FunctionNode) -> list[str]:
    """Return the arguments of a function that have no default, ``self`` included."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [argument for argument, default in pairs if default is None]
    return [argument.arg for argument in required]


def find_required_arguments(tree: ast.Module, name: str) -> list[str]:
    """Return the required arguments of a class or function that netlet has no value for.

    Args:
        tree: The statements of a net.
        name: The name of the net.

    Returns:
        Their names; none if the text does not show them, as of what a decorator returns.
    """
    definitions = {s.name: s for s in tree.body if isinstance(s, ast.ClassDef | FunctionNode)}
    found = definitions.get(name)
    is_set = any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in ast.walk(tree)
    )
    if found is None or is_set or found.decorator_list:
        return []
    if isinstance(found, ast.ClassDef):
        classes = {n: one for n, one in definitions.items() if isinstance(one, ast.ClassDef)}
        return [] if found.keywords else list_required(find_method(name, classes, "__init__"))
    return list_required(found)


def class_name(node: ast.expr) -> str:
    """Return ``Conv2d`` for ``torch.nn.Conv2d``, and for ``Base[int]`` ``Base``."""
    return last_name(node.value if isinstance(node, ast.Subscript) else node)
