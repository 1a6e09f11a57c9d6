"""Turn the text of options into values: image shapes, changed recipes, other limits."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from netlet import catalog, recipes
from netlet.budgets import Budget
from netlet.errors import BudgetError, NetError, RecipeError
from netlet.files import safe_name
from netlet.recipes import Recipe
from netlet.worker_server import worker_context

if TYPE_CHECKING:
    from netlet.experiments import Experiment

MAX_IMAGE_VALUES = 1 << 19  # a net's feature maps take a multiple of it
_MAX_RANK = 4  # of the input of somebody's net
_LIMIT_PAIRS = {
    "epochs_at_most": "epochs_below",
    "epochs_below": "epochs_at_most",
    "accuracy_at_least": "accuracy_above",
    "accuracy_above": "accuracy_at_least",
}


def parse_shape(text: str) -> tuple[int, ...]:
    """Parse ``1,28,28``.

    Raises:
        NetError: The text is not a list of positive whole numbers, or such an image is too large.
    """
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not 2 <= len(sizes) <= _MAX_RANK or min(sizes) < 1:
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        raise NetError(
            f"--input {shown!r} is not a shape; write channels, height, width, like 1,28,28"
        )
    if prod(sizes) > MAX_IMAGE_VALUES:
        raise NetError(
            f"--input {text!r} has more than {MAX_IMAGE_VALUES:,} values; name a smaller image"
        )
    return sizes


def apply_limits(budget: Budget, limits: dict[str, Any]) -> Budget:
    """Return a budget with some of its limits replaced, and rules on layers added to its own.

    A limit also replaces its counterpart: ``accuracy_at_least`` takes the place of
    ``accuracy_above``.

    Args:
        budget: The budget to start from.
        limits: The new limits and rules by field name; None and empty tuples are ignored.

    Raises:
        BudgetError: A limit and its counterpart are both given, or rules contradict each other.
    """
    given = {name: value for name, value in limits.items() if value not in (None, ())}
    both = [name for name in given if _LIMIT_PAIRS.get(name) in given]
    if both:
        flags = " and ".join("--" + name.replace("_", "-") for name in both)
        raise BudgetError(f"{flags} cannot be combined; pass only one")
    cleared = {_LIMIT_PAIRS[name]: None for name in given if name in _LIMIT_PAIRS}
    for name in given.keys() & {"forbids", "requires"}:
        given[name] = tuple(dict.fromkeys((*getattr(budget, name), *given[name])))
    return budget.replace(**cleared, **given) if given else budget


def apply_settings(recipe: Recipe, settings: list[str]) -> Recipe:
    """Return a recipe with ``key=value`` settings applied, each value parsed as its field's type.

    ``augment`` takes the name of an augmentation; ``augment.rotate_deg`` changes that field of the
    recipe's own augmentation. The name of the new recipe lists the settings.

    Raises:
        RecipeError: A setting has no ``=``, names no field, or its value has the wrong type or is
            out of range.
    """
    values = dict[str, str]()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting!r} has no '='; write key=value, like epochs=5")
        values[key.strip()] = text.strip()
    if not values:
        return recipe
    changed = recipes.change_settings(recipe, values)
    listed = ", ".join(
        f"{key}={text if key.partition('.')[0] == recipes.AUGMENT else getattr(changed, key)}"
        for key, text in recipes.upgrade_recipe(values).items()
    )
    return changed.replace(name=f"{recipe.name} with {listed}")


def prepare_workers(on: str | None) -> None:
    """Begin to import what worker processes need, while this process imports the same.

    Args:
        on: The value of ``--on``.
    """
    if on in (None, "local"):
        # Each worker imports the main module, too, which is the command line.
        worker_context("netlet.cli", "netlet.experiments.execution.task")


def safe_folder_name(name: str) -> str:
    """Return a run's name as the name of a folder: letters, digits, dots, dashes, underscores.

    Raises:
        NetError: Nothing of the name is left.
    """
    safe = safe_name(name)
    if not safe:
        raise NetError(f"{name!r} has no letter or digit for the name of a folder; pass --out")
    return safe


def configure_experiment(
    net: str | None,
    recipe: str | None,
    budget: str | Budget | None,
    settings: list[str] | None,
    epochs: int | None = None,
    accuracy_at_least: float | None = None,
    judge: str | None = None,
) -> Experiment:
    """Return the experiment that a command's options describe.

    Args:
        net: An experiment or a net; None is the default experiment.
        recipe: The name of another recipe than the experiment's own.
        budget: Another budget than the experiment's own, or its name.
        settings: Changes of the recipe, ``key=value``.
        epochs: The number of epochs, instead of the recipe's.
        accuracy_at_least: Test accuracy in percent to require instead of the budget's, on whatever
            data set is trained on.
        judge: The split whose accuracy the budget judges, test or val, instead of the budget's.

    Raises:
        NetletError: One of the names is unknown, or a setting is out of range.
    """
    # Before torch is imported, so that a typo is answered at once.
    other_recipe = catalog.find_recipe(recipe) if recipe else None
    other_budget = catalog.find_budget(budget) if isinstance(budget, str) else budget

    from netlet.experiments import DEFAULT, find_experiment

    experiment = find_experiment(net or DEFAULT).replace(recipe=other_recipe, budget=other_budget)
    judged_by = experiment.budget
    if accuracy_at_least is not None:
        judged_by = apply_limits(
            judged_by.replace(
                name=f"{judged_by.name} with at least {accuracy_at_least:g}%", dataset=None
            ),
            {"accuracy_at_least": accuracy_at_least},
        )
    if judge and judge != judged_by.judged_on:
        judged_by = judged_by.replace(name=f"{judged_by.name} on {judge}", judged_on=str(judge))
    changes = [*(settings or []), *([f"epochs={epochs}"] if epochs else [])]
    return experiment.replace(recipe=apply_settings(experiment.recipe, changes), budget=judged_by)
