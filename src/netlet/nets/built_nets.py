"""Remember what built each net, and from which values, whatever happens to them later."""

from __future__ import annotations

import ast
import contextlib
import copy
import operator
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from torch import nn

from netlet.nets.imported_code import ImportedCode, list_imported
from netlet.nets.stored_values import (
    is_a,
    list_held,
    list_wrapped,
    read_attribute,
    read_class_name,
    read_module,
    read_names,
)

_OWN_PACKAGE = __name__.partition(".")[0]
_SCALARS: Sequence[Any] = bool, int, float, complex, str, bytes, type(None)
_DEFINITIONS: Sequence[Any] = FunctionType, BuiltinFunctionType, type, ModuleType, partial
_BRACKETS: Mapping[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    dict: ("{", "}"),
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_LARGEST = 2**64  # of the numbers that arithmetic is done with
_MOST_ITEMS, _MOST_CHARACTERS, _DEEPEST = 1_000, 10_000, 8  # of a constant
_MOST_VALUES = _MOST_CHARACTERS // 3 + 1  # each takes a character and a separator of two


@dataclass(frozen=True)
class Building:
    """How a net came about.

    Attributes:
        builder: The class or function; None if that is not known.
        definitions: The functions and classes in its module when it was called, with modules and
            layers without weights.
        constants: The constants there, as :func:`describe_constant` writes them.
        imported: The code of the imported functions that it could run.
        path: The file that netlet has loaded the net from, absolute; empty if Python has.
        name: The name of the net in that file, like ``Net`` or ``Net[2]``.
        loaded: The statements of the file that the net needed then.
    """

    builder: Callable[..., Any] | None
    definitions: Mapping[str, object] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    imported: ImportedCode = field(default_factory=dict)
    path: str = ""
    name: str = ""
    loaded: ast.Module | None = None


_buildings: dict[int, tuple[weakref.ref[nn.Module], Building]] = {}  # by the ids of nets


def remember_building(net: nn.Module, building: Building) -> None:
    """Note how a net came about, unless that is known."""
    key = id(net)
    if find_building(net) is None:
        _buildings[key] = weakref.ref(net, lambda _: _buildings.pop(key, None)), building


def find_building(net: nn.Module) -> Building | None:
    """Return how a net came about; None if netlet has not built it."""
    found = _buildings.get(id(net))
    return found[1] if found is not None and found[0]() is net else None


def prepare_building(builder: object) -> Building:
    """Return how a net will come about that a builder is about to build."""
    found = unwrap_builder(builder)
    if found is None or read_module(found).partition(".")[0] == _OWN_PACKAGE:
        return Building(found)
    definitions, constants = dict[str, object](), dict[str, str]()
    for name, value in dict(find_namespace(found)).items():  # which another thread may change
        if _is_definition(value):
            definitions[name] = value
        else:
            with contextlib.suppress(Exception):  # not a constant; its class is anybody's
                constants[name] = describe_constant(value)
    return Building(found, definitions, constants, list_imported(found))


def _is_definition(value: object) -> bool:
    """Return whether a value is kept until the net is recorded: it has no weights or images."""
    if is_a(value, nn.Module):
        names = read_names(value)
        is_plain = not any(names.get(one) for one in ("_parameters", "_buffers", "_modules"))
        return is_plain and read_module(type(value)).startswith("torch.nn.modules.")
    return any(is_a(value, kind) for kind in _DEFINITIONS)


def unwrap_builder(builder: Any) -> Callable[..., Any] | None:
    """Return the class or function in a builder: without arguments, object and decorators.

    None if it is something else, which might keep the nets that it has built.
    """
    while is_a(builder, partial):
        builder = read_attribute(builder, "func")
    function = read_attribute(builder, "__func__")  # of a method
    found: Any = list_wrapped(builder if function is None else function)[-1]
    return found if is_a(found, type) or is_a(found, FunctionType) else None


def find_namespace(builder: object) -> Mapping[str, object]:
    """Return the names in the module of a class or function."""
    if is_a(builder, FunctionType):
        return builder.__globals__
    return read_names(sys.modules.get(read_module(builder)))


def describe_constant(value: object) -> str:
    """Return the text of a constant, in which 1, 1.0 and True differ and sets have an order.

    Args:
        value: A number, a text, None, or a list, tuple, set or dict of constants.

    Raises:
        ValueError: It is something else, or large.
    """
    return _describe(value, 0, iter(range(_MOST_VALUES)))


def _describe(value: object, depth: int, left: Iterator[int]) -> str:
    """Return the text of a constant that is inside others, while some values are left."""
    if next(left, None) is None:
        raise ValueError("a large constant")
    exact = type(value)
    if scalar := next((kind for kind in _SCALARS if is_a(value, kind)), None):
        if scalar in (str, bytes) and scalar.__len__(value) > _MOST_CHARACTERS:
            raise ValueError("a long text")
        text = scalar.__repr__(value)
        return text if exact is scalar else f"{read_class_name(exact)}({text})"
    kind = next((kind for kind in _BRACKETS if is_a(value, kind)), None)
    if kind is None or depth > _DEEPEST or kind.__len__(value) > _MOST_ITEMS:
        raise ValueError("not a constant, or a large one")
    if is_a(value, dict):
        pairs = dict.copy(value)
        keys = [_describe(one, depth + 1, left) for one in pairs]
        values = [_describe(one, depth + 1, left) for one in pairs.values()]
        items = [f"{key}: {one}" for key, one in zip(keys, values, strict=True)]
    else:
        items = [_describe(one, depth + 1, left) for one in list_held(value, _MOST_ITEMS)]
    if kind in (set, frozenset):
        items.sort()
    left_bracket, right_bracket = _BRACKETS[kind]
    end = "," if kind is tuple and len(items) == 1 else ""
    text = f"{left_bracket}{', '.join(items)}{end}{right_bracket}"
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("a large constant")
    return text if exact in (list, tuple, set, dict) else f"{read_class_name(exact)}({text})"


def evaluate_constant(node: ast.expr) -> object:
    """Return the value of a constant as code writes it, like ``[1 / 10, 2 * 8]``.

    Raises:
        ValueError: It is something else, or large.
    """
    try:
        return ast.literal_eval(_Calculator().visit(copy.deepcopy(node)))
    except (TypeError, RecursionError, MemoryError, ArithmeticError) as error:
        raise ValueError("not a constant, or a large one") from error


class _Calculator(ast.NodeTransformer):
    """Replace the arithmetic of numbers by its result."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Calculate an expression from the results of its sides."""
        self.generic_visit(node)
        left, right = ast.literal_eval(node.left), ast.literal_eval(node.right)
        numbers = [one for one in (left, right) if isinstance(one, int | float | complex)]
        if len(numbers) < 2 or max(map(abs, numbers)) > _LARGEST:
            raise ValueError("no arithmetic of numbers, or of large ones")
        if isinstance(node.op, ast.Pow) and abs(right) > 64:
            raise ValueError("a large power")
        calculate = _ARITHMETIC.get(type(node.op))
        if calculate is None:
            raise ValueError("no arithmetic of numbers")
        return ast.Constant(calculate(left, right))
