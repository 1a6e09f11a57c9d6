"""Which code of a script trains, evaluates or does other work, so that no net is loaded by it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netlet.nets.script import last_name, list_parameters, names_bound

_Function = ast.FunctionDef | ast.AsyncFunctionDef
# What code calls that trains or loads data.
_TRAIN = {"backward", "fit", "run_study", "step", "zero_grad"}
_TRAIN |= {"DataLoader", "MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "ImageFolder"}
_TRAIN |= {"urlretrieve", "load_dataset", "read_csv"}
# What code calls that writes files, draws or asks, and what functions call that evaluate a net.
_OUTPUT = {"save", "savefig", "imshow", "show", "plot", "makedirs", "mkdir", "write", "writelines"}
_OUTPUT |= {"dump", "rmtree", "unlink", "input", "getpass", "system", "to_csv", "export"}
_EVALUATE = {"no_grad", "inference_mode", "eval"}


class TrainingCode:
    """The functions of a script that train or do other work, also in those that they use.

    Args:
        functions: All functions of the script by their names.
        methods: The methods of its classes by their names.
        statements: All its statements, also those in blocks.
    """

    def __init__(
        self,
        functions: Mapping[str, _Function],
        methods: Mapping[str, Sequence[_Function]],
        statements: Sequence[ast.stmt],
    ) -> None:
        self._functions, self._methods = functions, methods
        assigned = [n for n in statements if isinstance(n, ast.Assign | ast.AnnAssign | ast.For)]
        bound = {one: set(names_bound(one)) for one in assigned}
        self._variables = set().union(*bound.values()) - functions.keys()
        everything = [*functions.values(), *(one for some in methods.values() for one in some)]
        uses = {one: set(self._list_used(_list_calls(one), one)) for one in everything}
        self._training = _spread(uses, (one for one in everything if _calls(one, self._known())))
        self._working = _spread(uses, (one for one in everything if self._works(one)))
        self._data = set[str]()
        for one, names in bound.items():
            head: list[ast.AST] = [one.iter] if isinstance(one, ast.For) else [one]
            if any(_calls(part, self._known()) or self._reads_data(part) for part in head):
                self._data |= names

    def is_in(self, statement: ast.stmt) -> bool:
        """Return whether a statement trains, reads data or writes, or uses functions that train."""
        used = self._list_used(_list_calls(statement), statement)
        return (
            _calls(statement, self._known() | _OUTPUT)
            or self._reads_data(statement)
            or any(one in self._training for one in used)
        )

    def _reads_data(self, node: ast.AST) -> bool:
        names = (one for one in ast.walk(node) if isinstance(one, ast.Name)) if self._data else ()
        return any(one.id in self._data and isinstance(one.ctx, ast.Load) for one in names)

    def uses_work(self, statement: ast.stmt) -> bool:
        """Return whether a statement uses functions that train, evaluate, write files or draw."""
        used = self._list_used(_list_calls(statement), statement)
        return any(one in self._working for one in used)

    def works(self, function: _Function) -> bool:
        """Return whether a function trains, evaluates, writes files or draws."""
        return function in self._working

    def _known(self) -> set[str]:
        return _TRAIN - self._functions.keys()

    def _works(self, function: _Function) -> bool:
        """Return whether a function does work by itself; it runs a net if it calls a variable."""
        nets = self._variables | set(list_parameters(function.args))
        called = {one.func.id for one in _list_calls(function) if isinstance(one.func, ast.Name)}
        return bool(called & nets) or _calls(function, self._known() | _OUTPUT | _EVALUATE)

    def _list_used(self, calls: Iterable[ast.Call], node: ast.stmt) -> Iterator[_Function]:
        """Yield the functions that a statement names, and the methods that it may call."""
        for one in ast.walk(node) if self._functions else ():
            if isinstance(one, ast.Name) and one.id in self._functions:
                yield self._functions[one.id]
        for call in calls:
            if isinstance(call.func, ast.Attribute):
                yield from self._methods.get(call.func.attr, ())


def _spread(uses: Mapping[_Function, set[_Function]], first: Iterable[_Function]) -> set[_Function]:
    """Return some functions, and those that use them."""
    found, users = set(first), dict[_Function, list[_Function]]()
    for user, used in uses.items():
        for one in used:
            users.setdefault(one, []).append(user)
    todo = [*found]
    while todo:
        more = set(users.get(todo.pop(), ())) - found
        found |= more
        todo += more
    return found


def _list_calls(node: ast.AST) -> list[ast.Call]:
    return [one for one in ast.walk(node) if isinstance(one, ast.Call)]


def _calls(node: ast.AST, names: set[str]) -> bool:
    """Return whether a node calls one of these functions or methods, or downloads."""
    calls = _list_calls(node)
    downloads = any(keyword.arg == "download" for one in calls for keyword in one.keywords)
    return downloads or any(last_name(one.func) in names for one in calls)
