"""Design, check, train, explain and ship tiny convolutional nets that fit a budget.

Names are handed on when first used, so that ``import netlet`` stays fast and never imports torch by
itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

_FROM = {
    "analysis": "netlet.analysis",
    "budgets": "netlet.budgets",
    "data": "netlet.data",
    "evaluation": "netlet.evaluation",
    "stats": "netlet.stats",
    "experiments": "netlet.experiments",
    "nets": "netlet.nets",
    "recipes": "netlet.recipes",
    "records": "netlet.records",
    "report": "netlet.report",
    "export": "netlet.export",
    "training": "netlet.training",
    "Budget": "netlet.budgets",
    "Claim": "netlet.experiments",
    "Experiment": "netlet.experiments",
    "Recipe": "netlet.recipes",
    "Run": "netlet.records",
    "Study": "netlet.records",
    "build": "netlet.nets",
    "check": "netlet.analysis",
    "compare": "netlet.stats",
    "cost": "netlet.analysis",
    "fit": "netlet.training",
    "net": "netlet.nets",
    "receptive_field": "netlet.analysis",
    "summary": "netlet.analysis",
}

__all__ = ["__version__", *_FROM]

if TYPE_CHECKING:
    from netlet import (
        analysis,
        budgets,
        data,
        evaluation,
        experiments,
        export,
        nets,
        recipes,
        records,
        report,
        stats,
        training,
    )
    from netlet.analysis import check, cost, receptive_field, summary
    from netlet.budgets import Budget
    from netlet.experiments import Claim, Experiment
    from netlet.nets import build, net
    from netlet.recipes import Recipe
    from netlet.records import Run, Study
    from netlet.stats import compare
    from netlet.training import fit


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'netlet' has no attribute {name!r}")
    module = import_module(_FROM[name])
    return module if _FROM[name] == f"netlet.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
