"""Experiments, and running one."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from netlet.backends import find_device
from netlet.budgets import Budget
from netlet.catalog import Claim
from netlet.data import Dataset
from netlet.display import Displayed
from netlet.errors import check_argument, check_type, warn_of_but
from netlet.nets import NetEntry, build, comes_with_netlet
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training import Callback, Checkpoint, finish, finish_together, iterate_fit
from netlet.training.initial_weights import find_initial_weights


@dataclass(frozen=True, kw_only=True)
class Experiment(Displayed):
    """A net, the recipe that trains it, and the budget that judges it.

    A dropout rate that a recipe has for the nets of the catalog is dropped from the recipe if the
    net does not come with netlet.
    """

    name: str
    net: NetEntry
    recipe: Recipe
    budget: Budget
    claim: Claim | None = None

    def __post_init__(self) -> None:
        """Settle the dropout rate.

        Raises:
            TypeError: The net is a class or a module, or another value has the wrong type.
        """
        check_type(
            self.net,
            NetEntry,
            "the net of an experiment",
            "netlet.nets.find_net('mine.py:Net'), or begin with "
            "netlet.find_experiment('mine.py:Net')",
        )
        check_argument(self.recipe, Recipe)
        check_argument(self.budget, Budget)
        recipe = self.recipe.for_net(in_catalog=comes_with_netlet(self.net))
        object.__setattr__(self, "recipe", recipe)

    def replace(self, *, recipe: Recipe | None = None, budget: Budget | None = None) -> Experiment:
        """Return a copy with another recipe or budget."""
        return dataclasses.replace(self, recipe=recipe or self.recipe, budget=budget or self.budget)

    def but(self, *, recipe: Recipe | None = None, budget: Budget | None = None) -> Experiment:
        """Return a copy with another recipe or budget; deprecated, use :meth:`replace`."""
        warn_of_but("Experiment")
        return self.replace(recipe=recipe, budget=budget)

    def run(
        self,
        data: Dataset,
        seed: int,
        *,
        val: int = 0,
        callbacks: Sequence[Callback] = (),
        start: nn.Module | None = None,
        initial_weights_digest: str = "",
        resume: Checkpoint | None = None,
        progress: bool | None = None,
    ) -> Run:
        """Train the net once.

        Args:
            data: The data set to train and score on.
            seed: The seed of the initial weights and of the training.
            val: The number of training images to hold out for scoring; 0: score on the data set's
                held-out split.
            callbacks: Objects that receive the events of the training, in this order.
            start: A net to train in place, from the weights that it has, instead of a new one.
            initial_weights_digest: The digest of its weights if they are from a file, for the
                record; by default it is computed unless the seed has given the net its weights.
            resume: The checkpoint from which an interrupted run is resumed.
            progress: Whether to show a progress bar; by default in a terminal and in a notebook.

        Raises:
            NetletError: As ``fit`` raises it.
        """
        net = (
            start if start is not None else build(self.net.builder, seed, data.shape, data.classes)
        )
        if resume is None and not initial_weights_digest:
            initial_weights_digest = find_initial_weights(net, seed)
        return finish(
            self._begin(
                net, data, seed, val, callbacks, resume, initial_weights_digest, progress=progress
            )
        )

    def run_together(
        self,
        data: Dataset,
        seeds: Sequence[int],
        *,
        val: int = 0,
        callbacks: Mapping[int, Sequence[Callback]] | None = None,
        resume: Mapping[int, Checkpoint] | None = None,
    ) -> list[Run | Exception]:
        """Train several seeds that take turns on one device.

        On a CUDA device this is faster than one seed after the other, with the same weights.

        Args:
            data: The data set to train and score on.
            seeds: The seeds, each once.
            val: The number of training images to hold out for scoring.
            callbacks: For each seed, objects that receive the events of its training.
            resume: For some seeds, the checkpoint from which the run is resumed.

        Returns:
            For each seed the run, or why it could not be finished.
        """
        device = find_device()
        data = dataclasses.replace(
            data, train=data.train.to(device), held_out=data.held_out.to(device)
        )
        trainings = [
            self._begin(
                build(self.net.builder, seed, data.shape, data.classes),
                data,
                seed,
                val,
                (callbacks or {}).get(seed, ()),
                (resume or {}).get(seed),
                progress=False,
            )
            for seed in seeds
        ]
        return finish_together(trainings, device)

    def _begin(
        self,
        net: nn.Module,
        data: Dataset,
        seed: int,
        val: int,
        callbacks: Sequence[Callback],
        resume: Checkpoint | None,
        initial_weights_digest: str = "",
        *,
        progress: bool | None,
    ) -> Generator[None, None, Run]:
        return iterate_fit(
            net,
            data,
            self.recipe,
            seed=seed,
            budget=self.budget,
            val=val,
            name=self.name,
            net_name=self.net.name,
            code=self.net.code,
            callbacks=callbacks,
            initial_weights_digest=initial_weights_digest,
            resume=resume,
            progress=progress,
        )

    def _facts(self) -> Mapping[str, object]:
        return {
            "name": self.name,
            "net": self.net.name,
            "recipe": self.recipe.name,
            "budget": self.budget.name,
            **({"claim": self.claim} if self.claim else {}),
        }
