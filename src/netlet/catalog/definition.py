"""What defines an experiment: a net, a recipe, a budget and perhaps a claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netlet.budgets import Budget
from netlet.display import Displayed
from netlet.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Claim(Displayed):
    """What a write-up says about its net, to be compared with what is measured."""

    document: str  # its number
    parameters: int
    correct: int | None = None  # test images; None: the write-up reports no accuracy
    total: int = 10_000
    which: Literal["best", "last"] = "best"  # the epoch that ``correct`` is of
    last_correct: int | None = None  # of the last epoch, where the write-up reports both


@dataclass(frozen=True, kw_only=True)
class Definition(Displayed):
    """One experiment of the catalog.

    ``net`` is the name of a registered net or a net in one line (see ``netlet.nets.notation``).
    A net in one line is registered under the name of the experiment, with ``about`` as its
    description.
    """

    name: str
    net: str
    recipe: Recipe
    budget: Budget
    claim: Claim | None = None
    about: str = ""  # of a net in one line
