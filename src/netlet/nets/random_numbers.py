"""Which statements of a script draw random numbers, and what seeds them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from netlet.nets.script import find_root, last_name, names_bound, walk_outside_functions

# Generators of random numbers, what seeds them, and what draws from them.
_GENERATORS = {"default_rng", "RandomState", "Random", "Generator"}
SEED = {"seed", "manual_seed", "manual_seed_all", "seed_everything"}
DRAW = {"rand", "randn", "randint", "randperm", "random", "randrange", "choice", "choices"}
DRAW |= {"sample", "shuffle", "permutation", "uniform", "normal", "gauss", "integers"}
DRAW |= {"standard_normal", "bernoulli", "multinomial", "random_sample"}
RANDOM = "random numbers"  # stands for the generators of Python, NumPy and PyTorch, like a name


def list_imported(body: Iterable[ast.stmt]) -> dict[str, str]:
    """Return the names that a file imports, with their packages."""
    found: dict[str, str] = {}
    for statement in body:
        for node in walk_outside_functions(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    package = alias.name.partition(".")[0]
                    found[alias.asname or package] = package
            elif isinstance(node, ast.ImportFrom):
                package = (node.module or "").partition(".")[0]
                found |= {alias.asname or alias.name: package for alias in node.names}
    return found


def draws(node: ast.stmt, imported: Mapping[str, str]) -> bool:
    """Return whether a statement draws random numbers when it runs, as ``torch.randperm`` does."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    calls = (one.func for one in walk_outside_functions(node) if isinstance(one, ast.Call))
    return any(
        last_name(one) in DRAW and imported.get(find_root(one) or last_name(one)) for one in calls
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
