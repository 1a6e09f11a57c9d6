"""What a field of a recipe may be in a search: a value, one of several, or a number of a range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from netlet.errors import SearchError, did_you_mean
from netlet.toml_files import show_value

Value = bool | int | float | str
_KINDS = ("choices", "uniform", "log_uniform", "integers")
_KEYS = (*_KINDS, "times")
_DIGITS = 4  # of a number that is drawn: more would only make it hard to read
MAX_CHOICES = 1_000


class Chooser(Protocol):
    """Chooses values; a trial of Optuna is one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from ``low`` to ``high``."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""


@dataclass(frozen=True)
class Choices:
    """One of several values; a single one is not searched."""

    values: tuple[Value, ...]

    def choose(self, name: str, chooser: Chooser) -> Value:
        """Return a value under a name by which the chooser knows the field."""
        if len(self.values) == 1:
            return self.values[0]
        chosen: Value = chooser.suggest_categorical(name, self.values)
        return chosen

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values that a recipe must accept."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


@dataclass(frozen=True)
class Interval:
    """A number from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False  # uniform in its logarithm
    whole: bool = False

    def choose(self, name: str, chooser: Chooser) -> Value:
        """Return a number under a name by which the chooser knows the field."""
        if self.whole:
            return chooser.suggest_int(name, int(self.low), int(self.high))
        return chooser.suggest_float(name, self.low, self.high, log=self.log)

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values that a recipe must accept."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (logarithmic)' if self.log else ''}"


Range = Choices | Interval


@dataclass(frozen=True)
class Field:
    """A field of a recipe and the values that it may have.

    Attributes:
        name: The field's name; ``augment.rotate_deg`` is a field of the augmentation.
        range: The values.
        times: Factors by the value of another field, as text: ``{"optimizer": {"adamw": 0.015}}``.
            What is chosen from the range is multiplied by them.
    """

    name: str
    range: Range
    times: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """Whether there is anything to choose."""
        return not isinstance(self.range, Choices) or len(self.range.values) > 1

    def settle(self, chosen: Value, others: Mapping[str, Value]) -> Value:
        """Return the field's value: a choice as it is written, other numbers with four digits.

        Args:
            chosen: What was chosen from the range.
            others: What was chosen for the other fields, by their names.
        """
        if not isinstance(chosen, float):
            return chosen
        if self.times:
            factors = (factors[str(others[other])] for other, factors in self.times.items())
            return round_to_digits(chosen * math.prod(factors))
        if isinstance(self.range, Interval):
            return min(max(round_to_digits(chosen), self.range.low), self.range.high)
        return chosen

    def extremes(self) -> list[Value]:
        """Return the values that a recipe must accept, factors included."""
        if not self.times:
            return list(self.range.extremes)
        low = math.prod(min(factors.values()) for factors in self.times.values())
        high = math.prod(max(factors.values()) for factors in self.times.values())
        first, *_, last = sorted(float(value) for value in self.range.extremes)
        return [first * low, last * high]


def round_to_digits(number: float) -> float:
    """Return a number with four significant digits."""
    return float(f"{number:.{_DIGITS}g}")


def parse_field(name: str, values: object) -> Field:
    """Return the field that a value of a search file describes.

    Args:
        name: The field's name.
        values: A value, a list of choices, or a table with one kind of range.

    Raises:
        SearchError: It is none of these, or a range is empty. The message begins with the name.
    """
    if not isinstance(values, Mapping):
        listed = values if isinstance(values, list) else [values]
        return Field(name, _parse_choices(name, listed))
    for key in values:
        if key not in _KEYS:
            raise SearchError(
                f"{name}: {key!r} is not a kind of range; {did_you_mean(str(key), _KEYS)}write a "
                "list of choices, { uniform = [0.0, 0.1] }, { log_uniform = [0.003, 0.03] } or "
                "{ integers = [1, 8] }"
            )
    kinds = [kind for kind in _KINDS if kind in values]
    if len(kinds) != 1:
        found = " and ".join(kinds) if kinds else "no range"
        raise SearchError(f"{name}: has {found}; write one of {', '.join(_KINDS)}")
    kind = kinds[0]
    found_range: Range = (
        _parse_choices(name, values[kind])
        if kind == "choices"
        else _parse_interval(name, kind, values[kind])
    )
    return Field(name, _as_numbers(name, found_range, values), _parse_times(name, values))


def _parse_choices(name: str, values: object) -> Choices:
    if not isinstance(values, list) or not values:
        raise SearchError(f"{name}: has no choices; write a list like [32, 64, 128]")
    if len(values) > MAX_CHOICES:
        raise SearchError(f"{name}: has {len(values):,} choices; write at most {MAX_CHOICES:,}")
    for value in values:
        if not isinstance(value, bool | int | float | str) or not _is_finite(value):
            raise SearchError(
                f"{name}: {value!r} is not a choice; write numbers, texts or true/false"
            )
    if twice := [value for at, value in enumerate(values) if value in values[:at]]:
        raise SearchError(f"{name}: has the choice {twice[0]!r} twice; drop one")
    return Choices(tuple(values))


def _parse_interval(name: str, kind: str, values: object) -> Interval:
    example = "[1, 8]" if kind == "integers" else "[0.003, 0.03]"
    if not isinstance(values, list) or len(values) != 2 or not all(map(_is_number, values)):
        raise SearchError(
            f"{name}: {kind} = {show_value(values)} is not two numbers; write the lowest and the "
            f"highest, like {kind} = {example}"
        )
    low, high = values
    if not low < high:
        raise SearchError(
            f"{name}: {kind} = {show_value(values)} is empty; write the lower number first, or a "
            f"single value: {name} = {low}"
        )
    if kind == "log_uniform" and low <= 0:
        raise SearchError(
            f"{name}: log_uniform = {show_value(values)} starts at {low}, which has no logarithm; "
            "start above 0, or write uniform"
        )
    if kind == "integers" and not all(isinstance(value, int) for value in values):
        raise SearchError(
            f"{name}: integers = {show_value(values)} has a fraction; write uniform, or whole "
            "numbers"
        )
    if kind == "integers":
        return Interval(low, high, whole=True)
    return Interval(float(low), float(high), log=kind == "log_uniform")


def _as_numbers(name: str, found: Range, values: Mapping[str, Any]) -> Range:
    """Check that a range with factors is one of numbers; return it with fractions."""
    if "times" not in values:
        return found
    if isinstance(found, Choices):
        if not all(map(_is_number, found.values)):
            raise SearchError(f"{name}: times needs numbers to multiply; leave out times")
        return Choices(tuple(float(value) for value in found.values))
    if found.whole:
        raise SearchError(
            f"{name}: times makes fractions of integers; write uniform, or leave out times"
        )
    return found


def _parse_times(name: str, values: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    times = values.get("times", {})
    example = "times.optimizer = { adamw = 0.015, soap = 0.006 }"
    if not isinstance(times, dict):
        raise SearchError(f"{name}: times is {show_value(times)}; write a table like {example}")
    for other, factors in times.items():
        numbers = factors.values() if isinstance(factors, dict) else ()
        if not numbers or not all(map(_is_number, numbers)):
            raise SearchError(
                f"{name}: times.{other} is {show_value(factors)}; write a factor for each value of "
                f"{other}, like {example}"
            )
    return {
        other: {value: float(factor) for value, factor in factors.items()}
        for other, factors in times.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: object) -> bool:
    return not isinstance(value, int | float) or (math.isfinite(value) and abs(value) < 1e15)
