"""What the cells have defined that a kernel has run: Python keeps their text."""

from __future__ import annotations

import ast
import contextlib
import enum
import linecache
import os
from collections.abc import Iterator, Mapping

from netlet.nets.built_nets import describe_constant, evaluate_constant, find_namespace
from netlet.nets.notebook_files import NOTEBOOK
from netlet.nets.script import list_statements, list_values
from netlet.nets.stored_values import is_a, list_bases, read_attribute, read_class_name, read_names
from netlet.nets.used_functions import list_functions

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_MAGICS = {"run_cell_magic", "run_line_magic"}  # %%time, %time and others run code


def describe(code: ast.AST) -> str:
    """Return the text of code without comments, layout and docstrings."""
    copy = ast.parse(ast.unparse(code))
    for node in ast.walk(copy):
        if isinstance(node, _Named) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(copy)


def list_defined(tree: ast.Module) -> dict[str, list[Definition]]:
    """Return the classes and functions of a file by their names, with ``name = lambda: ...``.

    Those in the blocks of statements such as ``if`` and ``try`` count.
    """
    found: dict[str, list[Definition]] = {}
    for node in list_statements(tree):
        if isinstance(node, _Named):
            found.setdefault(node.name, []).append(node)
    for name, values in list_values(tree).items():
        found.setdefault(name, []).extend(one for one in values if isinstance(one, ast.Lambda))
    return {name: nodes for name, nodes in found.items() if nodes}


def find_ran(value: object, name: str) -> list[Definition]:
    """Return the definitions in cells that a class or function may be from.

    Of a class without functions of its own, nothing says in which cell it stands: then these are
    the definitions with its bases and constants.

    Args:
        value: The class or function; none are found if it is from a file.
        name: Its name in the cell.
    """
    functions = [*list_functions(value)]
    for function in functions:
        code = function.__code__
        if os.path.exists(code.co_filename):
            continue
        with contextlib.suppress(SyntaxError):
            tree = ast.parse("".join(linecache.getlines(code.co_filename)))
            for node in _list_all(tree, name):
                lines = range(_first_line(node), (node.end_lineno or 0) + 1)
                if code.co_firstlineno in lines:
                    return [node]
    if not is_a(value, type) or "__file__" in find_namespace(value):
        return []
    if any(one.__code__.co_qualname.startswith(f"{name}.") for one in functions):
        return []  # its cell is not known
    found = [one for tree in _list_cells(name) for one in _list_all(tree, name)]
    classes = [one for one in found if isinstance(one, ast.ClassDef)]
    return [one for one in classes if _is_like(value, one)]


def find_never_run(
    body: list[ast.stmt], names: set[str], namespace: Mapping[str, object]
) -> str | None:
    """Return a name of a notebook that no cell has set to what the notebook has for it.

    Args:
        body: The statements in its cells.
        names: The names that count.
        namespace: The names in the kernel.

    Returns:
        The name; None if there is none, or none is known to be set in a cell.
    """
    if "__file__" in namespace:
        return None
    for name, values in list_values(ast.Module(body, [])).items():
        if name not in names or any(map(_is_constant, values)):  # compared by their values
            continue
        ran = [one for cell in _list_cells(name) for one in list_values(cell).get(name, ())]
        texts = {describe(one) for one in ran}
        if texts and not any(describe(one) in texts for one in values):
            return name
    return None


def _is_constant(node: ast.expr) -> bool:
    with contextlib.suppress(ValueError):
        evaluate_constant(node)
        return True
    return False


def _list_all(tree: ast.Module, name: str) -> Iterator[Definition]:
    """Yield all definitions of a name in a cell, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, _Named) and node.name == name:
            yield node
    for value in list_values(tree).get(name, ()):
        if isinstance(value, ast.Lambda):
            yield value


def _list_cells(name: str) -> Iterator[ast.Module]:
    """Yield the cells that have run with a name in them."""
    for file, entry in linecache.cache.copy().items():
        # Files have a time, and what netlet has loaded from a notebook the name of that.
        if len(entry) < 3 or entry[1] is not None or NOTEBOOK in file:
            continue
        text = "".join(entry[2])
        if name in text and not os.path.exists(file):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                tree = ast.parse(text)
                yield tree
                yield from _list_magics(tree)


def _list_magics(tree: ast.Module) -> Iterator[ast.Module]:
    """Yield the code that magic commands of a cell run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _MAGICS and node.args:
            with contextlib.suppress(SyntaxError, ValueError):
                yield ast.parse(str(ast.literal_eval(node.args[-1])))


def _is_like(cls: type, node: ast.ClassDef) -> bool:
    """Return whether a class has the bases and the constants of a definition, as far as known."""
    above = {read_class_name(kind) for kind in list_bases(cls)}
    for base in node.bases:
        value = look_up(base, find_namespace(cls))
        if is_a(value, type) and read_class_name(value) not in above:
            return False
    own = dict(read_names(cls))
    fields = own.get("_field_defaults")  # of a NamedTuple
    own |= fields if is_a(fields, dict) else {}
    for name, values in list_values(ast.Module(node.body, [])).items():
        with contextlib.suppress(Exception):  # not a constant; its class is anybody's
            value = own[name]
            value = read_attribute(value, "_value_") if is_a(value, enum.Enum) else value
            if describe_constant(value) != describe_constant(evaluate_constant(values[-1])):
                return False
    return True


def look_up(node: ast.expr, namespace: Mapping[str, object]) -> object:
    """Return what ``name``, ``module.name`` or ``name[int]`` means; None if that is not known."""
    if isinstance(node, ast.Subscript):
        return look_up(node.value, namespace)
    if isinstance(node, ast.Attribute):
        return read_names(look_up(node.value, namespace)).get(node.attr)
    return namespace.get(node.id) if isinstance(node, ast.Name) else None


def _first_line(node: Definition) -> int:
    """Return the first line of a definition, with its decorators, as code objects count it."""
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(one.lineno for one in decorators)])
