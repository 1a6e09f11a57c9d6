"""The rows of the table that torchinfo 1.8.0 prints, as hooks on a net's modules see them.

Every run of a module is a row, in the order in which they start. Containers whose layers run, but
that never run themselves, come before their layers (:func:`add_containers`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from netlet.analysis.hooked_run import Hooks, check_ways
from netlet.nets.outputs import first_tensor
from netlet.text import escape_controls


@dataclass(eq=False)
class Row:
    """A run of a module, or a container; a container can be in several places of a table.

    Attributes:
        module: The module.
        depth: Its depth where it is registered, in the last place if it is in several.
        above: The row of the module that it is registered in; None for the net.
        kind: Name of its class.
        leaf: Whether no module is registered in it.
        repeated: Whether the module has a row above.
        lazy: Whether a parameter had no shape when the parameters were counted.
        parameters: Number of parameters of the module and of all in it.
        trainable: Number of those that are trained.
        parameter_bytes: Their size.
        shape: The shape of its output; empty if it has none.
        output_bytes: Size of its output.
        mult_adds: By torchinfo's rules, which count a bias, and a norm's scale, too.
        number: Position among the rows of its depth.
        inside: The rows below it that are deeper.
    """

    module: nn.Module
    depth: int
    above: Row | None
    kind: str = ""
    leaf: bool = True
    repeated: bool = False
    lazy: bool = False
    parameters: int = 0
    trainable: int = 0
    parameter_bytes: int = 0
    shape: list[int] = field(default_factory=list)
    output_bytes: int = 0
    mult_adds: int = 0
    number: int = 0
    inside: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = getattr(self.module, "original_name", None) if is_scripted(self.module) else None
        self.kind = escape_controls(str(name or type(self.module).__name__))
        # As torchinfo does it: a container without layers is false.
        self.leaf = not any(self.module.children())

    def count_parameters(self) -> None:
        """Count the parameters that have a shape."""
        self.parameters = self.trainable = self.parameter_bytes = 0
        for name, parameter in self.module.named_parameters():
            if is_lazy(parameter):
                self.lazy = True
                continue
            number, _ = _count_and_name(self.module, name, parameter)
            self.parameters += number
            self.trainable += number if parameter.requires_grad else 0
            self.parameter_bytes += number * parameter.element_size()

    def ancestors(self) -> Iterator[Row]:
        """Yield the rows of the modules around it, without the net, the innermost first."""
        row = self.above
        while row is not None and row.depth:
            yield row
            row = row.above


class RowRecorder:
    """Records the rows of a run.

    Attributes:
        rows: Those so far.
        problems: Why torchinfo raises an error on the net, one sentence for each kind of reason.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.problems: dict[str, str] = {}
        self._places: dict[int, Row] = {}
        self._latest: dict[int, Row] = {}
        self._started: set[int] = set()
        self._ways = 0

    def watch(self, net: nn.Module, hooks: Hooks) -> None:
        """Watch all modules of a net; scripted ones accept no hooks, so they are rows at once."""
        self._place(net, 0, None)
        for place in self._places.values():
            module = place.module
            if not is_scripted(module):
                hooks.add(module.register_forward_pre_hook(self._start))
                hooks.add(module.register_forward_hook(self._finish))

    def _place(self, module: nn.Module, depth: int, above: Row | None) -> None:
        self._ways += 1
        check_ways(self._ways)
        kernel = getattr(module, "kernel_size", 0)
        if not isinstance(kernel, Iterable | int):
            kind = type(module).__name__
            self._refuse("kernel", f"kernel_size of a {kind} is neither a number nor a list")
        self._places[id(module)] = self._latest[id(module)] = Row(module, depth, above)
        if is_scripted(module):
            self._start(module)
        row = self._latest[id(module)]
        for child in module._modules.values():
            if child is not None:
                self._place(child, depth + 1, row)

    def _start(self, module: nn.Module, inputs: Any = None) -> None:
        place = self._places[id(module)]
        row = Row(module, place.depth, place.above, repeated=id(module) in self._started)
        row.count_parameters()
        self.rows.append(row)
        self._started.add(id(module))
        self._latest[id(module)] = row

    def _finish(self, module: nn.Module, inputs: Any, output: Any) -> None:
        row = self._latest[id(module)]
        if row.lazy:
            row.count_parameters()
        row.shape, item_bytes = self._read(row, output)
        row.output_bytes = item_bytes * prod(row.shape)
        for name, parameter in module.named_parameters():
            if is_lazy(parameter):
                self._refuse("lazy", f"{name} has no shape, since its lazy layer never ran")
            else:
                self._add_mult_adds(row, *_count_and_name(module, name, parameter))

    def _read(self, row: Row, output: Any) -> tuple[list[int], int]:
        """Return the shape of an output and the bytes of one of its numbers."""
        if isinstance(output, list | tuple) and output:
            data = getattr(output[0], "data", None)  # of a tensor, or of packed sequences
            if isinstance(data, torch.Tensor):
                return list(data.shape), data.element_size()
        if output is None or isinstance(output, torch.Tensor | np.ndarray | list | tuple):
            return _read_nested(output)
        if isinstance(output, dict) and output:
            return _read_nested(list(output.values())[-1])
        self._refuse("output", f"{row.kind} returns a {type(output).__name__}")
        return _read_nested(first_tensor(output))

    def _add_mult_adds(self, row: Row, number: int, name: str) -> None:
        """Add those of a parameter, by its name: torchinfo does not look at what a layer does."""
        if name in ("weight", "bias"):
            if "Conv" in row.kind:
                row.mult_adds += number * prod(row.shape[:1] + row.shape[2:])
            elif row.shape:
                row.mult_adds += number * row.shape[0]
            else:
                self._refuse(
                    "no shape", f"{row.kind} has a {name}, but its output has no dimensions"
                )
        elif "weight" in name or "bias" in name:
            row.mult_adds += number * prod(row.shape[:2])

    def _refuse(self, kind: str, problem: str) -> None:
        self.problems.setdefault(kind, problem)


