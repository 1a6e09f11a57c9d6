"""Plain text: tables for a terminal, shapes and counts, and rounded numbers for JSON."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Keys of JSON whose values are in percent or percentage points.
_PERCENTAGE = re.compile(r"(.*_)?(percent|points|interval)(_.*)?")


class Table(NamedTuple):
    """A table, whatever it is written as: titles, rows of cells, a letter for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str  # ``l`` or ``r`` for each column

    def __str__(self) -> str:
        return format_table(self.columns, self.rows, self.align)


def round_percentages(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for JSON with their percentages and points rounded to 4 decimals.

    Args:
        values: Those whose key has the word ``percent``, ``points`` or ``interval`` are rounded,
            also in mappings inside; lists of mappings are left alone.
    """
    return {
        key: round_percentages(value)
        if isinstance(value, Mapping)
        else _round(value)
        if _PERCENTAGE.fullmatch(str(key))
        else value
        for key, value in values.items()
    }


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return [_round(item) for item in value] if isinstance(value, list | tuple) else value


def format_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None
) -> str:
    """Return an aligned table with columns two spaces apart.

    Args:
        head: Column titles.
        rows: Cells as text, one for each title.
        align: One letter for each column, ``l`` or ``r``; default: all left.

    Returns:
        The titles, a rule and the rows, one line each, without trailing spaces.
    """
    align = align or "l" * len(head)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            c.rjust(w) if side == "r" else c.ljust(w)
            for c, w, side in zip(cells, widths, align, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), "  ".join("-" * w for w in widths), *map(line, rows)])


def format_shape(shape: Sequence[int]) -> str:
    """Return ``1x28x28`` for the shape ``(1, 28, 28)``."""
    return "x".join(map(str, shape))


def format_sizes(sizes: Sequence[int] | None) -> str:
    """Return ``3`` for equal sizes along all axes, ``3x1`` for others, ``?`` for unknown ones."""
    if sizes is None:
        return "?"
    return str(sizes[0]) if len(set(sizes)) == 1 else format_shape(sizes)


def format_count(number: int | None) -> str:
    """Return a number with thousands separators, or ``?`` if it is unknown."""
    return "?" if number is None else f"{number:,}"
