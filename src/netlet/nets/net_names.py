"""Which names of a file are nets: read from its text, without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from torch import nn

from netlet.nets.patched_classes import list_added
from netlet.nets.registry import recognize_parameter
from netlet.nets.script import is_main_guard, list_definitions, names_used_by_all
from netlet.nets.used_functions import FunctionNode

# Methods of a module that return it, like net.to(device), and functions that wrap one.
_RETURN_SELF = {
    "to",
    "cuda",
    "cpu",
    "eval",
    "train",
    "float",
    "double",
    "half",
    "bfloat16",
    "apply",
}
_WRAP = {"compile", "DataParallel", "script"}
BELOW_MAIN = 'is below if __name__ == "__main__", which is not run; move it above that line'
_MODULE = "Module"  # also LightningModule, ScriptModule


def list_nets(tree: ast.Module) -> list[str]:
    """Return the names that stand for a whole net, in their order.

    These are classes of modules that can be built without arguments, functions that return a module
    and modules that are built in the file, except those of which another net is made. If no class
    can be built without arguments, those that cannot are returned; if there are none either, then
    classes that are meant as nets, such as one without ``forward`` or a ``keras.Model``.

    Args:
        tree: The file's text.
    """
    public, modules = _find_nets(tree)
    if not public:
        # What is named then says why it cannot run: no forward(), or another framework's model.
        classes = {s.name: s for s in _statements(tree.body) if isinstance(s, ast.ClassDef)}
        named = [*modules] or [name for name, node in classes.items() if _is_meant_as_net(node)]
        public = {name: classes[name] for name in named if not name.startswith("_")}
    return _leave_out_parts(public, modules)


def list_inner_nets(tree: ast.Module, unusable: Collection[str]) -> list[str]:
    """Return what :func:`list_nets` would if the file had no nets that cannot be used.

    Args:
        tree: The file's text.
        unusable: The names of nets that cannot be used. Classes that cannot be built without
            arguments are none of the nets, either.
    """
    public, modules = _find_nets(tree)
    usable = {name: node for name, node in public.items() if name not in unusable}
    return _leave_out_parts(usable, {name: modules[name] for name in modules if name in usable})


def list_below_main(tree: ast.Module) -> list[str]:
    """Return the nets below ``if __name__ == "__main__":``, which only a script has.

    Args:
        tree: The file's text.
    """
    guards = [one for one in tree.body if isinstance(one, ast.If) and is_main_guard(one)]
    found = list_nets(ast.Module([one for guard in guards for one in guard.body], []))
    return [name for name in found if name not in list_definitions(tree)]


def _find_nets(tree: ast.Module) -> tuple[dict[str, ast.AST], dict[str, ast.ClassDef]]:
    """Return the public names that stand for a net or a part of one, and all classes of modules."""
    statements = list(_statements(tree.body))
    classes = {s.name: s for s in statements if isinstance(s, ast.ClassDef)}
    with_forward = list_added(tree.body).get("forward", set())  # by a decorator
    modules = _list_module_classes(classes, with_forward)
    built = [name for name in modules if not _required(_constructor(name, classes))]
    found: dict[str, ast.AST] = {name: classes[name] for name in built}
    kinds = {name for name in modules if name not in built}
    functions = [statement for statement in statements if isinstance(statement, FunctionNode)]
    kinds |= {one.name for one in functions if _required(one) and _returns_net(one, kinds)}
    for statement in statements:
        if isinstance(statement, FunctionNode) and _is_builder(statement, kinds):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign) and _makes_net(statement.value, kinds):
            found |= {t.id: statement for t in statement.targets if isinstance(t, ast.Name)}
    public = {name: node for name, node in found.items() if not name.startswith("_")}
    return public, {name: classes[name] for name in modules}


def find_imported_builder(tree: ast.Module) -> str | None:
    """Return the only function that returns what an imported function or class makes.

    That may be a net of another file or package, which the text does not show.

    Args:
        tree: A module of which :func:`list_nets` finds no net.

    Returns:
        The name; None if there are none or several. The function is public and has no required
        arguments.
    """
    statements = list(_statements(tree.body))
    imports = [s for s in statements if isinstance(s, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name.partition(".")[0] for s in imports for alias in s.names}
    inside = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _first_name(node) in imported
    }
    functions = [
        statement.name
        for statement in statements
        if isinstance(statement, ast.FunctionDef)
        and not statement.name.startswith("_")
        and _is_builder(statement, imported | inside)
    ]
    return functions[0] if len(functions) == 1 else None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, also those inside ``if`` and ``try``."""
    for statement in body:
        if is_main_guard(statement):
            continue
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _statements([*statement.body, *statement.orelse, *statement.finalbody])


