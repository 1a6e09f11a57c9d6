"""How a class is graded, from the table ``[grade]`` of its budget's TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from netlet.budgets.budget import Budget
from netlet.budgets.points import MAX_POINTS, check_points, find_total
from netlet.budgets.toml_file import EXAMPLE, MAX_BYTES, quote_toml, read_budget_table
from netlet.errors import GradingError
from netlet.toml_files import check_keys, fail, read_toml, show_value

CLAIMED_RECIPE = "claim"  # of retrain: the recipe that each student claims
_TOTAL = "total"  # in [grade.points], where points = N would be another value of the same key
_ALL_POINTS = 100  # where nothing says how many
_MAX_SEEDS = 10_000
_EXAMPLES = {
    "net": '"model.py:Net"',
    "weights": '"*.pt"',
    "retrain": '"quick"',
    "seeds": "3",
    "first_seed": "0",
    "points": "100",
    "time_limit": "120",
}
_RANGES = {
    "seeds": (1, _MAX_SEEDS),
    "first_seed": (0, 2**63 - 1 - _MAX_SEEDS),
    "points": (1, MAX_POINTS),
    "time_limit": (5, 86_400),
}


@dataclass(frozen=True)
class ClassFile:
    """What the table says; None where it says nothing. The names are those of the options.

    ``points`` is the sum of all, ``limit_points`` those of single limits in ``[grade.points]``.
    """

    net: str | None = None
    weights: str | None = None
    retrain: str | None = None
    seeds: int | None = None
    first_seed: int | None = None
    points: int | None = None
    time_limit: int | None = None
    limit_points: Mapping[str, float] | None = None

    def given(self) -> dict[str, str | int | dict[str, float]]:
        """Return the options that are set, as the table has them."""
        values = {name: getattr(self, name) for name in _KEYS}
        given = {name: value for name, value in values.items() if value is not None}
        if self.limit_points is None:
            return given
        total = {} if self.points is None else {_TOTAL: self.points}
        return {**given, "points": total | dict(self.limit_points)}

    def find_points(self, budget: Budget) -> float:
        """Return the points for meeting every limit.

        Args:
            budget: The budget of the file.

        Raises:
            GradingError: The points of single limits do not say how many.
        """
        if self.limit_points is None:
            return _ALL_POINTS if self.points is None else self.points
        try:
            return find_total(self.limit_points, self.points, budget)
        except GradingError as error:
            raise GradingError(f"[grade.points] of {budget.label}: {error}") from error

    def to_toml(self) -> str:
        """Return the table ``[grade]`` as :func:`read_class_file` reads it; empty if it is."""
        options = self.given()
        points = options.get("points")
        if not isinstance(points, dict):
            return _write_table("[grade]", options)
        del options["points"]
        return _write_table("[grade]", options) + _write_table("[grade.points]", points)

    def fill_from(self, other: ClassFile) -> ClassFile:
        """Return the same, with what ``other`` says where this says nothing."""
        return ClassFile(
            **{
                one.name: getattr(other if getattr(self, one.name) is None else self, one.name)
                for one in fields(self)
            }
        )


def _write_table(head: str, values: Mapping[str, Any]) -> str:
    lines = [
        f"{key if key.isidentifier() else quote_toml(key)} = "
        f"{quote_toml(value) if isinstance(value, str) else value}"
        for key, value in values.items()
    ]
    return "\n".join(["", head, *lines, ""]) if lines else ""


_KEYS = tuple(one.name for one in fields(ClassFile) if one.name != "limit_points")


def read_class_file(path: Path) -> ClassFile:
    """Return the table ``[grade]`` of a TOML file, which may be missing.

    Args:
        path: The file of the budget.

    Raises:
        GradingError: It is not TOML, a key is unknown, or a value is not valid, with its line.
    """
    file = read_toml(path, MAX_BYTES, GradingError, EXAMPLE)
    values = dict(file.values.get("grade", {}))
    with file.naming_lines():
        check_keys(values, _KEYS, "[grade]", "grade")
        if isinstance(values.get("points"), dict):
            values |= _read_points(values["points"], read_budget_table(file.values, path.stem))
        for key in _KEYS:
            if values.get(key) is not None and not _is_valid(key, values[key]):
                fail(
                    f"{key} is {show_value(values[key])} in [grade]; write {key} = "
                    f"{_EXAMPLES[key]}, for example{_say_range(key)}",
                    "grade",
                    key,
                )
    return ClassFile(**values)


def _read_points(table: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Return the total and the points of single limits in ``[grade.points]``.

    Raises:
        WrongValueError: A value is not valid, or the budget has no such limit.
    """
    total = table.get(_TOTAL)
    if total is not None and not _is_valid("points", total):
        fail(
            f"{_TOTAL} is {show_value(total)} in [grade.points]; write {_TOTAL} = {_ALL_POINTS}, "
            "for example",
            "grade",
            "points",
            _TOTAL,
        )
    points = {key: value for key, value in table.items() if key != _TOTAL}
    for key, value in points.items():
        try:
            check_points(key, value, budget)
        except GradingError as error:
            fail(str(error), "grade", "points", key)
    return {"points": total, "limit_points": points}


def _say_range(key: str) -> str:
    if key not in _RANGES:
        return ""
    low, high = _RANGES[key]
    return f" (a whole number from {low} to {high:,})"


def _is_valid(key: str, value: Any) -> bool:
    if key not in _RANGES:
        return isinstance(value, str) and bool(value.strip())
    low, high = _RANGES[key]
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
