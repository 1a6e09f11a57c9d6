"""What an experiment is, and how it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from netlet.budgets import Budget
from netlet.data import Dataset
from netlet.nets import NetEntry, build
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training import Callback, Checkpoint, fit


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a document says of its net, to be held against what is measured."""

    document: str
    parameters: int
    correct: int | None = None  # of total test images; None: the document gives no accuracy
    total: int = 10_000
    which: Literal["best", "last"] = "best"
    last_correct: int | None = None  # where the document gives both


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A net trained by a recipe and judged by a budget."""

    name: str
    net: NetEntry
    recipe: Recipe
    budget: Budget
    claim: Claim | None = None

    def replace(self, *, recipe: Recipe | None = None, budget: Budget | None = None) -> Experiment:
        """The same experiment with another recipe or budget."""
        return dataclasses.replace(self, recipe=recipe or self.recipe, budget=budget or self.budget)

    def run(
        self,
        data: Dataset,
        seed: int,
        *,
        val: int = 0,
        listeners: Sequence[Callback] = (),
        start: nn.Module | None = None,
        initial_weights_digest: str = "",
        resume: Checkpoint | None = None,
    ) -> Run:
        """Train once.

        Args:
            data: What to train and score on.
            seed: Of the first weights and of everything after.
            val: So many images of ``train`` score instead of ``test``.
            listeners: Hear of each event.
            start: Begin with this net's weights, and train it in place, instead of weights drawn by
                the seed.
            initial_weights_digest: The digest of its weights, if somebody gave them.
            resume: Go on from there.

        Raises:
            NetletError: As ``fit`` raises it.
        """
        net = (
            start if start is not None else build(self.net.builder, seed, data.shape, data.classes)
        )
        return fit(
            net,
            data,
            self.recipe,
            seed=seed,
            budget=self.budget,
            val=val,
            name=self.name,
            net_name=self.net.name,
            listeners=listeners,
            initial_weights_digest=initial_weights_digest,
            resume=resume,
        )
