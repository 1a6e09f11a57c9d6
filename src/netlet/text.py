"""Aligned plain text: the one way in which netlet lays out a table for a terminal."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None) -> str:
    """Lay rows out under a head, columns two spaces apart.

    Args:
        head: The column titles.
        rows: Cells as text, as many in each row as there are titles.
        align: One letter a column, ``l`` or ``r``; all to the left if not given.

    Returns:
        Lines without trailing blanks: the head, a rule, the rows.
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


def per_axis(sizes: Sequence[int] | None) -> str:
    """``3`` for equal sizes, ``3x1`` for others, ``?`` for unknown ones."""
    if sizes is None:
        return "?"
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))


def count(number: int | None) -> str:
    """A whole number with thousands separated, or ``?`` for one that is not known."""
    return "?" if number is None else f"{number:,}"
