"""Design, check, train, explain and ship tiny convolutional nets that fit a budget.

Every name is imported when it is first used: ``import netlet`` is fast and does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_MODULES = (
    "analysis",
    "budgets",
    "catalog",
    "classroom",
    "data",
    "evaluation",
    "experiments",
    "export",
    "nets",
    "publishing",
    "recipes",
    "records",
    "report",
    "stats",
    "training",
)
# The module that defines each name.
_SOURCES = {
    "Budget": "budgets",
    "Claim": "catalog",
    "Experiment": "experiments",
    "Recipe": "recipes",
    "Run": "records",
    "Study": "records",
    "build": "nets",
    "check": "analysis",
    "compare": "stats",
    "cost": "analysis",
    "evaluate": "evaluation",
    "find_budget": "catalog",
    "load_budget": "budgets",
    "find_experiment": "experiments",
    "find_recipe": "catalog",
    "find_study": "records",
    "fit": "training",
    "load_frontier": "stats",
    "load_run": "records",
    "load_study": "records",
    "net": "nets",
    "receptive_field": "analysis",
    "summary": "analysis",
}

# Written out, not computed: type checkers read the names from here.
__all__ = [
    "Budget",
    "Claim",
    "Experiment",
    "Recipe",
    "Run",
    "Study",
    "__version__",
    "analysis",
    "budgets",
    "build",
    "catalog",
    "check",
    "classroom",
    "compare",
    "cost",
    "data",
    "evaluate",
    "evaluation",
    "experiments",
    "export",
    "find_budget",
    "find_experiment",
    "find_recipe",
    "find_study",
    "fit",
    "load_budget",
    "load_frontier",
    "load_run",
    "load_study",
    "net",
    "nets",
    "publishing",
    "receptive_field",
    "recipes",
    "records",
    "report",
    "stats",
    "summary",
    "training",
]

if TYPE_CHECKING:
    from netlet import (
        analysis,
        budgets,
        catalog,
        classroom,
        data,
        evaluation,
        experiments,
        export,
        nets,
        publishing,
        recipes,
        records,
        report,
        stats,
        training,
    )
    from netlet.analysis import check, cost, receptive_field, summary
    from netlet.budgets import Budget, load_budget
    from netlet.catalog import Claim, find_budget, find_recipe
    from netlet.evaluation import evaluate
    from netlet.experiments import Experiment, find_experiment
    from netlet.nets import build, net
    from netlet.recipes import Recipe
    from netlet.records import Run, Study, find_study, load_run, load_study
    from netlet.stats import compare, load_frontier
    from netlet.training import fit


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"netlet.{name}")
    if name in _SOURCES:
        return getattr(import_module(f"netlet.{_SOURCES[name]}"), name)
    raise AttributeError(f"module 'netlet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
