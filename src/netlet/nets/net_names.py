"""Which names of a file are nets: read from its text, without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from types import MappingProxyType

from netlet.nets.imported_definitions import Imported
from netlet.nets.module_classes import (
    find_method,
    is_meant_as_net,
    is_of_torch,
    list_required,
    takes_several_inputs,
)
from netlet.nets.net_builds import Build, Builds
from netlet.nets.net_calls import is_builder, makes_net, outer_statements, returns_net
from netlet.nets.script import names_used_by_all
from netlet.nets.used_functions import FunctionNode


def list_nets(
    tree: ast.Module, imported: Mapping[str, Imported] = MappingProxyType({})
) -> list[str]:
    """Return the names that stand for a whole net, in their order.

    These are classes of modules that can be built without arguments, functions that return a module
    and modules that are built in the file, except those of which another net is made. Of a class
    that is built with other arguments than its defaults, what is built is a net; the class itself
    is one only if it is built with the defaults, too. If no class
    can be built without arguments, those that cannot are returned; if there are none either, then
    classes that are meant as nets, such as one without ``forward`` or a ``keras.Model``. A class
    whose ``forward`` requires more than images, such as a loss, is returned only if there is no
    other.

    Args:
        tree: The file's text.
        imported: What it imports from other files of the person.
    """
    found = _Found(tree, imported)
    public, modules = found.public, found.own
    if not public:
        # What is named then says why it cannot run: no forward(), or another framework's model.
        classes = {s.name: s for s in outer_statements(tree.body) if isinstance(s, ast.ClassDef)}
        named = [*modules] or [name for name, node in classes.items() if is_meant_as_net(node)]
        public = {name: classes[name] for name in named if not name.startswith("_")}
    return found.leave_out_parts(public, modules)


def list_inner_nets(
    tree: ast.Module,
    unusable: Collection[str],
    imported: Mapping[str, Imported] = MappingProxyType({}),
) -> list[str]:
    """Return what :func:`list_nets` would if the file had no nets that cannot be used.

    Args:
        tree: The file's text.
        unusable: The names of nets that cannot be used. Classes that cannot be built without
            arguments are none of the nets, either.
        imported: What the file imports from other files of the person.
    """
    found = _Found(tree, imported)
    usable = {name: node for name, node in found.public.items() if name not in unusable}
    return found.leave_out_parts(usable, {n: one for n, one in found.own.items() if n in usable})


def list_without_forward(tree: ast.Module) -> list[str]:
    """Return the classes that lack ``forward``, perhaps by a slip, beside nets that have it.

    Left out are bases and parts of other classes, and what is built around a net.

    Args:
        tree: The file's text.
    """
    classes = {s.name: s for s in outer_statements(tree.body) if isinstance(s, ast.ClassDef)}
    found = _Found(tree, {})
    public, modules = found.public, found.own
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


class _Found:
    """The names of a file that stand for a net or a part of one.

    Attributes:
        public: They, with their definitions.
        own: All classes of modules in the file.
        builds: What it builds.

    Args:
        tree: The file's text.
        imported: What it imports from other files of the person.
    """

    def __init__(self, tree: ast.Module, imported: Mapping[str, Imported]) -> None:
        statements = list(outer_statements(tree.body))
        self.builds = builds = Builds(tree, imported)
        classes, modules = builds.classes, builds.modules
        own = {one.name: one for one in statements if isinstance(one, ast.ClassDef)}
        self.own = {name: own[name] for name in modules if name in own}
        needing = {n for n in modules if list_required(find_method(n, classes, "__init__"))}
        kinds = {name for name in needing if not takes_several_inputs(name, classes)}
        functions = builds.functions
        kinds |= {
            n for n, one in functions.items() if list_required(one) and returns_net(one, kinds)
        }
        found: dict[str, ast.AST] = {n: node for n, node in self.own.items() if n not in needing}
        for statement in statements:
            if isinstance(statement, FunctionNode) and is_builder(statement, kinds):
                found[statement.name] = statement
            elif isinstance(statement, ast.Assign) and makes_net(statement.value, kinds):
                found |= {t.id: statement for t in statement.targets if isinstance(t, ast.Name)}
        self._kinds = {
            name: build.kind for name, (_, build) in builds.named.items() if build.arguments
        }
        found |= self._list_variants(needing)
        repeated = self._list_repeated(found)
        self.public = {
            name: node
            for name, node in found.items()
            if not (name.startswith("_") or name in repeated)
        }

    def _list_variants(self, needing: Collection[str]) -> dict[str, ast.AST]:
        """Return what is built of a class or function with other arguments than the defaults.

        Left out are parts of other classes.
        """
        classes = self.builds.classes
        uses = {n: names_used_by_all(classes[n].body) - {n} for n in self.builds.modules}
        others = set[str]().union(needing, *uses.values())
        named = self.builds.named.items()
        return {
            name: node for name, (node, one) in named if one.kind not in others and one.arguments
        }

    def _list_repeated(self, found: Collection[str]) -> set[str]:
        """Return the names of nets that are built with the same arguments as an earlier one."""
        first: dict[Build, str] = {}
        named = {name: build for name, (_, build) in self.builds.named.items() if name in found}
        for name, build in named.items():
            if build.arguments and not name.startswith("_"):
                first.setdefault(build, name)
        return {name for name, build in named.items() if name != first.get(build, name)}

    def leave_out_parts(
        self, nets: Mapping[str, ast.AST], classes: Mapping[str, ast.ClassDef]
    ) -> list[str]:
        """Return the nets that are not used in another one, losses only if there are no others."""
        uses = {name: _uses(node) for name, node in {**classes, **nets}.items()}
        for name in uses.keys() & self._kinds.keys():
            kind = {self._kinds[name]}
            uses[name] = uses[name] - kind if kind <= self.builds.by_default else uses[name] | kind
        whole = [
            name
            for name in nets
            if not any(name in used for other, used in uses.items() if other != name)
        ]
        return [one for one in whole if not takes_several_inputs(one, self.builds.classes)] or whole


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
