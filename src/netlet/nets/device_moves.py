"""Leave out moves to a device that this machine does not have: netlet chooses the device itself.

Notebooks from machines with a GPU say ``model = Net().to("cuda")``; what the net computes does not
depend on it.
"""

from __future__ import annotations

import ast
import copy
import re

import torch

_DEVICE = re.compile(r"(?P<kind>cuda|mps)(?::\d+)?")


def leave_out_missing_devices(statement: ast.stmt) -> ast.stmt:
    """Replace devices that are missing by the CPU in a statement that a net depends on.

    ``.cuda()`` is left out; ``"cuda"`` becomes ``"cpu"`` in ``torch.device(...)``, in ``.to(...)``,
    as ``device=...`` and where it alone is the value of a name or of a parameter. Other text stays.

    Args:
        statement: It is not changed.

    Returns:
        It, or another one if it names such a device.
    """
    missing = set()
    if not torch.cuda.is_available():
        missing.add("cuda")
    if not torch.backends.mps.is_available():
        missing.add("mps")
    if not any(_names_device(node, missing) for node in ast.walk(statement)):
        return statement
    changed = _ToCpu(missing).visit(copy.deepcopy(statement))
    assert isinstance(changed, ast.stmt)
    return changed


def _names_device(node: ast.AST, kinds: set[str]) -> bool:
    """Return whether a node is ``.cuda`` or a text like ``"cuda:0"``."""
    if isinstance(node, ast.Attribute):
        return node.attr in kinds
    text = node.value if isinstance(node, ast.Constant) else None
    match = _DEVICE.fullmatch(text) if isinstance(text, str) else None
    return match is not None and match["kind"] in kinds


class _ToCpu(ast.NodeTransformer):
    def __init__(self, missing: set[str]) -> None:
        self._missing = missing

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        if name == "cuda" and "cuda" in self._missing and isinstance(function, ast.Attribute):
            return function.value
        if name in ("to", "device"):
            node.args = [self._replace(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg == "device":
                keyword.value = self._replace(keyword.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        self.generic_visit(node)
        node.value = self._replace(node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        self.generic_visit(node)
        node.value = node.value and self._replace(node.value)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        self.generic_visit(node)
        node.defaults = [self._replace(value) for value in node.defaults]
        node.kw_defaults = [value and self._replace(value) for value in node.kw_defaults]
        return node

    def _replace(self, value: ast.expr) -> ast.expr:
        if not isinstance(value, ast.Constant) or not _names_device(value, self._missing):
            return value
        return ast.copy_location(ast.Constant("cpu"), value)