def _list_module_classes(
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
    bases = [_last_name(base) for base in node.bases]
    own = [base for base in bases if base in classes and base not in seen | {name}]
    if any(_is_module(base, classes, seen | {name}) for base in own):
        return True
    if any(_is_torch_module(base) and not base.endswith(_MODULE) for base in bases):
        return True
    methods = [one.name for one in node.body if isinstance(one, FunctionNode)]
    return bool(bases) and "forward" in methods


def _is_meant_as_net(node: ast.ClassDef) -> bool:
    return any(_last_name(base).endswith((_MODULE, "Model", "Sequential")) for base in node.bases)


def _is_torch_module(name: str) -> bool:
    """Return whether a name is that of a class of modules, apart from losses."""
    kind = getattr(nn, name, None)
    known = isinstance(kind, type) and issubclass(kind, nn.Module)
    return (known or name.endswith(_MODULE)) and not name.endswith("Loss")


def _constructor(name: str, classes: dict[str, ast.ClassDef]) -> FunctionNode | None:
    """Return the ``__init__`` of a class; None if it is not in the file."""
    seen: set[str] = set()
    while name in classes and name not in seen:
        seen.add(name)
        for statement in classes[name].body:
            if isinstance(statement, FunctionNode) and statement.name == "__init__":
                return statement
        bases = [_last_name(base) for base in classes[name].bases]
        name = next((base for base in bases if base in classes), "")
    return None


def _required(function: FunctionNode | None) -> list[str]:
    """Return the required arguments of a function that netlet has no value for."""
    if function is None:
        return []
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [argument for argument, default in pairs if default is None]
    names = [argument.arg for argument in required]
    names = names[1:] if function.name == "__init__" else names
    return [name for name in names if recognize_parameter(name) is None]


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
        return [] if found.keywords else _required(_constructor(name, classes))
    return _required(found)


def _is_builder(function: FunctionNode, kinds: set[str]) -> bool:
    """Return whether a function without required arguments returns a new module."""
    return not _required(function) and _returns_net(function, kinds)


def _returns_net(function: FunctionNode, kinds: set[str]) -> bool:
    """Return whether a function returns a new module, as far as its text shows."""
    made = {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and _makes_net(node.value, kinds)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
    return any(
        _makes_net(value, kinds) or (isinstance(value, ast.Name) and value.id in made)
        for value in returned
    )


def _makes_net(value: ast.expr, kinds: set[str]) -> bool:
    """Return whether an expression builds a net.

    Args:
        value: The expression.
        kinds: Classes and functions of the file that need arguments to make one.
    """
    if not isinstance(value, ast.Call):
        return False
    name = _last_name(value.func)
    if isinstance(value.func, ast.Attribute) and name in _RETURN_SELF:
        return _makes_net(value.func.value, kinds)
    if name in _WRAP and value.args:
        return _makes_net(value.args[0], kinds)
    return name == "Sequential" or name in kinds


def _leave_out_parts(nets: dict[str, ast.AST], classes: dict[str, ast.ClassDef]) -> list[str]:
    """Return the nets that are not used in another one."""
    uses = {name: _uses(node) for name, node in {**classes, **nets}.items()}
    return [
        name
        for name in nets
        if not any(name in used for other, used in uses.items() if other != name)
    ]


def _uses(node: ast.AST) -> set[str]:
    """Return the names that a definition reads; a base class is not a part."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return names_used_by_all(node.body)
    return names_used_by_all([node])


def _last_name(node: ast.expr) -> str:
    """Return ``Conv2d`` for ``torch.nn.Conv2d``, and for ``Base[int]`` ``Base``."""
    if isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _first_name(node: ast.expr) -> str:
    """Return ``torchvision`` for ``torchvision.models.resnet18``."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
