"""A scatter plot of letters for a terminal, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_COLUMNS, _ROWS = 66, 18


class Mark(NamedTuple):
    """A point of a plot."""

    x: float
    y: float
    letter: str


def draw_plot(marks: Sequence[Mark], y_title: str, x_title: str) -> str:
    """Return a plot of positive values, the largest ``y`` in the top row.

    A mark whose place is taken goes to the nearest free one, so that every letter is shown.
    """
    across = _scale([mark.x for mark in marks], _COLUMNS)
    up = _scale([mark.y for mark in marks], _ROWS)
    canvas = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for mark, column, height in zip(marks, across, up, strict=True):
        row, column = _find_free(canvas, _ROWS - 1 - height, column)
        canvas[row][column] = mark.letter
    labels = _label_rows([mark.y for mark in marks])
    lines = [
        f"{labels.get(row, ''):>5} |{''.join(cells)}".rstrip() for row, cells in enumerate(canvas)
    ]
    ticks, numbers = _label_columns([mark.x for mark in marks])
    return "\n".join([y_title, *lines, f"      +{ticks}", f"       {numbers}", f"       {x_title}"])


def _scale(values: Sequence[float], places: int) -> list[int]:
    """Return the cell of each value on a logarithmic axis from the smallest to the largest."""
    low, high = math.log(min(values)), math.log(max(values))
    if high == low:
        return [0] * len(values)
    return [round((math.log(value) - low) / (high - low) * (places - 1)) for value in values]


def _find_free(canvas: Sequence[Sequence[str]], row: int, column: int) -> tuple[int, int]:
    """Return the free cell nearest to a place; a row counts as two columns, as it looks."""
    free = ((r, c) for r, cells in enumerate(canvas) for c, cell in enumerate(cells) if cell == " ")
    return min(free, key=lambda at: (math.hypot(2 * (at[0] - row), at[1] - column), at))


def _label_rows(values: Sequence[float]) -> dict[int, str]:
    """Return the labels of the y axis by row: round values, and the ends where none is round."""
    low, high = min(values), max(values)
    labels = {}
    round_values = _round_values(low, high)
    if len(round_values) < 3:
        round_values = _round_values(low, high, range(1, 10))
    for value in round_values:
        row = _ROWS - 1 - _scale([low, value, high], _ROWS)[1]
        labels[row] = f"{value:g}"
    if len(labels) < 2:
        labels |= {0: f"{high:.2f}", _ROWS - 1: f"{low:.2f}"}
    return labels


def _label_columns(values: Sequence[float]) -> tuple[str, str]:
    """Return the x axis's ticks and the numbers below them."""
    low, high = min(values), max(values)
    ticks, numbers = ["-"] * _COLUMNS, ""
    decades = math.log10(high / low) > 3
    chosen = _round_values(low, high, (1,)) if decades else _round_values(low, high)
    for value in chosen if len(chosen) > 1 else sorted({low, high}):
        column = _scale([low, value, high], _COLUMNS)[1]
        text = f"{value:,.0f}" if low >= 1 else f"{value:g}"
        start = min(max(column - len(text) // 2, 0), _COLUMNS - len(text))
        if start >= len(numbers) + (2 if numbers else 0):
            ticks[column] = "+"
            numbers = numbers.ljust(start) + text
    return "".join(ticks), numbers


def _round_values(low: float, high: float, digits: Sequence[int] = (1, 2, 3, 5)) -> list[float]:
    """Return the values between two that have one digit, of those given, other than zeros."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{m}e{power}") for power in powers for m in digits]
    return [value for value in values if low <= value <= high]
