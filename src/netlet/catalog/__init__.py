"""The catalog: experiments, recipes and budgets by name; plain values, no torch."""

from netlet.catalog.definition import Claim, Definition
from netlet.catalog.definitions import DEFINITIONS
from netlet.catalog.lookup import BUDGETS, RECIPES, find_budget, find_recipe

__all__ = [
    "BUDGETS",
    "DEFINITIONS",
    "RECIPES",
    "Claim",
    "Definition",
    "find_budget",
    "find_recipe",
]
