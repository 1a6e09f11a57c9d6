"""Change the settings of a recipe, as a user writes them: on a command line, in TOML or in JSON."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from netlet.errors import RecipeError, did_you_mean
from netlet.recipes.field_checks import refuse_several_numbers
from netlet.recipes.named import AUGMENTS
from netlet.recipes.old_names import upgrade_recipe, warn_of_old_names
from netlet.recipes.recipe import Recipe
from netlet.recipes.warp import Warp

AUGMENT = "augment"


def change_settings(recipe: Recipe, settings: Mapping[str, object]) -> Recipe:
    """Return a recipe with some settings changed.

    Args:
        recipe: The recipe to start from.
        settings: New values by name. Text is read as a value of the setting's type, ``"none"`` as
            None where that is one. ``augment`` takes the name of an augmentation, or the settings
            of its transforms by name, with ``start`` as the augmentation to start from;
            ``augment.rotate_deg`` is one of these settings. If there is no transform yet, they make
            one.

    Raises:
        RecipeError: There is no such setting, or its value has the wrong type or is out of range.
    """
    warn_of_old_names(settings)
    changes, of_warps = dict[str, Any](), dict[str, Any]()
    for name, value in upgrade_recipe(settings).items():
        if name == AUGMENT and isinstance(value, Mapping):
            of_warps |= value
        elif name.startswith(f"{AUGMENT}."):
            of_warps[name.removeprefix(f"{AUGMENT}.")] = value
        elif name == AUGMENT:
            changes[AUGMENT] = _find_augmentation(value)
        else:
            changes[name] = _read(Recipe, name, value)
    if "start" in of_warps:
        changes[AUGMENT] = _find_augmentation(of_warps.pop("start"))
    if of_warps:
        warps = changes.get(AUGMENT, recipe.augment) or (Warp(),)
        values = {name: _read_of_warp(name, value) for name, value in of_warps.items()}
        changes[AUGMENT] = tuple(dataclasses.replace(warp, **values) for warp in warps)
    return recipe.replace(**changes)


def _find_augmentation(name: object) -> tuple[Warp, ...]:
    if isinstance(name, str) and name in AUGMENTS:
        return AUGMENTS[name]
    similar = did_you_mean(name, AUGMENTS) if isinstance(name, str) else ""
    raise RecipeError(
        f"{AUGMENT}={name!r} is unknown; {similar}choose one of {', '.join(AUGMENTS)}"
    )


def _read_of_warp(name: str, value: object) -> Any:
    known = [field.name for field in dataclasses.fields(Warp)]
    if name not in known:
        raise RecipeError(
            f"{AUGMENT} has no setting {name!r}; {did_you_mean(name, known)}choose one of "
            f"{', '.join(known)}"
        )
    return _read(Warp, name, value)


def _read(owner: type, name: str, value: object) -> Any:
    """Return a setting's value: text as the type of the setting, all else as it is."""
    hint = typing.get_type_hints(owner).get(name)
    if not isinstance(value, str) or hint is None:  # the owner refuses a setting without a type
        return value
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in options and value.lower() == "none":
        return None
    kind = next(option for option in options if option is not type(None))
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise RecipeError(f"{name}={value!r} is not true or false; give one of them")
        return value.lower() == "true"
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError as error:
            refuse_several_numbers(name, value)
            whole, example = ("a whole number", 5) if kind is int else ("a number", 0.5)
            raise RecipeError(
                f"{name}={value!r} is not {whole}; give one like {example}"
            ) from error
    return value
