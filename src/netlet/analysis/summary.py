"""The table of a net's layers and its totals: a value whose ``str`` is the table."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from torch import nn

from netlet.analysis.receptive_field import PerAxis, field_size, field_jump
from netlet.analysis.ops import Op, Trace
from netlet.analysis.trace import trace
from netlet.text import count, per_axis, table

_FLOAT_BYTES = 4
_COLUMNS = ("layer", "kind", "k", "s", "p", "d", "output", "parameters", "MACs", "field", "jump")


@dataclass(frozen=True)
class Row:
    """A layer or function; what it has not, or what is not known, is None."""

    name: str
    kind: str
    output: tuple[int, ...]  # for one image, the batch dimension left out
    parameters: int  # of its own, not counted in a row above
    macs: int | None
    field: PerAxis | None = None
    jump: PerAxis | None = None
    kernel: PerAxis | None = None
    stride: PerAxis | None = None
    padding: PerAxis | None = None
    dilation: PerAxis | None = None
    shared: bool = False  # runs again, or with parameters that another layer brought


@dataclass(frozen=True)
class Summary:
    """Rows, totals, and what a reader should know of them. MACs are of one image; FLOPs are twice as many."""

    net: str
    input: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    macs: int | None
    field: PerAxis | None
    input_bytes: int
    forward_backward_bytes: int  # every row's output and its gradient, one image, float32
    parameter_bytes: int
    activation_bytes: int | None  # peak of what is alive at once without training
    notes: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """Input, forward and backward, parameters."""
        return self.input_bytes + self.forward_backward_bytes + self.parameter_bytes

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, derived totals included."""
        return asdict(self) | {
            "non_trainable": self.parameters - self.trainable,
            "total_bytes": self.total_bytes,
        }

    def __str__(self) -> str:
        body = table(_COLUMNS, self._cells(), "llrrrrrrrrr")
        return "\n".join(
            [f"{self.net}, input {_by(self.input)}", body, "", *self._totals(), *self.notes]
        )

    def _repr_html_(self) -> str:
        def cells(tag: str, values: Sequence[str]) -> str:
            return (
                "<tr>"
                + "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values)
                + "</tr>"
            )

        rows = "".join(cells("td", row) for row in self._cells())
        lines = "<br>".join(html.escape(line) for line in [*self._totals(), *self.notes])
        caption = f"<caption>{html.escape(self.net)}, input {_by(self.input)}</caption>"
        return f"<table>{caption}<thead>{cells('th', _COLUMNS)}</thead><tbody>{rows}</tbody></table><p>{lines}</p>"

    def _cells(self) -> list[list[str]]:
        cells = []
        for row in self.rows:
            window = (row.kernel, row.stride, row.padding, row.dilation)
            sizes = [per_axis(size) if size else "" for size in window]
            own = "shared" if row.shared and not row.parameters else count(row.parameters)
            reach = [per_axis(row.field), per_axis(row.jump)]
            cells.append(
                [row.name, row.kind, *sizes, _by(row.output), own, count(row.macs), *reach]
            )
        return cells

    def _totals(self) -> list[str]:
        frozen = self.parameters - self.trainable
        active = "?" if self.activation_bytes is None else f"{self.activation_bytes / 1024:.1f} KiB"
        flops = "?" if self.macs is None else f"{2 * self.macs:,}"
        sizes = (
            self.input_bytes,
            self.forward_backward_bytes,
            self.parameter_bytes,
            self.total_bytes,
        )
        one, both, weights, total = (f"{size / 1024:.1f} KiB" for size in sizes)
        return [
            f"parameters  {self.parameters:,} ({self.trainable:,} trainable, {frozen:,} not)",
            f"mult-adds   {count(self.macs)} an image (FLOPs: 2 x MACs = {flops})",
            f"field       {per_axis(self.field)} of {_by(self.input[1:])}",
            f"size        input {one}, forward and backward {both}, parameters {weights}, total {total}",
            f"inference   {active} of activations alive at once",
        ]


def summary(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Summary:
    """What a net consists of and costs.

    Args:
        net: Any module; a layer that runs several times has a row each time, its parameters in the
            first.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image.
    """
    return summary_from_trace(trace(net, shape))


def summary_from_trace(traced: Trace) -> Summary:
    """The summary of a net already traced."""
    net = traced.net
    parameters = list(net.parameters())
    rows = [
        _row(step)
        for step in sorted(traced.steps, key=lambda step: step.done)
        if step.leaf or step.own
    ]
    rows += [Row(path or "(net)", _unused_kind(net, path), (), n, 0) for path, n in traced.unused]
    outputs = sum(prod(step.output) for step in traced.leaves() if step.module is not None)
    return Summary(
        net=type(net).__name__,
        input=traced.shape,
        rows=tuple(rows),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        macs=traced.macs(),
        field=field_size(traced.field),
        input_bytes=prod(traced.shape) * _FLOAT_BYTES,
        forward_backward_bytes=2 * outputs * _FLOAT_BYTES,
        parameter_bytes=sum(p.numel() * p.element_size() for p in parameters),
        activation_bytes=traced.activation_bytes,
        notes=tuple(_notes(traced)),
    )


def _row(step: Op) -> Row:
    row = Row(
        step.name,
        step.kind if step.leaf else f"{step.kind} (its own)",
        step.output[1:],
        step.own,
        step.macs if step.leaf else 0,
        field_size(step.field),
        field_jump(step.field),
        shared=step.repeated or step.tied,
    )
    if len(step.windows) != 1 or step.kind.lower().endswith("linear"):
        return row
    (window,) = step.windows
    return replace(
        row,
        kernel=window.kernel,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
    )


def _unused_kind(net: nn.Module, path: str) -> str:
    return f"{type(net.get_submodule(path)).__name__} (never ran)"


def _notes(traced: Trace) -> list[str]:
    notes = []
    runs = Counter(step.path for step in traced.steps if step.module is not None and step.leaf)
    for path, times in runs.items():
        if times > 1:
            notes.append(f"note: {path} runs {times} times; its parameters are counted once")
    notes += [
        f"note: {step.name} shares parameters with a layer above; counted once"
        for step in traced.steps
        if step.tied
    ]
    notes += [
        f"note: {path or '(net)'} holds {n:,} parameters and never ran" for path, n in traced.unused
    ]
    if traced.value_dependent:
        notes.append(
            f"note: {traced.value_dependent} reads a value back, so the path may depend on the image; "
            "MACs and fields from there on are not known"
        )
    return notes


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
