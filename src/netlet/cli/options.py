"""Options that several verbs share, and how their text becomes values."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any

import typer

from netlet.budgets import Budget
from netlet.errors import BudgetError, NetError, RecipeError
from netlet.recipes import AUGMENTS, Recipe, Warp

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Input = Annotated[str, typer.Option("--input", metavar="C,H,W", help="Shape of one image.")]
Classes = Annotated[
    int | None,
    typer.Option("--classes", metavar="K", min=2, help="Of a net that takes any number."),
]
Val = Annotated[
    int,
    typer.Option(
        "--val", metavar="N", min=0, help="Score N images held out of train instead of test."
    ),
]
FirstSeed = Annotated[int, typer.Option("--first-seed", metavar="S", min=0, help="S, S+1, ...")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="Processes; one for each core if not given."
    ),
]
WorkerThreads = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, help="CPU threads of each.")
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="Another recipe of ours.")
]
BudgetName = Annotated[
    str | None, typer.Option("--budget", metavar="NAME", help="Another budget of ours.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, like epochs=5."),
]

_LIMIT_PAIRS = {
    "epochs_at_most": "epochs_below",
    "epochs_below": "epochs_at_most",
    "accuracy_at_least": "accuracy_above",
    "accuracy_above": "accuracy_at_least",
}


def shape(text: str) -> tuple[int, ...]:
    """``1,28,28`` as numbers.

    Raises:
        NetError: It is something else.
    """
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes) < 1:
        raise NetError(f"--input {text!r} is no shape; write channels, height, width, like 1,28,28")
    return sizes


def limited(budget: Budget, limits: dict[str, Any]) -> Budget:
    """A budget with those limits that were given (not None, not empty) in place of its own.

    A limit replaces its other strictness: ``accuracy_at_least`` takes the place of
    ``accuracy_above``.
    """
    given = {name: value for name, value in limits.items() if value not in (None, ())}
    both = [name for name in given if _LIMIT_PAIRS.get(name) in given]
    if both:
        flags = " and ".join("--" + name.replace("_", "-") for name in both)
        raise BudgetError(f"{flags} exclude each other; keep one")
    freed = {_LIMIT_PAIRS[name]: None for name in given if name in _LIMIT_PAIRS}
    return budget.replace(**freed, **given) if given else budget


def overridden(recipe: Recipe, settings: list[str]) -> Recipe:
    """A recipe with ``key=value`` settings applied, each value read as its field's type.

    ``augment`` takes the name of an augmentation; ``augment.rotate_deg`` changes that field of the
    recipe's own.

    Raises:
        RecipeError: No ``=``, no such field, or a value that its type or range refuses.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting!r} has no '='; write key=value, like epochs=5")
        recipe = _set(recipe, key.strip(), text.strip())
    # A changed recipe must not pass for the named one in a list of runs.
    return recipe.replace(name=f"{recipe.name} (changed)") if settings else recipe


def _set(recipe: Recipe, key: str, text: str) -> Recipe:
    if key == "augment":
        if text not in AUGMENTS:
            raise RecipeError(f"augment={text!r} is not known; choose one of {', '.join(AUGMENTS)}")
        return recipe.replace(augment=AUGMENTS[text])
    if key.startswith("augment."):
        if not recipe.augment:
            raise RecipeError(
                f"{key}: recipe {recipe.name} has no augmentation to change; set augment=light first"
            )
        field = key.removeprefix("augment.")
        value = _typed(Warp, field, text)
        return recipe.replace(
            augment=tuple(dataclasses.replace(op, **{field: value}) for op in recipe.augment)
        )
    if key not in {field.name for field in dataclasses.fields(Recipe)}:
        recipe.replace(**{key: text})  # says what there is
    return recipe.replace(**{key: _typed(Recipe, key, text)})


def _typed(owner: type, name: str, text: str) -> Any:
    hints = typing.get_type_hints(owner)
    if name not in hints:
        raise RecipeError(f"augment has no field {name!r}; it has: {', '.join(hints)}")
    hint = hints[name]
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in options and text.lower() == "none":
        return None
    kind = next(option for option in options if option is not type(None))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise RecipeError(f"{name}={text!r} is not true or false")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            whole = "a whole number" if kind is int else "a number"
            raise RecipeError(f"{name}={text!r} is not {whole}") from error
    return text
