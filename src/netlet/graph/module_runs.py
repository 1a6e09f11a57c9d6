"""The modules that a net runs, as a tree, with the operations that each of them calls."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netlet.display import Displayed
from netlet.graph.operations import Operation
from netlet.nets.registered import list_modules

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FunctionCall(Displayed):
    """A call of one of PyTorch's operations.

    Attributes:
        function: PyTorch's name, without overload and trailing underscore.
        operation: What it computes; None if it returns its input as it is.
        value: Number of the value in its first output; None if that does not depend on the images.
        inputs: The tensors with values that it read; all that it read if it is a constant.
        outputs: The tensors that it returned.
        input_shapes: The shapes of the inputs.
        output_shape: The shape of the first output.
        after_read: Whether the net had read a value of a tensor before.
        constant: Whether it read no value, so that what it computes does not depend on the images.
    """

    function: str
    operation: Operation | None
    value: int | None
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[torch.Tensor, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    after_read: bool
    constant: bool = False

    def _facts(self) -> Mapping[str, object]:
        return {
            "function": self.function,
            "value": self.value,
            "input_shapes": self.input_shapes,
            "output_shape": self.output_shape,
        }


@dataclass(eq=False)
class ModuleRun(Displayed):
    """One run of a module.

    Attributes:
        module: The module.
        path: As in ``named_modules()``.
        kind: Name of its class when it started; a lazy module becomes another one then.
        above: A weak reference to the run in which it ran; None for that of the net. A strong one
            would keep all tensors of the run until Python next looks for cycles.
        input: Shape of its first tensor, without ``N``; None if it got none.
        steps: What ran in it, in order.
        output: Shape of the first tensor that it returned; None if it returned none or raised an
            exception.
        value: Number of the value in that tensor; None if it does not depend on the images.
        after_read: Whether the net had read a value of a tensor before it ended.
    """

    module: nn.Module
    path: str
    kind: str
    above: weakref.ref[ModuleRun] | None
    input: Shape | None = None
    steps: list[ModuleRun | FunctionCall] = field(default_factory=list, repr=False)
    output: Shape | None = None
    value: int | None = None
    after_read: bool = False

    @property
    def parent(self) -> ModuleRun | None:
        """The run in which it ran; None for that of the net."""
        return self.above() if self.above else None

    @property
    def layer(self) -> str:
        """Name of its class if PyTorch defines it; else empty."""
        return self.kind if type(self.module).__module__.startswith("torch.nn.") else ""

    def _facts(self) -> Mapping[str, object]:
        return {"path": self.path, "kind": self.kind, "input": self.input, "output": self.output}

    def calls(self) -> Iterator[FunctionCall]:
        """Yield the calls of the run and of all runs in it, in order."""
        for step in self.steps:
            if isinstance(step, FunctionCall):
                yield step
            else:
                yield from step.calls()


class ModuleRuns:
    """The runs of a net's modules so far.

    Args:
        net: Before it runs.

    Attributes:
        root: The run of the net.
        last: The run that started last.
    """

    def __init__(self, net: nn.Module) -> None:
        self._paths = {module: path for path, module in list_modules(net)}
        self._net = net
        self._running: list[tuple[nn.Module, ModuleRun]] = []
        self.root = self.last = ModuleRun(net, "", _class_name(net), None)

    @property
    def current(self) -> ModuleRun:
        """The innermost run of a registered module."""
        return self._running[-1][1] if self._running else self.root

    def has(self, module: nn.Module) -> bool:
        """Return whether a module is the net or registered in it."""
        return module in self._paths

    def enter(self, module: nn.Module, args: Any) -> None:
        """Note that a module starts; one that is not registered counts to the one that runs it."""
        run = self.current
        if module in self._paths:
            if module is not self._net or self._running:
                kind = _class_name(module)
                run = ModuleRun(module, self._paths[module], kind, weakref.ref(run))
                self.current.steps.append(run)
            shapes = [tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)]
            run.input = shapes[0][1:] if shapes else None
            self.last = run
        self._running.append((module, run))

    def leave(self, module: nn.Module) -> ModuleRun | None:
        """Note that a module ends, and return its run, if it is registered."""
        if not self._running or self._running[-1][0] is not module:
            return None
        _, run = self._running.pop()
        return run if run.module is module else None


def _class_name(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))  # of a scripted one
