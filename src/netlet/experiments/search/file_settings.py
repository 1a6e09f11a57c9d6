"""Read what the files of all searches share: recipe, budget, data set and nets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlet.budgets import Budget, is_budget_file, load_budget, read_budget_table
from netlet.catalog import find_budget, find_recipe
from netlet.errors import BudgetError, NetletError, RecipeError, SearchError
from netlet.experiments.search.file_values import read_text, read_whole
from netlet.experiments.search.fitting import SIZE_LIMITS, read_shape
from netlet.experiments.search.space import resolve_dataset
from netlet.nets import find_net, is_file_address, is_notation, is_user_code
from netlet.recipes import Recipe
from netlet.text import join_address, split_address
from netlet.toml_files import WrongValueError, fail, show_value

COMMON_KEYS = ("title", "dataset", "folds", "budget", "recipe", "epochs")
MAX_FOLDS, _MAX_EPOCHS = 1_000, 100_000


def read_recipe(
    values: Mapping[str, Any], *place: str | int, default: Recipe | None = None
) -> Recipe:
    """Return the recipe to start from, with the epochs of a trial.

    Args:
        values: A table with the keys ``recipe`` and ``epochs``, which may be missing.
        place: The keys that lead to the table.
        default: The recipe without these keys; None: ``steady``.
    """
    recipe = default
    if "recipe" in values or recipe is None:
        try:
            recipe = find_recipe(read_text(values, "recipe", "steady", *place))
        except RecipeError as error:
            fail(str(error), *place, "recipe")
    epochs = read_whole(values, "epochs", recipe.epochs, 1, _MAX_EPOCHS, *place)
    return recipe.replace(epochs=epochs)


def read_budget(values: Mapping[str, Any], folder: Path, name: str) -> Budget | None:
    """Return the budget that a name, a file beside the search file, or a table means."""
    given = values.get("budget")
    if given is None:
        return None
    if not isinstance(given, str | dict) or not given:
        fail(
            f"budget is {show_value(given)}; write a name, the path of a TOML file, or a table "
            "like { params_below = 8_000 }",
            "budget",
        )
    try:
        if isinstance(given, dict):
            return read_budget_table(given, name)
        return load_budget(folder / given) if is_budget_file(given) else find_budget(given)
    except WrongValueError as error:
        fail(str(error), "budget", *error.keys, quoted=error.quoted)
    except BudgetError as error:
        fail(str(error), "budget")


def check_epochs(budget: Budget | None, recipe: Recipe, *place: str | int) -> None:
    """Refuse epochs that the budget does not allow."""
    if budget is None:
        return
    most = budget.most_epochs
    if most is not None and recipe.total_epochs > most:
        fail(
            f"epochs is {recipe.epochs}, but the {budget.label} allows {most}; write "
            f"epochs = {most}"
            if recipe.random_starts == 1
            else f"together with its {recipe.random_starts} random starts, the training has "
            f"{recipe.total_epochs} epochs, but the {budget.label} allows {most}; lower "
            "epochs, random_starts or random_start_epochs",
            *place,
            "epochs",
        )


def read_dataset(values: Mapping[str, Any], folder: Path) -> str:
    """Return the name or the full path of the data set."""
    try:
        return resolve_dataset(read_text(values, "dataset", "mnist"), folder)
    except SearchError as error:
        fail(str(error), "dataset")


def locate_net(net: str, folder: Path) -> str:
    """Return a net's name; one in a file of a user is looked for beside the search file."""
    place, name = split_address(net)
    if not is_user_code(net) or not is_file_address(place):
        return net
    return join_address(str(folder / place), name)


def check_shape(shape: str, budget: Budget | None, *place: str | int) -> None:
    """Check that a shape can be widened until it fills the budget.

    Args:
        shape: A net in one line with ratios instead of widths.
        budget: The budget.
        place: The keys that lead to the shape.
    """
    if budget is None or all(getattr(budget, limit) is None for limit in SIZE_LIMITS):
        fail(
            "shapes are widened until they fill a budget; add one with a limit on size, like "
            "budget = { params_below = 8_000 }",
            *(("budget",) if budget else place),
        )
    net = re.sub(r"\d+\.\d+", "1", shape)
    if not is_notation(net):
        fail(
            f"{shape!r} is not a net in one line; write ratios of widths like '1 d1.7 P d2.4 d2.8'",
            *place,
            quoted=shape,
        )
    try:
        find_net(net)
        read_shape(shape)
    except NetletError as error:
        fail(str(error), *place, quoted=shape)
