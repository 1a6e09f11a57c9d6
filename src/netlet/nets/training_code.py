"""Which statements of a script train or load data, so that they are not run to load a net."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from netlet.nets.script import last_name

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_TRAIN = {"backward", "fit", "run_study", "step", "zero_grad"}  # what training code calls
_LOAD = {"DataLoader", "MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "ImageFolder", "urlretrieve"}


class TrainingCode:
    """The functions of a script that train or load data, also in those that they use.

    Args:
        functions: All functions of the script by their names.
        methods: The methods of its classes by their names.
    """

    def __init__(
        self, functions: Mapping[str, _Function], methods: Mapping[str, Sequence[_Function]]
    ) -> None:
        self._functions, self._methods = functions, methods
        self._known = (_TRAIN | _LOAD) - functions.keys()
        all_functions = [*functions.values(), *(one for some in methods.values() for one in some)]
        uses = {one: set(self._list_used(one)) for one in all_functions}
        self._training = {one for one in all_functions if self._calls_known(one)}
        while more := {one for one in uses if uses[one] & self._training} - self._training:
            self._training |= more

    def is_in(self, statement: ast.stmt) -> bool:
        """Return whether a statement trains or loads data, itself or in functions that it uses."""
        used = self._list_used(statement)
        return self._calls_known(statement) or any(one in self._training for one in used)

    def _calls_known(self, node: ast.stmt) -> bool:
        calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
        downloads = any(keyword.arg == "download" for one in calls for keyword in one.keywords)
        return downloads or any(last_name(one.func) in self._known for one in calls)

    def _list_used(self, node: ast.stmt) -> Iterator[_Function]:
        """Yield the functions that a statement names, and the methods that it may call."""
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and one.id in self._functions:
                yield self._functions[one.id]
            elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
                yield from self._methods.get(one.func.attr, ())
