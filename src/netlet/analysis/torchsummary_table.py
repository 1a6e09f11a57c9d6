"""The table of a net's layers that torchsummary 1.5.1 prints.

It has a row for each run of a module, in the order in which they end; the net itself and
``Sequential`` and ``ModuleList`` containers have none. What it counts:

* parameters: of a module only ``weight`` and ``bias``, at each run again; other names are left out;
* trainable: all of a row's parameters if its ``weight`` is;
* forward/backward size: twice the outputs of all rows; a MB has 2^20 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from netlet.analysis.hooked_run import Hooks, check_ways, hooks_for_a_run, random_images
from netlet.analysis.table_lines import Table, parameter_lines, size_lines
from netlet.nets.outputs import first_tensor
from netlet.text import escape_controls

_IMAGES = 2
_FLOAT_BYTES = 4
_THIN, _THICK = "-" * 64, "=" * 64
# How often torchsummary reads these attributes. Each time, a parametrization runs and has rows.
_READS = {"weight": 4, "bias": 3}


@dataclass
class _Row:
    """One run of a module; ``parameters`` is None if it has neither weight nor bias."""

    kind: str
    shape: list[Any] = field(default_factory=list)
    parameters: int | None = None
    trainable: bool = False


@dataclass
class _Rows:
    """The rows of a net, and why torchsummary raises an error instead of printing them."""

    net: nn.Module
    hooks: Hooks
    rows: list[_Row] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    ways: int = 0

    def watch(self, module: nn.Module) -> None:
        """Watch a module and all in it, once for every module that it is registered in."""
        self.ways += 1
        check_ways(self.ways)
        for child in module.children():
            self.watch(child)
        if module is not self.net and not isinstance(module, nn.Sequential | nn.ModuleList):
            self.hooks.add(module.register_forward_hook(self.add))

    def add(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Add the row of a module that has run."""
        row = _Row(escape_controls(type(module).__qualname__.rpartition(".")[2]))
        self.rows.append(row)
        name = f"{row.kind}-{len(self.rows)}"
        if not inputs or not isinstance(inputs[0], torch.Tensor) or not inputs[0].dim():
            self._refuse("input", f"the first argument of {name} is not a tensor with dimensions")
        shape = _shape_of(output)
        if shape is None:
            self._refuse(
                "output",
                f"the output of {name} is neither a tensor nor a list of tensors of one rank; "
                "the table shows its first tensor",
            )
            tensor = first_tensor(output)
            shape = [] if tensor is None else [-1, *tensor.shape[1:]]
        row.shape = shape
        for attribute, times in _READS.items():
            value = _read(module, attribute, times)
            if value is None:
                continue
            if not isinstance(value, torch.Tensor):
                self._refuse(attribute, f"the {attribute} of {name} is not a tensor")
                continue
            row.parameters = (row.parameters or 0) + value.numel()
            row.trainable |= attribute == "weight" and value.requires_grad

    def _refuse(self, kind: str, problem: str) -> None:
        """Note why torchsummary raises an error, once for every kind of reason."""
        self.problems.setdefault(kind, problem)


def torchsummary_table(net: nn.Module, shape: Sequence[int]) -> Table:
    """Return what ``torchsummary.summary(net, shape, device="cpu")`` prints.

    The net runs in the mode that it is in, as there.

    Args:
        net: Any module.
        shape: The shape of one image, ``C H W``.

    Raises:
        Exception: What the net raises, or PyTorch if its modules accept no hooks.
    """
    with hooks_for_a_run(net) as hooks, torch.enable_grad():
        found = _Rows(net, hooks)
        found.watch(net)
        net(random_images(net, _IMAGES, shape))
    rows = found.rows
    if all(row.parameters is None for row in rows):
        found.problems["parameters"] = "no layer in the net has a weight or a bias"
    counts = [row.parameters or 0 for row in rows]
    trained = sum(row.parameters or 0 for row in rows if row.trainable)
    outputs = abs(sum(_count_outputs(row.shape) for row in rows))
    sizes = (
        prod(shape) * _FLOAT_BYTES,
        2 * outputs * _FLOAT_BYTES,
        sum(counts) * _FLOAT_BYTES,
    )
    lines = [
        _THIN,
        _format_row("Layer (type)", "Output Shape", "Param #"),
        _THICK,
        *(
            _format_row(f"{row.kind}-{number}", str(row.shape), f"{count:,}")
            for number, (row, count) in enumerate(zip(rows, counts, strict=True), start=1)
        ),
        _THICK,
        *parameter_lines(sum(counts), trained),
        _THIN,
        *size_lines(*sizes, megabyte=2**20),
        _THIN,
    ]
    return Table(lines, list(found.problems.values()))


def _format_row(layer: str, shape: str, parameters: str) -> str:
    return f"{layer:>20}  {shape:>25} {parameters:>15}"


def _shape_of(output: Any) -> list[Any] | None:
    """Return the shape or shapes of an output, with -1 for ``N``; None if torchsummary fails."""
    if isinstance(output, torch.Tensor):
        return [-1, *output.shape[1:]] if output.dim() else None
    if not isinstance(output, list | tuple):
        return None
    if not all(isinstance(value, torch.Tensor) for value in output):
        return None
    shapes = [[-1, *value.shape[1:]] for value in output]
    return shapes if len({len(shape) for shape in shapes}) <= 1 else None


def _count_outputs(shape: list[Any]) -> int:
    """Return torchsummary's number of outputs: negative, and that of several is their product."""
    return int(np.prod(shape))


def _read(module: nn.Module, attribute: str, times: int) -> Any:
    """Return an attribute that has a size, after reading it some times; None if there is none."""
    if not hasattr(module, attribute) or not hasattr(getattr(module, attribute), "size"):
        return None
    return [getattr(module, attribute) for _ in range(times - 2)][-1]