def add_containers(rows: list[Row]) -> list[Row]:
    """Return rows, with containers that never ran before the layers in them; number all.

    A container whose layers run by turns with others is the same row each time, so torchinfo shows
    all of them as repeated and with the last one's number.
    """
    known = {id(row.module) for row in rows}
    complete: list[Row] = []
    open_at: dict[int, Row] = {}  # the row of each depth that the next one is in
    for row in rows:
        containers = {container.depth: container for container in row.ancestors()}
        for depth in range(1, row.depth):
            container = containers[depth]
            if depth in open_at and open_at[depth].module is container.module:
                continue
            container.count_parameters()
            container.repeated |= id(container.module) in known
            known.add(id(container.module))
            open_at[depth] = container
            complete.append(container)
        open_at = {depth: inner for depth, inner in open_at.items() if depth < row.depth}
        open_at[row.depth] = row
        complete.append(row)
    _number(complete)
    return complete


def _number(rows: list[Row]) -> None:
    numbers: Counter[int] = Counter()
    for position, row in enumerate(rows):
        numbers[row.depth] += 1
        row.number = numbers[row.depth]
        end = position + 1
        while end < len(rows) and rows[end].depth > row.depth:
            end += 1
        row.inside = rows[position + 1 : end]


def is_scripted(module: nn.Module) -> bool:
    """Return whether a module is compiled by ``torch.jit.script`` or ``torch.jit.trace``."""
    return isinstance(module, torch.jit.ScriptModule)


def _count_and_name(module: nn.Module, name: str, parameter: torch.Tensor) -> tuple[int, str]:
    """Return the size of a parameter and its name; of a pruned one, what its mask leaves."""
    if name.endswith("_orig"):
        plain = name.removesuffix("_orig")
        found: Any = module
        for part in f"{plain}_mask".split("."):
            found = getattr(found, part, None)
        if isinstance(found, torch.Tensor):
            return int(found.sum()), plain
    return parameter.nelement(), name


def _read_nested(value: Any) -> tuple[list[int], int]:
    """Return the shape of the first tensor in nested lists, and the bytes of one of its numbers."""
    if hasattr(value, "tensors"):
        return _read_nested(value.tensors)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        return list(value.shape), value.element_size()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple) and value:
        return _read_nested(value[0])
    return [], 0
