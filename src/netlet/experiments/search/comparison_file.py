"""Comparisons as TOML files: a search file with ``[[arm]]`` tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlet.budgets import Budget
from netlet.errors import RecipeError, SearchError, did_you_mean
from netlet.experiments.search.comparison import DROP_BELOW, RUNS, Arm, Comparison
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
from netlet.experiments.search.file_values import check_keys, read_text, read_whole
from netlet.experiments.search.ranges import Choices, parse_field
from netlet.experiments.search.recipe_fields import change_recipe
from netlet.experiments.search.space import FOLDS
from netlet.files import safe_name
from netlet.recipes import AUGMENT, Recipe, recipe_from_json
from netlet.records import to_json_value
from netlet.toml_files import fail, show_value

_KEYS = (*COMMON_KEYS, "arm", "baseline", "runs", "drop_below", "first_seed")
_ARM_KEYS = ("name", "net", "shape", "recipe", "epochs", "set")
_MAX_ARMS, _MAX_RUNS, _MAX_SEED = 1_000, 10_000, 2**62


def read_comparison(values: Mapping[str, Any], path: Path) -> Comparison:
    """Return the comparison in a TOML file.

    Args:
        values: The content of the file.
        path: The path of the file.

    Raises:
        WrongValueError: A key is unknown, or a value is invalid.
    """
    check_keys(values, _KEYS)
    name = safe_name(path.stem) or "comparison"
    budget = read_budget(values, path.parent, name)
    recipe = read_recipe(values)
    tables = values["arm"]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        fail("arm is not a list of tables; write [[arm]] above each arm", "arm")
    if not 2 <= len(tables) <= _MAX_ARMS:
        fail(f"has {len(tables):,} arms; write 2 to {_MAX_ARMS:,}", "arm", 0)
    arms = tuple(
        _read_arm(table, number, recipe, budget, path.parent) for number, table in enumerate(tables)
    )
    names = [arm.name for arm in arms]
    for number, one in enumerate(names):
        if one in names[:number]:
            fail(f"two arms are called {one!r}; give each its own name", "arm", number, "name")
    baseline = read_text(values, "baseline", names[0])
    if baseline not in names:
        hint = did_you_mean(baseline, names)
        known = ", ".join(names)
        fail(f"baseline {baseline!r} is not an arm; {hint}choose one of {known}", "baseline")
    return Comparison(
        name=name,
        title=read_text(values, "title", ""),
        dataset=read_dataset(values, path.parent),
        folds=read_whole(values, "folds", FOLDS, 2, MAX_FOLDS),
        budget=budget,
        arms=arms,
        baseline=baseline,
        runs=_read_runs(values),
        drop_below=_read_drop(values),
        first_seed=read_whole(values, "first_seed", 0, 0, _MAX_SEED),
    )


def _read_arm(
    table: Mapping[str, Any], number: int, start: Recipe, budget: Budget | None, folder: Path
) -> Arm:
    place = ("arm", number)
    check_keys(table, _ARM_KEYS, *place)
    name, net, shape = (
        " ".join(read_text(table, key, "", *place).split()) for key in ("name", "net", "shape")
    )
    if not name:
        fail('an arm has no name; add name = "..."', *place)
    if bool(net) == bool(shape):
        what = "both a net and a shape; keep one" if net else "no net; add net or shape"
        fail(f"arm {name!r} has {what}", *place)
    if shape:
        check_shape(shape, budget, *place, "shape")
    recipe = read_recipe(table, *place, default=start)
    changes = _read_changes(table, recipe, *place)
    check_epochs(budget, recipe_from_json(to_json_value(recipe) | changes), *place)
    return Arm(
        name=name,
        net=locate_net(net, folder) if net else "",
        shape=shape,
        recipe=recipe.name,
        changes=changes,
        epochs=recipe.epochs,
    )


def _read_changes(table: Mapping[str, Any], recipe: Recipe, *place: str | int) -> dict[str, Any]:
    """Return the changes of an arm to its recipe; ``augment`` takes a name or a table."""
    changes = table.get("set", {})
    if not isinstance(changes, dict):
        fail(
            f"set is {show_value(changes)}; write a table like {{ peak_lr = 0.01 }}", *place, "set"
        )
    if "epochs" in changes:
        fail("epochs is a key of the arm; write it outside of set", *place, "set")
    flat: dict[str, Any] = {}
    for key, value in changes.items():
        if isinstance(value, dict):  # augment.rotate_deg = 9, from augment.start if it is given
            inner = dict(value)
            if key == AUGMENT and "start" in inner:
                flat[key] = inner.pop("start")
            flat |= {f"{key}.{name}": one for name, one in inner.items()}
        else:
            flat[key] = value
    try:
        fields = [parse_field(key, value) for key, value in flat.items()]
        values = {}
        for field in fields:
            if not isinstance(field.range, Choices) or len(field.range.values) > 1:
                raise SearchError(f"{field.name}: an arm has one value; write one arm for each")
            (values[field.name],) = field.range.values
        return change_recipe(recipe, values)
    except (SearchError, RecipeError) as error:
        fail(str(error), *place, "set")


def _read_runs(values: Mapping[str, Any]) -> tuple[int, ...]:
    runs = values.get("runs", list(RUNS))
    whole = isinstance(runs, list) and runs and all(type(one) is int for one in runs)
    if not whole or runs != sorted(set(runs)) or not 1 <= runs[0] <= runs[-1] <= _MAX_RUNS:
        fail(
            f"runs is {show_value(runs)}; write ascending numbers of runs of each arm, like "
            f"runs = {list(RUNS)}",
            "runs",
        )
    return tuple(runs)


def _read_drop(values: Mapping[str, Any]) -> float:
    drop = values.get("drop_below", DROP_BELOW)
    if isinstance(drop, bool) or not isinstance(drop, int | float) or not 0 <= drop <= 100:
        fail(
            f"drop_below is {show_value(drop)}; write percentage points behind the best arm, like "
            f"{DROP_BELOW}",
            "drop_below",
        )
    return float(drop)
