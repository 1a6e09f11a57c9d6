"""What one run of a net showed, and what can watch the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netlet.display import Displayed
from netlet.graph.graph import Graph
from netlet.graph.module_runs import ModuleRun


@dataclass(frozen=True)
class Execution(Displayed):
    """One run of a net on a batch of images.

    Attributes:
        graph: What it computed.
        root: The run of the net, a tree of runs of its modules.
        returned: What the net returned.
        reader: The run that first read a value of a tensor, which may choose the path of the next
            image; None if none did.
        certain: Number of the graph's first nodes that ran before that.
        read: Addresses of all tensors that an operation read.
        read_at: The file and the line of the net's code by which ``reader`` did so; None if only
            layers of PyTorch did.
        warnings: Those that were raised, each with the run of the module that raised it.
    """

    graph: Graph
    root: ModuleRun
    returned: Any
    reader: ModuleRun | None
    certain: int
    read: frozenset[int | None]
    read_at: tuple[str, int] | None = None
    warnings: tuple[tuple[ModuleRun, str], ...] = ()


class Observer:
    """Watches a run; this one does nothing."""

    def dispatching(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], run: ModuleRun
    ) -> None:
        """Look at the arguments of an operation before it runs.

        Args:
            func: The operation, an ``OpOverload``.
            args: Its arguments.
            kwargs: Its keyword arguments.
            run: The run of the module that called it.
        """

    def dispatched(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, run: ModuleRun
    ) -> None:
        """Look at an operation that PyTorch has dispatched.

        Args:
            func: The operation, an ``OpOverload``.
            args: Its arguments.
            kwargs: Its keyword arguments.
            out: Its result.
            run: The run of the module that called it.
        """

    def called(self, name: str, args: tuple[Any, ...], out: Any, run: ModuleRun) -> None:
        """Look at a function or method of PyTorch that the net's Python code has called.

        Args:
            name: The name of the function.
            args: Its arguments.
            out: Its result.
            run: The run of the module that called it.
        """
