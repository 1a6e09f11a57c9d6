"""The receptive-field table, as in write-up 001, for any net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from netlet.analysis.fields import Field, field_size
from netlet.analysis.ops import Trace
from netlet.analysis.trace import trace
from netlet.display import Displayed
from netlet.text import Table, escape_controls, format_sizes

PerAxis = tuple[int, ...]


@dataclass(frozen=True)
class FieldRow(Displayed):
    """One window, with sizes for each axis of the image.

    ``r_out = r_in + (k - 1) * d * j_in`` and ``j_out = j_in * s``; None if unknown. The window of a
    transposed convolution slides over its output, so that ``j_out = j_in / s``; ``r_out`` counts
    the elements of the input that reach one of the output.

    Attributes:
        name: The layer's name.
        kind: The class or function.
        n_in: Input size; with the padding if a layer pads both sides of an axis differently, as
            ``padding="same"`` does for an even kernel. ``p`` is then what is not in it.
        k: Kernel size.
        s: Stride.
        p: Padding.
        d: Dilation.
        n_out: Output size.
        r_in: Receptive field of the input.
        j_in: Jump (distance in the image between neighboring elements) of the input.
        r_out: Receptive field of the output.
        j_out: Jump of the output; None also if it is no whole number.
    """

    name: str
    kind: str
    n_in: PerAxis
    k: PerAxis
    s: PerAxis
    p: PerAxis
    d: PerAxis
    n_out: PerAxis
    r_in: PerAxis | None
    j_in: PerAxis | None
    r_out: PerAxis | None
    j_out: PerAxis | None


@dataclass(frozen=True)
class ReceptiveField(Displayed):
    """The receptive-field table of a net; its ``str`` is the table as text.

    Norms, dropout and activations have no row, since they act on single positions, nor have layers
    that resize a map without windows of one size, such as ``nn.Upsample`` and ``nn.PixelShuffle``:
    the row after them starts from the map that they return. A global pooling is a window as large
    as the map, a dense layer one as large as the map that its input is flattened from. If that is
    joined from maps of different sizes, the dense layer has no row.

    Attributes:
        size: The receptive field of the net's output for each axis, or None if unknown.
        rows: All windows in the order in which they ran.
        why_unknown: Why ``size`` is None; else empty.
    """

    size: PerAxis | None
    rows: tuple[FieldRow, ...]
    why_unknown: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain data for JSON."""
        return asdict(self)

    def to_table(self) -> Table:
        """Return the windows as a table of text."""
        dilated = any(set(row.d) != {1} for row in self.rows)
        head = ["layer", "kind", "n_in", "k", "s", "p", *(["d"] if dilated else []), "n_out"]
        head += ["r_in", "j_in", "r_out", "j_out"]
        rows = []
        for row in self.rows:
            sizes = [row.n_in, row.k, row.s, row.p, *([row.d] if dilated else []), row.n_out]
            sizes_and_fields = [*sizes, row.r_in, row.j_in, row.r_out, row.j_out]
            rows.append([row.name, row.kind, *map(format_sizes, sizes_and_fields)])
        return Table(head, rows, "ll" + "r" * (len(head) - 2))

    @property
    def conclusion(self) -> str:
        """The receptive field of the output in words, or why it is unknown."""
        why = f" (unknown: {self.why_unknown})" if self.why_unknown else ""
        return f"receptive field: {format_sizes(self.size)}{why}"

    def __str__(self) -> str:
        return f"{self.to_table()}\n{escape_controls(self.conclusion)}"

    def _facts(self) -> Mapping[str, object]:
        return {
            "size": self.size,
            "rows": len(self.rows),
            **({"why_unknown": self.why_unknown} if self.why_unknown else {}),
        }


def receptive_field(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> ReceptiveField:
    """Return the receptive-field table of a net.

    Args:
        net: Any module. If it has branches, ``size`` covers all paths from the input to the output.
        shape: The shape of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image.
    """
    return receptive_field_from_trace(trace(net, shape))


def receptive_field_from_trace(traced: Trace) -> ReceptiveField:
    """Return the receptive-field table of a net that has been traced."""
    rows = tuple(
        FieldRow(
            op.name,
            op.kind,
            w.n_in,
            w.kernel,
            w.stride,
            w.padding,
            w.dilation,
            w.n_out,
            field_size(w.before),
            field_jump(w.before),
            field_size(w.after),
            field_jump(w.after),
        )
        for op in traced.leaves()
        for w in op.windows
    )
    size = field_size(traced.field)
    why = ""
    if traced.value_dependent:
        why = f"{traced.value_dependent} reads a tensor's value and may choose a path by it"
    elif size is None:
        why = traced.why_unknown or "no path leads from the input to the output"
    return ReceptiveField(size, rows, why)


def field_jump(field: Field) -> PerAxis | None:
    """Return the distance between neighboring elements in input positions, along each axis.

    None if it is unknown, or no whole number, as after upsampling.
    """
    if field is None:
        return None
    jumps = [axis.jump for axis in field]
    whole = tuple(abs(jump.numerator) for jump in jumps if jump and jump.denominator == 1)
    return whole if len(whole) == len(jumps) else None
