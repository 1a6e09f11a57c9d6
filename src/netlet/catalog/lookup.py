"""Recipes and budgets by name: the general ones, and those of single experiments."""

from __future__ import annotations

from netlet.budgets import GENERAL_BUDGETS, OLD_BUDGET_NAMES, Budget, is_budget_file, load_budget
from netlet.catalog.definitions import DEFINITIONS
from netlet.errors import BudgetError, RecipeError, check_type, did_you_mean
from netlet.recipes import GENERAL_RECIPES, Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (*GENERAL_RECIPES, *(definition.recipe for definition in DEFINITIONS))
}
BUDGETS: dict[str, Budget] = {
    budget.name: budget
    for budget in (*GENERAL_BUDGETS, *(definition.budget for definition in DEFINITIONS))
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        RecipeError: There is none; the message lists all recipes.
    """
    check_type(name, str, "the name of a recipe", "a name like 'steady'")
    if name in RECIPES:
        return RECIPES[name]
    raise RecipeError(
        f"no recipe {name!r}; {did_you_mean(name, RECIPES)}choose one of {', '.join(RECIPES)}"
    )


def find_budget(name: str) -> Budget:
    """Return the budget of a name, or the one in a TOML file.

    Args:
        name: Of a budget, or the path of a file that ends in ``.toml``.

    Raises:
        BudgetError: There is none, or the file is refused; the message lists all budgets.
    """
    check_type(name, str, "the name of a budget", "a name like 'document_004'")
    if is_budget_file(name):
        return load_budget(name)
    name = OLD_BUDGET_NAMES.get(name, name)
    if name in BUDGETS:
        return BUDGETS[name]
    raise BudgetError(
        f"no budget {name!r}; {did_you_mean(name, BUDGETS)}choose one of {', '.join(BUDGETS)}, "
        "or name a TOML file"
    )
