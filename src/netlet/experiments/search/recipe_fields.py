"""Put the values that a search chose into a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from netlet.errors import RecipeError, did_you_mean
from netlet.experiments.search.ranges import Field, Value
from netlet.recipes import AUGMENTS, Recipe, Warp, upgrade_recipe
from netlet.records import to_json_value
from netlet.training.teacher import check_teacher

AUGMENT = "augment"  # takes the name of an augmentation; augment.rotate_deg is a field of it


def change_recipe(recipe: Recipe, values: Mapping[str, Value]) -> dict[str, Any]:
    """Return the changes of a recipe, as JSON stores them.

    Args:
        recipe: The recipe to start from.
        values: New values by field name. ``augment`` is the name of an augmentation,
            ``augment.rotate_deg`` a field of it, and a ``dropout`` of ``"none"`` keeps the net's
            own rates.

    Returns:
        The changed fields of :class:`~netlet.recipes.Recipe`.

    Raises:
        RecipeError: A field does not exist, or its value is out of range; or there is no such
            teacher.
    """
    changes: dict[str, Any] = {}
    warps = recipe.augment
    if AUGMENT in values:
        name = values[AUGMENT]
        if name not in AUGMENTS:
            raise RecipeError(
                f"augment={name!r} is unknown; {did_you_mean(str(name), AUGMENTS)}choose one of "
                f"{', '.join(AUGMENTS)}"
            )
        changes[AUGMENT] = warps = AUGMENTS[str(name)]
    for name, value in values.items():
        if name.startswith(f"{AUGMENT}."):
            changes[AUGMENT] = warps = _change_warps(warps, name, value)
        elif name != AUGMENT:
            changes[name] = None if (name, value) == ("dropout", "none") else value
    new = recipe.replace(**changes)
    check_teacher(new)
    changed = to_json_value(dataclasses.asdict(new))  # defaults, too
    return {name: changed[name] for name in upgrade_recipe(changes)}


def settle_fields(fields: tuple[Field, ...], chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of fields, their factors included.

    Args:
        fields: The fields.
        chosen: What was chosen from the range of each, by its name.
    """
    return {field.name: field.settle(chosen[field.name], chosen) for field in fields}


def _change_warps(warps: tuple[Warp, ...], name: str, value: Value) -> tuple[Warp, ...]:
    field = name.removeprefix(f"{AUGMENT}.")
    known = [one.name for one in dataclasses.fields(Warp)]
    if field not in known:
        raise RecipeError(
            f"augment has no setting {field!r}; {did_you_mean(field, known)}choose one of "
            f"{', '.join(known)}"
        )
    changes: dict[str, Any] = {field: value}
    return tuple(dataclasses.replace(warp, **changes) for warp in warps or (Warp(),))
