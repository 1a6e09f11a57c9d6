"""The schema of each kind of record: keys, types, shapes and ranges, checked on loading.

The dataclasses and typed dictionaries of this package are the schema; pydantic compares the JSON
with them, strictly: ``true`` is not a number, ``"1"`` is none, ``1.0`` is not a whole number, and
unknown and missing keys are refused. What holds for every record is checked here as well: the
fields of a recipe and a budget, and that no number is negative or too large. pydantic is imported
only when something is loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from netlet.budgets import Budget, budget_from_json
from netlet.budgets.verdict import OPTIONAL
from netlet.errors import DamagedRecordError, NetletError
from netlet.recipes import Recipe, recipe_from_json
from netlet.records.json_file import shorten

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_core import ErrorDetails

# Read by pydantic in each class that is the schema of a file; the classes inside inherit it.
STRICT: Mapping[str, Any] = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

REMEDY = "the file was edited or cut short; restore it from a copy, or run the command again"
_LARGEST = 2**63
_MAY_BE_NEGATIVE = ("seed", "mean")  # the seed of a run; the gray level that a recipe subtracts
_ROUNDING = 1e-6  # a loss of 0 may come out just below it
_EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "no such key",
    "unexpected_keyword_argument": "no such key",
    "unexpected_positional_argument": "a shorter list",
    "missing_argument": "a longer list",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "none_required": "null",
    "dict_type": "an object",
    "mapping_type": "an object",
    "dataclass_type": "an object",
    "dataclass_exact_type": "an object",
    "tuple_type": "a list",
    "list_type": "a list",
    "arguments_type": "a list",
}


def check_values(kind: Any, values: Any, path: Path | str) -> Any:
    """Return values from a file as a kind of record, if they have its form.

    Args:
        kind: A dataclass whose ``__pydantic_config__`` is ``STRICT``, or a tuple of dataclasses.
        values: The fields as JSON stores them.
        path: The path of the record, for the error message.

    Raises:
        DamagedRecordError: They do not; the message names the first field that differs.
    """
    made = _validate(kind, values, path)
    for place, number in _numbers(values):
        _check_number(place, number, path)
    if not isinstance(values, dict):
        return made
    _require_all(made, values, (), path)
    _check_named_tuples(values, (), path)
    for number, seed in enumerate(values.get("seeds", ())):
        _check_named_tuples(seed, ("seeds", number), path)
    _check_recipe_and_budget(values, path)
    # A mapping stays exactly as it was read, and so does a path that is not UTF-8.
    same = {
        name: value for name, value in values.items() if isinstance(getattr(made, name), dict | str)
    }
    return dataclasses.replace(made, **same)


def _validate(kind: Any, values: Any, path: Path | str, field: str = "") -> Any:
    from pydantic import ValidationError

    # As JSON, since a strict check of Python values would ask for tuples and instances. Names of
    # files that are not UTF-8 hold lone surrogates, which are not an error.
    text = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
    try:
        return _adapter(kind).validate_json(text)
    except ValidationError as error:
        place, expected, found = _describe(error.errors(include_url=False)[0])
        raise _error(path, (field, *place[1:]) if field else place, expected, found) from error


def refuse_contradictions(found: Iterator[str], path: Path | str) -> None:
    """Raise an error for the first contradiction, if there is one.

    Args:
        found: The text that says which parts of the record contradict each other.
        path: The path of the record.

    Raises:
        DamagedRecordError: There is one.
    """
    if (first := next(found, None)) is not None:
        raise DamagedRecordError(f"{path}: contradicts itself: {first}; {REMEDY}")


@functools.cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    if hasattr(kind, "__pydantic_config__"):
        return TypeAdapter(kind)
    return TypeAdapter(kind, config=cast("ConfigDict", STRICT))


def _describe(error: ErrorDetails) -> tuple[Sequence[object], str, str]:
    """Return the place of an error, what was expected there, and what was found."""
    kind, context = error["type"], error.get("ctx", {})
    expected = _EXPECTED.get(kind)
    if kind == "literal_error":
        expected = f"one of {context['expected']}"
    elif kind == "too_long" or kind == "too_short":
        expected = f"a list of {context.get('max_length', context.get('min_length'))}"
    elif expected is None:
        expected = error["msg"].removeprefix("Input should be ")
    found = "nothing" if kind in ("missing", "missing_argument") else shorten(error["input"])
    return error["loc"], expected, found


def _format_place(place: Sequence[object]) -> str:
    """Return ``epochs[0].lr`` for ``("epochs", 0, "lr")``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return shorten(text.removeprefix("."))[1:-1] or "the record"


def _numbers(
    values: Any, place: tuple[object, ...] = ()
) -> Iterator[tuple[tuple[object, ...], float]]:
    if isinstance(values, bool):
        return
    if isinstance(values, int | float):
        yield place, values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield from _numbers(value, (*place, name))
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from _numbers(value, (*place, index))


def _check_number(place: Sequence[object], number: float, path: Path | str) -> None:
    loss = any("loss" in str(part) for part in place)
    low = -_LARGEST if place[-1] in _MAY_BE_NEGATIVE else -_ROUNDING if loss else 0
    if not low <= number <= _LARGEST:
        expected = "at least 0" if number < low else "a smaller number"
        raise _error(path, place, expected, str(number))


def _require_all(made: Any, values: Any, place: Sequence[object], path: Path | str) -> None:
    """Check that no field is missing; the default of its class would hide that it was lost."""
    if isinstance(made, tuple) and isinstance(values, list):
        for number, (one, value) in enumerate(zip(made, values, strict=False)):
            _require_all(one, value, (*place, number), path)
    elif dataclasses.is_dataclass(made):
        for field in dataclasses.fields(made):
            if field.name not in values:
                if field.metadata.get(OPTIONAL):
                    continue
                raise _error(path, (*place, field.name), "a value", "nothing")
            _require_all(getattr(made, field.name), values[field.name], (*place, field.name), path)


def _check_named_tuples(
    values: Mapping[str, Any], place: Sequence[object], path: Path | str
) -> None:
    """Check that named tuples are lists, since pydantic also reads them from objects."""
    for name in ("mistakes", "calibration"):
        for number, value in enumerate(values.get(name, ())):
            if not isinstance(value, list):
                raise _error(path, (*place, name, number), "a list", shorten(value))


def _check_recipe_and_budget(values: Mapping[str, Any], path: Path | str) -> None:
    for name, kind, restore in (
        ("recipe", Recipe, recipe_from_json),
        ("budget", Budget, budget_from_json),
    ):
        fields = values.get(name)
        if fields is None:
            continue
        known = kind().to_dict().keys()
        optional = {one.name for one in dataclasses.fields(kind) if one.metadata.get(OPTIONAL)}
        for field in sorted((fields.keys() ^ known) - optional):
            found = ("a value", "nothing") if field in known else ("no such key", "one")
            raise _error(path, (name, field), *found)
        try:
            # In a tuple, since a configuration is not given to a class by itself.
            _validate(tuple[kind], [fields], path, name)  # type: ignore[valid-type]
            restore(fields)
        except NetletError as error:
            if isinstance(error, DamagedRecordError):
                raise
            raise DamagedRecordError(f"{path}: {name}: {error}; {REMEDY}") from error


def _error(
    path: Path | str, place: Sequence[object], expected: str, found: str
) -> DamagedRecordError:
    return DamagedRecordError(
        f"{path}: {_format_place(place)}: expected {expected}, found {found}; {REMEDY}"
    )
