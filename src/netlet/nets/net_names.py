"""Which names of a file are nets: read from its text, without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from netlet.nets.module_classes import (
    find_method,
    is_meant_as_net,
    is_of_torch,
    list_module_classes,
    list_required,
    takes_several_inputs,
)
from netlet.nets.net_calls import is_builder, makes_net, outer_statements, returns_net
from netlet.nets.patched_classes import list_added
from netlet.nets.script import names_used_by_all
from netlet.nets.used_functions import FunctionNode


def list_nets(tree: ast.Module) -> list[str]:
    """Return the names that stand for a whole net, in their order.

    These are classes of modules that can be built without arguments, functions that return a module
    and modules that are built in the file, except those of which another net is made. If no class
    can be built without arguments, those that cannot are returned; if there are none either, then
    classes that are meant as nets, such as one without ``forward`` or a ``keras.Model``. A class
    whose ``forward`` requires more than images, such as a loss, is returned only if there is no
    other.

    Args:
        tree: The file's text.
    """
    public, modules = _find_nets(tree)
    if not public:
        # What is named then says why it cannot run: no forward(), or another framework's model.
        classes = {s.name: s for s in outer_statements(tree.body) if isinstance(s, ast.ClassDef)}
        named = [*modules] or [name for name, node in classes.items() if is_meant_as_net(node)]
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


def list_without_forward(tree: ast.Module) -> list[str]:
    """Return the classes that lack ``forward``, perhaps by a slip, beside nets that have it.

    Left out are bases and parts of other classes, and what is built around a net.

    Args:
        tree: The file's text.
    """
    classes = {s.name: s for s in outer_statements(tree.body) if isinstance(s, ast.ClassDef)}
    public, modules = _find_nets(tree)
    used = {name: names_used_by_all([node]) - {name} for name, node in classes.items()}
    return [
        name
        for name, node in classes.items()
        if name not in modules
        and is_of_torch(node)
        and find_method(name, classes, "forward") is None
        and not (name.startswith("_") or name.endswith("Loss"))
        and not list_required(find_method(name, classes, "__init__"))
        and not used[name] & {*public, *modules}
        and not any(name in names for names in used.values())
    ]


def list_of_private(tree: ast.Module) -> list[str]:
    """Return the public functions and modules that are built of private classes or functions.

    Like nets, they have no required arguments, and none is used in another one.

    Args:
        tree: A module of which :func:`list_nets` finds no net.
    """
    private, classes = _find_names(tree)
    kinds = {name for name in private if not takes_several_inputs(name, classes)}
    made = _find_made(list(outer_statements(tree.body)), kinds)
    names = _leave_out_parts({**private, **made}, classes)
    return [name for name in names if name in made and not name.startswith("_")]


def _find_nets(tree: ast.Module) -> tuple[dict[str, ast.AST], dict[str, ast.ClassDef]]:
    """Return the public names that stand for a net or a part of one, and all classes of modules."""
    found, modules = _find_names(tree)
    return {name: node for name, node in found.items() if not name.startswith("_")}, modules


def _find_names(tree: ast.Module) -> tuple[dict[str, ast.AST], dict[str, ast.ClassDef]]:
    """Return the names that stand for a net or a part of one, and all classes of modules."""
    statements = list(outer_statements(tree.body))
    classes = {s.name: s for s in statements if isinstance(s, ast.ClassDef)}
    with_forward = list_added(tree.body).get("forward", set())  # by a decorator
    modules = list_module_classes(classes, with_forward)
    built = [name for name in modules if not list_required(find_method(name, classes, "__init__"))]
    found: dict[str, ast.AST] = {name: classes[name] for name in built}
    needing = [name for name in modules if name not in built]
    kinds = {name for name in needing if not takes_several_inputs(name, classes)}
    functions = [statement for statement in statements if isinstance(statement, FunctionNode)]
    kinds |= {one.name for one in functions if list_required(one) and returns_net(one, kinds)}
    found |= _find_made(statements, kinds)
    return found, {name: classes[name] for name in modules}


def _find_made(statements: Sequence[ast.stmt], kinds: set[str]) -> dict[str, ast.AST]:
    """Return the functions without required arguments, and the variables, that hold a new module.

    Args:
        statements: Those of the file.
        kinds: Classes and functions of the file that make one.
    """
    found: dict[str, ast.AST] = {}
    for statement in statements:
        if isinstance(statement, FunctionNode) and is_builder(statement, kinds):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign) and makes_net(statement.value, kinds):
            found |= {t.id: statement for t in statement.targets if isinstance(t, ast.Name)}
    return found


def find_imported_builder(tree: ast.Module) -> str | None:
    """Return the only function that returns what an imported function or class makes.

    That may be a net of another file or package, which the text does not show.

    Args:
        tree: A module of which :func:`list_nets` finds no net.

    Returns:
        The name; None if there are none or several. The function is public and has no required
        arguments.
    """
    statements = list(outer_statements(tree.body))
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
        and is_builder(statement, imported | inside)
    ]
    return functions[0] if len(functions) == 1 else None


def _leave_out_parts(nets: dict[str, ast.AST], classes: dict[str, ast.ClassDef]) -> list[str]:
    """Return the nets that are not used in another one, losses only if there are no others."""
    uses = {name: _uses(node) for name, node in {**classes, **nets}.items()}
    whole = [
        name
        for name in nets
        if not any(name in used for other, used in uses.items() if other != name)
    ]
    return [name for name in whole if not takes_several_inputs(name, classes)] or whole


def _uses(node: ast.AST) -> set[str]:
    """Return the names that a definition reads; a base class is not a part."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return names_used_by_all(node.body)
    return names_used_by_all([node])


def _first_name(node: ast.expr) -> str:
    """Return ``torchvision`` for ``torchvision.models.resnet18``."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
