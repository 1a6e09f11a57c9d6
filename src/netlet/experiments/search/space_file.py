"""Searches as TOML files: the spaces that come with netlet, and those that a person writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netlet.errors import RecipeError, SearchError, did_you_mean
from netlet.experiments.search.comparison import Comparison
from netlet.experiments.search.comparison_file import read_comparison
from netlet.experiments.search.file_settings import (
    COMMON_KEYS,
    MAX_FOLDS,
    check_epochs,
    check_shape,
    locate_net,
    read_budget,
    read_dataset,
    read_recipe,
)
from netlet.experiments.search.file_values import (
    check_keys,
    read_text,
    read_texts,
    read_whole,
)
from netlet.experiments.search.ranges import Field, Value, parse_field
from netlet.experiments.search.recipe_fields import change_recipe
from netlet.experiments.search.space import FOLDS, KEEP, Space, default_rungs
from netlet.files import safe_name
from netlet.recipes import AUGMENT, Recipe
from netlet.toml_files import fail, read_toml, show_value

_FOLDER = Path(__file__).parent / "spaces"
SPACES: Mapping[str, Path] = {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}
_MAX_BYTES = 1 << 18
_EXAMPLE = "see docs/searching.md for an example"
_KEYS = (
    *COMMON_KEYS,
    "nets",
    "shapes",
    "vary",
    "rungs",
    "keep",
)


def find_search(name: str) -> Space | Comparison:
    """Return a search space that comes with netlet, or the search in a TOML file.

    Raises:
        SearchError: There is none of that name, or the file is refused, with its line.
    """
    if name in SPACES:
        return load_search(SPACES[name])
    if name.lower().endswith(".toml"):
        return load_search(Path(name))
    raise SearchError(
        f"no search space {name!r}; {did_you_mean(name, SPACES)}choose one of {', '.join(SPACES)}, "
        "or name a TOML file"
    )


def load_search(path: Path) -> Space | Comparison:
    """Return the search in a TOML file: a comparison if it has arms, else a space.

    Args:
        path: The path of the file. What it names by a path lies in its folder.

    Raises:
        SearchError: There is no such file, it is not TOML, a key is unknown, a value is invalid, or
            two of them contradict each other. The message names the line.
    """
    file = read_toml(path, _MAX_BYTES, SearchError, _EXAMPLE)
    with file.naming_lines():
        read = read_comparison if "arm" in file.values else _read_space
        return read(file.values, path)


def _read_space(values: Mapping[str, Any], path: Path) -> Space:
    check_keys(values, _KEYS)
    name = safe_name(path.stem) or "search"
    recipe = read_recipe(values)
    budget = read_budget(values, path.parent, name)
    fields = _read_fields(values, recipe)
    check_epochs(budget, _with_most_starts(recipe, fields))
    nets, shapes = (read_texts(values, key) for key in ("nets", "shapes"))
    if bool(nets) == bool(shapes):
        what = "both nets and shapes; keep one" if nets else "neither nets nor shapes; add nets"
        fail(f'has {what}, like nets = ["8 8 P 12 14 16 16"]', "shapes")
    for shape in shapes:
        check_shape(shape, budget, "shapes")
    return Space(
        name=name,
        title=read_text(values, "title", ""),
        dataset=read_dataset(values, path.parent),
        folds=read_whole(values, "folds", FOLDS, 2, MAX_FOLDS),
        budget=budget,
        recipe=recipe.name,
        epochs=recipe.epochs,
        candidates=tuple(locate_net(net, path.parent) for net in nets),
        shapes=shapes,
        fields=fields,
        rungs=_read_rungs(values, recipe.epochs),
        keep=_read_keep(values),
    )


def _with_most_starts(recipe: Recipe, fields: Sequence[Field]) -> Recipe:
    """Return a recipe with the most random starts, and the longest, that the fields allow."""
    most = {
        field.name: max(int(value or recipe.epochs) for value in field.range.extremes)
        for field in fields
        if field.name in ("random_starts", "random_start_epochs")
    }
    return recipe.replace(**most)


def _read_fields(values: Mapping[str, Any], recipe: Recipe) -> tuple[Field, ...]:
    """Return the fields under ``[vary]``, after the recipe has accepted their values."""
    table = values.get("vary", {})
    if not isinstance(table, dict):
        fail(f"vary is {show_value(table)}; write a table [vary] of settings of the recipe", "vary")
    if "epochs" in table:
        fail("epochs cannot vary; write epochs = 15 at the top of the file", "vary", "epochs")
    fields: list[Field] = []
    for name, value in table.items():
        if name == AUGMENT and isinstance(value, dict):
            fields += _read_augmentation(value)
        else:
            fields.append(_read_field(name, value, "vary", name))
    first = {field.name: _first_value(field) for field in fields}
    for field in fields:
        for value in field.extremes():
            try:
                change_recipe(recipe, {**first, field.name: value})
            except RecipeError as error:
                wrong = _find_field(str(error), fields) or field
                fail(str(error), *_place(wrong))
    by_name = {field.name: field for field in fields}
    for field in fields:
        _check_factors(field, by_name)
    return tuple(fields)


def _place(field: Field) -> tuple[str, ...]:
    """Return the keys that lead to a field."""
    start = ("start",) if field.name == AUGMENT else ()  # if there is a table [vary.augment]
    return ("vary", *field.name.split("."), *start)


def _find_field(message: str, fields: list[Field]) -> Field | None:
    """Return the field that the error of a recipe names, if it does."""
    for field in fields:
        name = field.name.rpartition(".")[2]
        if message.startswith(f"{name}=") or f"no setting {name!r}" in message:
            return field
    return None


def _read_augmentation(table: Mapping[str, Any]) -> list[Field]:
    """Return the fields under ``[vary.augment]``; ``start`` is the augmentation to change."""
    return [
        _read_field(
            AUGMENT if name == "start" else f"{AUGMENT}.{name}", value, "vary", AUGMENT, name
        )
        for name, value in table.items()
    ]


def _read_field(name: str, value: object, *keys: str) -> Field:
    try:
        return parse_field(name, value)
    except SearchError as error:
        inner = value if isinstance(value, dict) else {}
        named = [key for key in inner if re.search(rf"\b{re.escape(key)}\b", str(error))]
        fail(str(error), *keys, *named[:1])


def _check_factors(field: Field, fields: Mapping[str, Field]) -> None:
    """Check that a field has a factor for each value of the fields that it depends on."""
    for other, factors in field.times.items():
        keys = ("vary", *field.name.split("."), "times", other)
        if other not in fields or other == field.name:
            fail(
                f"{field.name}: times.{other} is not a field under [vary]; "
                f"{did_you_mean(other, fields)}vary it too, or drop the factors",
                *keys,
            )
        if missing := [
            value for value in map(str, fields[other].range.extremes) if value not in factors
        ]:
            fail(
                f"{field.name}: times.{other} has no factor for {missing[0]!r}; add {missing[0]} = "
                "1.0",
                *keys,
            )


def _first_value(field: Field) -> Value:
    return field.extremes()[0]


def _read_rungs(values: Mapping[str, Any], epochs: int) -> tuple[int, ...]:
    rungs = values.get("rungs")
    if rungs is None:
        return default_rungs(epochs)
    whole = isinstance(rungs, list) and all(type(rung) is int for rung in rungs)
    if not whole or rungs != sorted(set(rungs)) or any(not 0 < rung < epochs for rung in rungs):
        fail(
            f"rungs is {show_value(rungs)}; write ascending epochs before the last one, {epochs}, "
            f"like rungs = {list(default_rungs(epochs))}, or [] to stop no trial",
            "rungs",
        )
    return tuple(rungs)


def _read_keep(values: Mapping[str, Any]) -> float:
    keep = values.get("keep", KEEP)
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        fail(
            f"keep is {show_value(keep)}; write the share of trials that continues, above 0 and at "
            "most 1, like 0.5",
            "keep",
        )
    return float(keep)
