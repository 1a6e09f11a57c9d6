"""The summary of a net: a table of its layers, with totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from torch import nn

from netlet.analysis.fields import field_size
from netlet.analysis.memory import FLOAT_BYTES
from netlet.analysis.notes import write_notes
from netlet.analysis.ops import Op, Trace
from netlet.analysis.receptive_field import PerAxis, field_jump
from netlet.analysis.trace import trace
from netlet.budgets import OF_WEIGHTS
from netlet.display import Displayed
from netlet.nets.registered import count_bytes, count_numbers
from netlet.text import Table, escape_controls, format_count, format_shape, format_sizes

# Ends the kind of a module of which functions read the parameters. Records have it, and digests of
# nets depend on it; tables print it in full.
_OWN = " (its own)"
_COLUMNS = ("layer", "kind", "k", "s", "p", "d", "output", "parameters", "MACs", "field", "jump")


@dataclass(frozen=True)
class Row(Displayed):
    """A layer or function; None for properties that it does not have or that are unknown."""

    name: str
    kind: str
    output: tuple[int, ...]  # for one image, without the batch dimension
    parameters: int | None  # that no row above has counted
    macs: int | None
    field: PerAxis | None = None
    jump: PerAxis | None = None
    kernel: PerAxis | None = None
    stride: PerAxis | None = None
    padding: PerAxis | None = None
    dilation: PerAxis | None = None
    shared: bool = False  # the layer ran before, or its parameters belong to an earlier layer


@dataclass(frozen=True)
class Summary(Displayed):
    """Rows, totals and notes; its ``str`` is the table as text.

    MACs are for one image. FLOPs are twice the MACs.
    """

    net: str
    input: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    macs: int | None
    field: PerAxis | None
    input_bytes: int
    forward_backward_bytes: int  # outputs of all operations and gradients, one image in float32
    parameter_bytes: int
    activation_bytes: int | None  # peak during inference
    notes: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """The sum of input, forward/backward and parameter bytes."""
        return self.input_bytes + self.forward_backward_bytes + self.parameter_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data for JSON, including derived totals."""
        return asdict(self) | {
            "non_trainable": self.parameters - self.trainable,
            "total_bytes": self.total_bytes,
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                escape_controls(f"{self.net}, input {format_shape(self.input)}"),
                str(self.to_table()),
                "",
                *self.totals(),
                *map(escape_controls, self.notes),
            ]
        )

    def to_table(self) -> Table:
        """Return the rows as a table of text."""
        cells = []
        for row in self.rows:
            window = (row.kernel, row.stride, row.padding, row.dilation)
            sizes = [format_sizes(size) if size else "" for size in window]
            own = "shared" if row.shared and not row.parameters else format_count(row.parameters)
            reach = [format_sizes(row.field), format_sizes(row.jump)]
            cells.append(
                [
                    row.name,
                    row.kind.replace(_OWN, " (own parameters)"),
                    *sizes,
                    format_shape(row.output),
                    own,
                    format_count(row.macs),
                    *reach,
                ]
            )
        return Table(_COLUMNS, cells, "llrrrrrrrrr")

    def totals(self) -> list[str]:
        """Return the lines below the table, without the notes."""
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
            f"parameters       {self.parameters:,} ({self.trainable:,} trainable, {frozen:,} "
            "non-trainable)",
            f"MACs             {format_count(self.macs)} multiply-adds per image "
            f"(FLOPs: 2 x MACs = {flops})",
            f"receptive field  {_describe_field(self.field, self.input[1:])}",
            f"size             input {one}, forward and backward {both}, parameters {weights}, "
            f"total {total}",
            f"inference        {active} of activations at the peak",
        ]

    def _facts(self) -> Mapping[str, object]:
        return {
            "net": self.net,
            "input": self.input,
            "rows": len(self.rows),
            "parameters": self.parameters,
            "macs": self.macs,
            "field": self.field,
            "activation_bytes": self.activation_bytes,
        }


def _describe_field(field: PerAxis | None, image: Sequence[int]) -> str:
    """Return ``18x18 (of the 28x28 input)``, or ``?`` if the receptive field is unknown."""
    if field is None:
        return "?"
    larger = any(size > side for size, side in zip(field, image, strict=False))
    where = "larger than" if larger else "of"
    return f"{format_shape(field)} ({where} the {format_shape(image)} input)"


def summary(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Summary:
    """Return a net's layers, their shapes and costs, and the totals.

    Args:
        net: Any module. A layer that runs several times has a row for each run; its parameters are
            counted in the first.
        shape: The shape of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image.
    """
    return summary_from_trace(trace(net, shape))


def summary_from_trace(traced: Trace) -> Summary:
    """Return the summary of a net that has been traced."""
    parameters = traced.list_parameters()
    rows = [
        _make_row(op)
        for op in sorted(traced.ops, key=lambda op: op.end_order)
        if op.leaf or op.own_parameters
    ]
    for idle, what in (
        *((idle, "its own") for idle in traced.called_by_parts),
        *((idle, traced.say_when_it_runs(idle)) for idle in traced.unused),
    ):
        rows.append(Row(idle.name, f"{idle.kind} ({what})", (), idle.parameters, 0))
    rows += [Row(w.name, w.remedy, (), w.numbers, 0) for w in traced.hidden]
    return Summary(
        net=type(traced.net).__name__,
        input=traced.shape,
        rows=tuple(rows),
        parameters=traced.parameters,
        trainable=count_numbers(p for p in parameters if p.requires_grad),
        macs=traced.macs(),
        field=field_size(traced.field),
        input_bytes=prod(traced.shape) * FLOAT_BYTES,
        forward_backward_bytes=traced.forward_backward_bytes,
        parameter_bytes=count_bytes(parameters),
        activation_bytes=traced.activation_bytes,
        notes=tuple(write_notes(traced)),
    )


def _make_row(op: Op) -> Row:
    row = Row(
        op.name,
        op.kind + (_OWN if not op.leaf else OF_WEIGHTS if op.of_weights else ""),
        op.output[1:],
        op.own_parameters,
        op.macs if op.leaf else 0,
        field_size(op.field),
        field_jump(op.field),
        shared=op.repeated or op.tied,
    )
    if len(op.windows) != 1 or op.kind.lower().endswith("linear"):
        return row
    (window,) = op.windows
    return replace(
        row,
        kernel=window.kernel,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
    )
