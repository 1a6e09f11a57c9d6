"""Which code of a script trains, evaluates or does other work, so that no net is loaded by it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from netlet.nets.known_changes import NEEDS_MODE
from netlet.nets.net_calls import outer_statements
from netlet.nets.script import last_name, list_parameters, names_bound, names_used
from netlet.nets.script_functions import Function, ScriptFunctions
from netlet.nets.used_functions import FunctionNode

# What code calls that trains, and what it calls that loads data.
_FIT = {"backward", "fit", "run_study", "step", "zero_grad"}
_LOAD = {"DataLoader", "MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "ImageFolder"}
_LOAD |= {"urlretrieve", "load_dataset", "read_csv"}
# What code calls that writes files, draws or asks, and what functions call that evaluate a net.
_OUTPUT = {"save", "savefig", "imshow", "show", "plot", "makedirs", "mkdir", "write", "writelines"}
_OUTPUT |= {"dump", "rmtree", "unlink", "input", "getpass", "system", "to_csv", "export"}
_IMPORTS = (ast.Import, ast.ImportFrom)
_EVALUATE = {"no_grad", "inference_mode", "eval"}
# What puts a module into a net, and takes a new one.
_PUT = {"setattr", "add_module", "register_module", "set_submodule"}


class TrainingCode:
    """The functions of a script that train or do other work, also in those that they use.

    Args:
        functions: The functions and methods of the script.
        statements: All its statements, also those in blocks.
    """

    def __init__(self, functions: ScriptFunctions, statements: Sequence[ast.stmt]) -> None:
        self._functions, self._methods = functions.by_name, functions.methods
        assigned = [n for n in statements if isinstance(n, ast.Assign | ast.AnnAssign | ast.For)]
        bound = {one: set(names_bound(one)) for one in assigned}
        makers = {name for one, names in bound.items() if _is_of_class(one) for name in names}
        self._variables = set().union(*bound.values()) - self._functions.keys() - makers
        everything = functions.list_all()
        uses = {one: set(self._list_used(_list_calls(one), one)) for one in everything}
        self._training = _spread(uses, (one for one in everything if _calls(one, self._known())))
        self._working = _spread(uses, (one for one in everything if self._works(one)))
        self._fits = _FIT - self._functions.keys()
        optimizing = (one for one in everything if _calls(one, self._fits))
        self._optimizing = _spread(uses, optimizing)
        fitting = (one for one in everything if _calls(one, self._fits | _EVALUATE))
        self._fitting = _spread(uses, fitting)
        self._data = set[str]()
        loading = _spread(uses, (one for one in everything if _calls(one, _LOAD))) - self._fitting
        for one, names in bound.items():
            head: ast.AST = one.iter if isinstance(one, ast.For) else one
            used = self._list_used(_list_calls(head), head)
            loads = _calls(head, self._known()) or any(each in loading for each in used)
            if loads or self._reads_data(head):
                self._data |= names

        reading = (one for one in everything if self._data and names_used(one) & self._data)
        self._reading = _spread(uses, reading)

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

    def uses_data(self, statement: ast.stmt) -> bool:
        """Return whether a statement uses functions that read data which the script has loaded."""
        used = self._list_used(_list_calls(statement), statement)
        return any(one in self._reading for one in used)

    def fits(self, statement: ast.stmt) -> bool:
        """Return whether a statement trains or evaluates a net, or uses functions that do."""
        return self._uses(statement, self._fits, self._fitting)

    def optimizes(self, statement: ast.stmt) -> bool:
        """Return whether a statement trains a net, or uses functions that do."""
        return self._uses(statement, self._fits, self._optimizing)

    def _uses(self, statement: ast.stmt, names: set[str], functions: set[Function]) -> bool:
        calls = _list_calls(statement)
        return any(last_name(one.func) in names for one in calls) or any(
            one in functions for one in self._list_used(calls, statement)
        )

    def trains(self, function: Function) -> bool:
        """Return whether a function trains or loads data, also by functions that it uses."""
        return function in self._training

    def works(self, function: Function) -> bool:
        """Return whether a function trains, evaluates, writes files or draws."""
        return function in self._working

    def _known(self) -> set[str]:
        return (_FIT | _LOAD) - self._functions.keys()

    def _works(self, function: Function) -> bool:
        """Return whether a function does work by itself; it runs a net if it calls a variable.

        If it passes nothing, or puts what is returned into a net, it makes a layer of a class.
        """
        nets = self._variables | set(list_parameters(function.args))
        calls = (one for one in _list_calls(function) if one.args or one.keywords)
        runs = {one for one in calls if isinstance(one.func, ast.Name) and one.func.id in nets}
        evaluates = _EVALUATE - ({"eval"} if _calls(function, NEEDS_MODE) else set())
        is_known = _calls(function, self._known() | _OUTPUT | evaluates)
        return is_known or bool(runs - _list_put(function))

    def _list_used(self, calls: Iterable[ast.Call], node: ast.AST) -> Iterator[Function]:
        """Yield the functions that a statement names, and the methods that it may call."""
        for one in ast.walk(node) if self._functions else ():
            if isinstance(one, ast.Name) and one.id in self._functions:
                yield self._functions[one.id]
        for call in calls:
            if isinstance(call.func, ast.Attribute):
                yield from self._methods.get(call.func.attr, ())


def may_train(body: Sequence[ast.stmt], net: str) -> bool:
    """Return whether code may train a net or load data while it is imported and builds a net.

    Functions count by their names, whatever they are methods of, so that none is overlooked: only
    those that are not read, or do no such thing, are left out.

    Args:
        body: The statements of files, of which those below a main guard are not run.
        net: The name of the class, function or variable.
    """
    run: list[ast.AST] = []
    named: list[tuple[str, ast.AST]] = []
    for node in outer_statements([*body]):
        if isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, FunctionNode):
                    named.append((node.name if one.name == "__init__" else one.name, one))
                else:
                    run.append(one)
            named += [(node.name, base) for base in node.bases]
        elif isinstance(node, FunctionNode):
            named.append((node.name, node))
        elif isinstance(node, ast.If):  # its statements follow
            run.append(node.test)
        elif isinstance(node, ast.Try):
            run += node.handlers
        else:
            run.append(node)
    modules = {name for node in run if isinstance(node, _IMPORTS) for name in names_bound(node)}
    known = (_FIT | _LOAD) - {name for name, _ in named}
    found = {name for name, node in named if _calls(node, known)}
    reads = [(name, {*_list_read(node, modules)}) for name, node in named]
    while more := {name for name, read in reads if read & found} - found:
        found |= more
    return net in found or any(
        _calls(node, known) or found & {*_list_read(node, modules)} for node in run
    )


def _list_read(node: ast.AST, modules: Collection[str]) -> Iterator[str]:
    """Yield the names and attributes in some code; ``train`` of a net is a method of PyTorch."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            owner = one.value.id if isinstance(one.value, ast.Name) else ""
            if one.attr not in ("train", "eval") or owner in modules:
                yield one.attr


def _is_of_class(node: ast.stmt) -> bool:
    """Return whether a name is given to a class or its partial, as in ``act = nn.ReLU``."""
    match getattr(node, "value", None):
        case ast.Name() | ast.Attribute() as value:
            return last_name(value)[:1].isupper()
        case ast.Call(func=called):
            return last_name(called) == "partial"
    return False


def _list_put(function: Function) -> set[ast.expr]:
    """Return what a function puts into a net, as in ``net.head = new(8, 10)``."""
    found = set[ast.expr]()
    for one in ast.walk(function):
        if isinstance(one, ast.Call) and last_name(one.func) in _PUT:
            found |= set(one.args)
        elif isinstance(one, ast.Assign) and any(map(_is_place_of_module, one.targets)):
            found.add(one.value)
    return found


def _is_place_of_module(target: ast.expr) -> bool:
    """Return whether this is ``net.name`` or ``net._modules[name]``."""
    if isinstance(target, ast.Subscript):
        return last_name(target.value) == "_modules"
    return isinstance(target, ast.Attribute)


def _spread(uses: Mapping[Function, set[Function]], first: Iterable[Function]) -> set[Function]:
    """Return some functions, and those that use them."""
    found, users = set(first), dict[Function, list[Function]]()
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
