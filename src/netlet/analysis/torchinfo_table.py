"""The table of a net's layers that torchinfo 1.8.0 prints, with its default columns and depth.

What it counts differs from what netlet counts (:mod:`netlet.analysis.torchinfo_rows` has the rows):

* parameters: a container's own, and those of layers in it that never ran, are in its row;
  parameters that two layers share count twice;
* mult-adds: each parameter of a layer once for the images, of a convolution once for each pixel
  of its output, and of a recurrent layer once for each step;
* forward/backward size: twice the outputs of layers with parameters; a MB has 10^6 bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import ceil

import torch
from torch import nn

from netlet.analysis.hooked_run import hooks_for_a_run, random_images
from netlet.analysis.table_lines import Table, parameter_lines, size_lines
from netlet.analysis.torchinfo_rows import Row, RowRecorder, add_containers
from netlet.nets.eval_mode import eval_mode

_DEEPEST = 3
_NAME_WIDTH, _COLUMN_WIDTH, _STEP = 40, 25, 5
_UNITS = (("T", 10**12), ("G", 10**9), ("M", 10**6))


def torchinfo_table(net: nn.Module, shape: Sequence[int]) -> Table:
    """Return what ``torchinfo.summary(net, (1, *shape))`` prints.

    The net runs in evaluation mode, as there.

    Args:
        net: Any module.
        shape: The shape of one image, ``C H W``.

    Raises:
        Exception: What the net raises on one image.
    """
    recorder = RowRecorder()
    with eval_mode(net), hooks_for_a_run(net) as hooks, torch.no_grad():
        images = random_images(net, 1, shape)
        recorder.watch(net, hooks)
        net(images)
        rows = add_containers(recorder.rows)
    if not hasattr(net, "training"):
        recorder.problems["mode"] = "a frozen scripted net has no training mode"
    # torchinfo counts the object around the numbers, too.
    image_bytes = sys.getsizeof(images.untyped_storage())
    return Table(_write(rows, image_bytes), list(recorder.problems.values()))


def _write(rows: list[Row], image_bytes: int) -> list[str]:
    longest = max(len(_name(row)) + row.depth * _STEP + 1 for row in rows)
    width = _NAME_WIDTH if longest < _NAME_WIDTH else ceil(longest / _STEP) * _STEP
    thick = "=" * (width + 2 * _COLUMN_WIDTH)
    remaining, trained = _Remainder(lambda row: row.parameters), _Remainder(lambda r: r.trainable)
    once = [row for row in rows if not row.repeated]
    parameters = sum(max(remaining.of(row), 0) for row in once)
    trainable = sum(max(trained.of(row), 0) for row in once)
    outputs = sum(row.output_bytes for row in rows if row.leaf and row.parameters)
    weights = sum(row.parameter_bytes for row in once if row.leaf)
    return [
        thick,
        _format_row("Layer (type:depth-idx)", "Output Shape", "Param #", width),
        thick,
        *(
            _format_row(
                _branch(row.depth) + _name(row),
                str(row.shape) if row.shape else "--",
                _parameter_cell(row, remaining),
                width,
            )
            for row in rows
            if row.depth <= _DEEPEST
        ),
        thick,
        *parameter_lines(parameters, trainable),
        f"Total mult-adds {_format_mult_adds(sum(row.mult_adds for row in rows if row.leaf))}",
        thick,
        *size_lines(image_bytes, 2 * outputs, weights, megabyte=10**6),
        thick,
    ]


class _Remainder:
    """What a container has beyond the layers in it.

    Args:
        count: What is counted in a row.
    """

    def __init__(self, count: Callable[[Row], int]) -> None:
        self._count = count
        self._known: dict[Row, int] = {}

    def of(self, row: Row) -> int:
        """Return all of a layer, or what the rows in a container do not have; may be negative."""
        if row not in self._known:
            inside = [] if row.leaf else [inner for inner in row.inside if not inner.repeated]
            self._known[row] = self._count(row) - sum(map(self.of, inside))
        return self._known[row]


def _name(row: Row) -> str:
    return f"{row.kind}: {row.depth}-{row.number}" if row.depth else row.kind


def _branch(depth: int) -> str:
    return "│    " * (depth - 1) + ("├─" if depth == 1 else "└─") if depth else ""


def _parameter_cell(row: Row, remaining: _Remainder) -> str:
    if not row.parameters:
        return "--"
    if row.repeated:
        return "(recursive)"
    if row.leaf or row.depth == _DEEPEST:
        return f"{row.parameters:,}" if row.trainable else f"({row.parameters:,})"
    own = remaining.of(row)
    return f"{own:,}" if own > 0 else "--"


def _format_row(name: str, shape: str, parameters: str, width: int) -> str:
    return f"{name:<{width}} {shape:<{_COLUMN_WIDTH}} {parameters}".rstrip()


def _format_mult_adds(number: int) -> str:
    unit, scale = next(((u, s) for u, s in _UNITS if number >= s), _UNITS[-1])
    value = number / scale
    return f"({unit}): {int(value):,}" if value.is_integer() else f"({unit}): {value:,.2f}"
