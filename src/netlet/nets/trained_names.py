"""Which names of a script hold results of a training, or nets that it has trained."""

from __future__ import annotations

import ast

from netlet.nets.script import names_bound, names_used_at_once
from netlet.nets.training_code import TrainingCode


class TrainedNames:
    """The names that hold results of a training, or nets it trained, read statement by statement.

    Attributes:
        bound: All names bound so far.
        names: Those bound before a training, and not again since: it may have trained their nets.

    Args:
        training: Which code trains.
    """

    def __init__(self, training: TrainingCode) -> None:
        self._training = training
        self._results = set[str]()
        self.bound, self.names = set[str](), set[str]()

    def are_read(self, node: ast.stmt, changed: set[str]) -> bool:
        """Return whether a statement reads what training or evaluating above it has bound.

        Args:
            node: The statement; what it binds is such a result, too, if it reads one.
            changed: What it changes, which it may read.
        """
        bound = set(names_bound(node))
        follows = bool((names_used_at_once(node) - bound - changed) & self._results)
        if follows or self._training.fits(node):
            self._results |= bound
        else:
            self._results -= bound
        return follows

    def note(self, node: ast.stmt) -> None:
        """Note what a statement binds and trains."""
        bound = set(names_bound(node))
        self.bound |= bound
        is_run = not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_run and self._training.optimizes(node):
            self.names |= self.bound
        else:
            self.names -= bound - names_used_at_once(node)
