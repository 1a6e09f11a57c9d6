"""Design, check, train, explain and ship tiny convolutional nets that fit a budget.

Names are handed on when first used, so that ``import netlet`` stays fast and never imports torch by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_FROM = {
    "anatomy": "netlet.anatomy",
    "budgets": "netlet.budgets",
    "data": "netlet.data",
    "evaluation": "netlet.evaluation",
    "evidence": "netlet.evidence",
    "experiments": "netlet.experiments",
    "ladders": "netlet.ladders",
    "nets": "netlet.nets",
    "recipes": "netlet.recipes",
    "records": "netlet.records",
    "report": "netlet.report",
    "ship": "netlet.ship",
    "studies": "netlet.studies",
    "training": "netlet.training",
    "Budget": "netlet.budgets",
    "Claim": "netlet.experiments",
    "Experiment": "netlet.experiments",
    "Recipe": "netlet.recipes",
    "Run": "netlet.records",
    "Study": "netlet.studies",
    "build": "netlet.nets",
    "check": "netlet.anatomy",
    "compare": "netlet.evidence",
    "facts": "netlet.anatomy",
    "fit": "netlet.training",
    "net": "netlet.nets",
    "receptive_field": "netlet.anatomy",
    "summary": "netlet.anatomy",
}

__all__ = ["__version__", *_FROM]

if TYPE_CHECKING:
    from netlet import (
        anatomy,
        budgets,
        data,
        evaluation,
        evidence,
        experiments,
        ladders,
        nets,
        recipes,
        records,
        report,
        ship,
        studies,
        training,
    )
    from netlet.anatomy import check, facts, receptive_field, summary
    from netlet.budgets import Budget
    from netlet.evidence import compare
    from netlet.experiments import Claim, Experiment
    from netlet.nets import build, net
    from netlet.recipes import Recipe
    from netlet.records import Run
    from netlet.studies import Study
    from netlet.training import fit


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'netlet' has no attribute {name!r}")
    module = import_module(_FROM[name])
    return module if _FROM[name] == f"netlet.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
