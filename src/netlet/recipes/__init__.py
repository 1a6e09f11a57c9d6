"""Recipes: how to train, apart from the net, the data and the seed; plain values, no torch."""

from netlet.recipes.epochs import count_epochs, describe_epochs
from netlet.recipes.named import (
    AUGMENTS,
    FRONTIER,
    FRONTIER_TINY,
    GENERAL_RECIPES,
    PLAIN,
    QUICK,
    SPRINT,
    STEADY,
    STEADY_14,
)
from netlet.recipes.old_names import upgrade_recipe, warn_of_old_names
from netlet.recipes.recipe import (
    MAX_EPOCHS,
    Averaging,
    BackendChoice,
    CatalogRate,
    NormStatistics,
    Optimizer,
    Precision,
    Recipe,
    Schedule,
    TrainAs,
    complete_recipe,
    drop_defaults,
    recipe_from_json,
)
from netlet.recipes.settings import AUGMENT, change_settings
from netlet.recipes.warp import Interpolation, Warp

__all__ = [
    "AUGMENT",
    "AUGMENTS",
    "FRONTIER",
    "FRONTIER_TINY",
    "GENERAL_RECIPES",
    "MAX_EPOCHS",
    "PLAIN",
    "QUICK",
    "SPRINT",
    "STEADY",
    "STEADY_14",
    "Averaging",
    "BackendChoice",
    "CatalogRate",
    "Interpolation",
    "NormStatistics",
    "Optimizer",
    "Precision",
    "Recipe",
    "Schedule",
    "TrainAs",
    "Warp",
    "change_settings",
    "complete_recipe",
    "count_epochs",
    "describe_epochs",
    "drop_defaults",
    "recipe_from_json",
    "upgrade_recipe",
    "warn_of_old_names",
]
