"""Which statements of a script run a net with lazy layers on made-up images.

Lazy layers, such as ``nn.LazyLinear``, get their weights with the first images, as in
``net(torch.zeros(1, 1, 28, 28))``. What a script does with the weights needs this run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from netlet.nets.script import last_name, list_statements, names_bound
from netlet.nets.script_functions import ScriptFunctions

_LAZY = {name for name in dir(nn) if name.startswith("Lazy")}
_PACKAGES = {"torch", "numpy"}
_READ = {"load", "loadtxt", "genfromtxt", "fromfile", "memmap", "hub"}  # of files


class DryRuns:
    """The runs of nets on values that functions of PyTorch and NumPy have made.

    Args:
        body: The statements of the script.
        imported: The names that it imports, with their packages.
        functions: Its functions and classes, which are no nets.
    """

    def __init__(
        self, body: Sequence[ast.stmt], imported: Mapping[str, str], functions: ScriptFunctions
    ) -> None:
        nodes = (one for statement in body for one in ast.walk(statement))
        self._is_lazy = any(_is_lazy(one) for one in nodes)
        self._packages = {name for name, package in imported.items() if package in _PACKAGES}
        self._others = {*imported, *functions.by_name, *functions.classes}
        self._made = set[str]()  # the names of such values so far

    def list_called(self, node: ast.stmt) -> list[ast.expr]:
        """Return the nets that a statement runs on made-up values; the next one must follow.

        There are none in a script without lazy layers.
        """
        found = list[ast.expr]()
        for one in list_statements(ast.Module([node], [])) if self._is_lazy else ():
            parts = (part for part in ast.iter_child_nodes(one) if isinstance(part, ast.expr))
            calls = (call for part in parts for call in ast.walk(part))
            found += [net for call in calls for net in self._list_net(call)]
            match one:
                case ast.Assign(targets=targets, value=value) if self._is_made(value):
                    self._made |= {name for target in targets for name in names_bound(target)}
                case ast.Assign(targets=targets):
                    self._made -= {name for target in targets for name in names_bound(target)}
                case ast.For(target=target) | ast.AugAssign(target=target):
                    self._made -= set(names_bound(target))
        return found

    def _list_net(self, node: ast.AST) -> Iterable[ast.expr]:
        """Return the net of ``net(x)`` or ``net.forward(x)``, where x is made up."""
        match node:
            case ast.Call(func=ast.Attribute(attr="forward", value=net), args=[_, *_]):
                pass
            case ast.Call(func=ast.Name() | ast.Subscript() as net, args=[_, *_]):
                pass
            case _:
                return []
        if last_name(net) in self._others:
            return []
        given = [*node.args, *(one.value for one in node.keywords)]
        return [net] if all(map(self._is_made, given)) else []

    def _is_made(self, value: ast.expr) -> bool:
        """Return whether a value comes from functions of PyTorch and NumPy, and constants."""
        nodes = [*ast.walk(value)]
        names = (one.id for one in nodes if isinstance(one, ast.Name))
        reads = any(isinstance(one, ast.Attribute) and one.attr in _READ for one in nodes)
        return not reads and all(one in self._made | self._packages for one in names)


def _is_lazy(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and last_name(node) in _LAZY
