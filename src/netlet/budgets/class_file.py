"""How a class is graded, from the table ``[grade]`` of its budget's TOML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from netlet.budgets.toml_file import EXAMPLE, MAX_BYTES, quote_toml
from netlet.errors import GradingError
from netlet.toml_files import check_keys, fail, read_toml, show_value

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
    "points": (1, 1_000_000),
    "time_limit": (5, 86_400),
}


@dataclass(frozen=True)
class ClassFile:
    """What the table says; None where it says nothing. The names are those of the options."""

    net: str | None = None
    weights: str | None = None
    retrain: str | None = None
    seeds: int | None = None
    first_seed: int | None = None
    points: int | None = None
    time_limit: int | None = None

    def given(self) -> dict[str, str | int]:
        """Return the options that are set, by their names."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def to_toml(self) -> str:
        """Return the table ``[grade]`` as :func:`read_class_file` reads it; empty if it is."""
        lines = [
            f"{name} = {quote_toml(value) if isinstance(value, str) else value}"
            for name, value in self.given().items()
        ]
        return "\n".join(["", "[grade]", *lines, ""]) if lines else ""

    def fill_from(self, other: ClassFile) -> ClassFile:
        """Return the same, with what ``other`` says where this says nothing."""
        return ClassFile(
            **{
                one.name: getattr(other if getattr(self, one.name) is None else self, one.name)
                for one in fields(self)
            }
        )


def read_class_file(path: Path) -> ClassFile:
    """Return the table ``[grade]`` of a TOML file, which may be missing.

    Args:
        path: The file of the budget.

    Raises:
        GradingError: It is no TOML, a key is unknown, or a value is not valid, with its line.
    """
    file = read_toml(path, MAX_BYTES, GradingError, EXAMPLE)
    values = file.values.get("grade", {})
    with file.naming_lines():
        check_keys(values, [one.name for one in fields(ClassFile)], "[grade]", "grade")
        for key, value in values.items():
            if not _is_valid(key, value):
                fail(
                    f"{key} is {show_value(value)} in [grade]; write {key} = {_EXAMPLES[key]}, for "
                    "example",
                    "grade",
                    key,
                )
    return ClassFile(**values)


def _is_valid(key: str, value: Any) -> bool:
    if key not in _RANGES:
        return isinstance(value, str) and bool(value.strip())
    low, high = _RANGES[key]
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
