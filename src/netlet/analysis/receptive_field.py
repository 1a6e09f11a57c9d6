"""The receptive-field table of document 001, for any net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from netlet.analysis.fields import Field
from netlet.analysis.ops import Trace
from netlet.analysis.trace import trace
from netlet.text import per_axis, table

PerAxis = tuple[int, ...]


@dataclass(frozen=True)
class FieldRow:
    """One window: sizes per axis of the image; ``r`` receptive field and ``j`` jump, before and after.

    ``r_out = r_in + (k - 1) * d * j_in`` and ``j_out = j_in * s``; None where they are not known.
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
class ReceptiveField:
    """All windows of a net in the order they ran; ``size`` is the whole net's receptive field per axis.

    Norms, dropout and activations have no row: they look at one position. A pooling over the whole
    map is a window as large as the map.
    """

    size: PerAxis | None
    rows: tuple[FieldRow, ...]
    why_unknown: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def __str__(self) -> str:
        dilated = any(set(row.d) != {1} for row in self.rows)
        head = ["layer", "kind", "n_in", "k", "s", "p", *(["d"] if dilated else []), "n_out"]
        head += ["r_in", "j_in", "r_out", "j_out"]
        rows = []
        for row in self.rows:
            sizes = [row.n_in, row.k, row.s, row.p, *([row.d] if dilated else []), row.n_out]
            sizes_and_fields = [*sizes, row.r_in, row.j_in, row.r_out, row.j_out]
            rows.append([row.name, row.kind, *map(per_axis, sizes_and_fields)])
        end = f"receptive field: {per_axis(self.size)}"
        if self.why_unknown:
            end += f"; unknown, since {self.why_unknown}"
        return f"{table(head, rows, 'll' + 'r' * (len(head) - 2))}\n{end}"


def receptive_field(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> ReceptiveField:
    """The receptive-field table of a net.

    Args:
        net: Any module; branches are united, ``size`` covers all paths from the input to the
            output.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image.
    """
    return receptive_field_from_trace(trace(net, shape))


def receptive_field_from_trace(traced: Trace) -> ReceptiveField:
    """The table of a net already traced."""
    rows = tuple(
        FieldRow(
            step.name,
            step.kind,
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
        for step in traced.leaves()
        for w in step.windows
    )
    why = ""
    if traced.value_dependent:
        why = f"{traced.value_dependent} reads a value back and may choose a path by it"
    elif traced.field is None:
        first = next((step for step in traced.leaves() if step.field is None), None)
        why = (
            f"{first.name} ({first.kind}) mixes positions in a way that is not followed"
            if first
            else "no path leads there"
        )
    return ReceptiveField(field_size(traced.field), rows, why)


def field_size(field: Field) -> PerAxis | None:
    """Receptive field per axis."""
    return None if field is None else tuple(axis.extent for axis in field)


def field_jump(field: Field) -> PerAxis | None:
    """Input positions between neighbouring elements, per axis."""
    return None if field is None else tuple(axis.jump for axis in field)
