"""Which statements of a script draw random numbers, and what seeds them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

from netlet.nets.script import (
    find_root,
    last_name,
    list_statements,
    names_bound,
    walk_outside_functions,
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef
# Generators of random numbers, what seeds them, and what draws from them.
_GENERATORS = {"default_rng", "RandomState", "Random", "Generator"}
SEED = {"seed", "manual_seed", "manual_seed_all", "seed_everything"}
DRAW = {"rand", "randn", "randint", "randperm", "random", "randrange", "choice", "choices"}
DRAW |= {"sample", "shuffle", "permutation", "uniform", "normal", "gauss", "integers"}
DRAW |= {"standard_normal", "bernoulli", "multinomial", "random_sample", "rand_like"}
DRAW |= {"randn_like", "randint_like", "poisson"}
DRAW |= {"xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"}
_DRAW_IN_PLACE = {"uniform_", "normal_", "bernoulli_", "random_", "exponential_", "trunc_normal_"}
_DRAW_IN_PLACE |= {"xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"}
_DRAW_IN_PLACE |= {"orthogonal_", "sparse_", "log_normal_", "cauchy_", "geometric_"}
RANDOM = "random numbers"  # stands for the generators of Python, NumPy and PyTorch, like a name


def list_imported(body: Iterable[ast.stmt]) -> dict[str, str]:
    """Return the names that a file imports, with their packages."""
    found: dict[str, str] = {}
    for node in list_statements(ast.Module([*body], [])):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.partition(".")[0]
                found[alias.asname or package] = package
        elif isinstance(node, ast.ImportFrom):
            package = (node.module or "").partition(".")[0]
            found |= {alias.asname or alias.name: package for alias in node.names}
    return found


def list_drawing(body: Sequence[ast.stmt]) -> list[bool]:
    """Return which statements draw random numbers when they run, as ``torch.randperm`` does.

    Functions, methods and classes of the file that draw some count where they are called.
    """
    imported = list_imported(body)
    definitions = [one for one in list_statements(ast.Module([*body], [])) if _is_definition(one)]
    methods = [one for each in definitions for one in getattr(each, "body", ())]
    definitions += [one for one in methods if isinstance(one, _Function)]
    drawing, before = set[str](), -1
    while before != len(drawing):
        before = len(drawing)
        drawing |= {one.name for one in definitions if _draws(ast.walk(one), imported, drawing)}
    return [_draws(_walk_at_once(node), imported, drawing) for node in body]


def _is_definition(node: ast.stmt) -> TypeGuard[_Definition]:
    return isinstance(node, _Definition)


def _walk_at_once(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield what runs with a statement; of a definition, default arguments and the class's own."""
    if isinstance(node, _Function):
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            yield from ast.walk(default)
    elif isinstance(node, ast.ClassDef):
        for one in node.body:
            yield from _walk_at_once(one)
    else:
        yield from walk_outside_functions(node)


def _draws(nodes: Iterable[ast.AST], imported: Mapping[str, str], drawing: set[str]) -> bool:
    calls = (one.func for one in nodes if isinstance(one, ast.Call))
    return any(
        last_name(one) in drawing | _DRAW_IN_PLACE
        or (last_name(one) in DRAW and (find_root(one) or last_name(one)) in imported)
        for one in calls
    )


def list_generators(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names of generators of random numbers, such as ``rng = default_rng(0)``."""
    found = set[str]()
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            made = (one.func for one in ast.walk(statement.value) if isinstance(one, ast.Call))
            if any(last_name(one) in _GENERATORS for one in made):
                found |= set(names_bound(statement))
    return found
