"""Put the values that a search chose into a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from netlet.experiments.search.ranges import Field, Value
from netlet.recipes import Recipe, change_settings, upgrade_recipe
from netlet.records import to_json_value
from netlet.training.teacher import check_teacher


def change_recipe(recipe: Recipe, values: Mapping[str, Value]) -> dict[str, Any]:
    """Return the changes of a recipe, as JSON stores them.

    Args:
        recipe: The recipe to start from.
        values: New values by name, as :func:`~netlet.recipes.change_settings` takes them. A
            ``dropout`` of ``"none"`` keeps the net's own rates.

    Returns:
        The changed fields of :class:`~netlet.recipes.Recipe`.

    Raises:
        RecipeError: A field does not exist, or its value is out of range; or there is no such
            teacher.
    """
    new = change_settings(recipe, values)
    check_teacher(new)
    changed = to_json_value(dataclasses.asdict(new))  # defaults, too
    names = upgrade_recipe(dict.fromkeys(name.partition(".")[0] for name in values))
    return {name: changed[name] for name in names}


def settle_fields(fields: tuple[Field, ...], chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of fields, their factors included.

    Args:
        fields: The fields.
        chosen: What was chosen from the range of each, by its name.
    """
    return {field.name: field.settle(chosen[field.name], chosen) for field in fields}
