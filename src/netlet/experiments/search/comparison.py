"""A comparison: a few arms, each run with the same seeds on the same folds, the worst dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import torch

from netlet.errors import SearchError, TrainingError
from netlet.experiments.search.engine import Proposal
from netlet.experiments.search.fitting import Images, fill_budget
from netlet.experiments.search.leg import LegResult, trial_recipe
from netlet.experiments.search.space import Candidate, Search
from netlet.experiments.search.trials import COMPARED_BY, FINISHED, Trial, has_values
from netlet.nets import build, find_net
from netlet.training.training_form import make_training_form

RUNS, DROP_BELOW = (6, 24), 0.04  # if the file does not say
_ROUNDING = 1e-9  # points: a mean may be off by this much


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A net and a recipe that are compared with others.

    Attributes:
        name: Its name, as trials record it.
        net: The net; empty if there is a shape.
        shape: A net in one line with ratios, which is widened until it fills the budget.
        recipe: The name of the recipe to start from.
        changes: Changes to fields of the recipe, as JSON stores them.
        epochs: The number of epochs.
    """

    name: str
    net: str = ""
    shape: str = ""
    recipe: str
    changes: Mapping[str, Any]
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Comparison(Search):
    """Arms to compare.

    Attributes:
        arms: The arms, in the order of the file.
        baseline: The name of the arm that the others are compared with; it is never dropped.
        runs: Numbers of runs of each arm, ascending. After each but the last, arms are dropped.
        drop_below: By how many percentage points the mean of a dropped arm is below the best one.
        first_seed: The seed of the first run of each arm.
    """

    arms: tuple[Arm, ...]
    baseline: str
    runs: tuple[int, ...] = RUNS
    drop_below: float = DROP_BELOW
    first_seed: int = 0

    @property
    def nets(self) -> tuple[str, ...]:
        """The nets that the search names as they are."""
        return tuple(dict.fromkeys(arm.net for arm in self.arms if arm.net))

    @property
    def all_shapes(self) -> tuple[str, ...]:
        """The shapes that are widened until they fill the budget."""
        return tuple(dict.fromkeys(arm.shape for arm in self.arms if arm.shape))

    def candidate(self, arm: Arm, images: Images) -> Candidate:
        """Return what an arm trains.

        Raises:
            NetletError: No net of its shape fits the budget.
        """
        net = arm.net
        if arm.shape:
            assert self.budget is not None
            net = fill_budget(arm.shape, self.budget, images)
        changes = {"epochs": arm.epochs, **arm.changes}
        return Candidate(
            net=net, recipe=arm.recipe, changes=changes, epochs=arm.epochs, arm=arm.name
        )


def check_forms(comparison: Comparison, images: Images, *, trust: bool = False) -> None:
    """Check that the net of each arm can be trained as its recipe says, before anything is trained.

    Args:
        comparison: The arms.
        images: What the nets are for.
        trust: Whether to run code that an arm names, like ``file.py:Name``.

    Raises:
        SearchError: A net cannot be trained in the form that ``train_as`` names.
    """
    for arm in comparison.arms:
        candidate = comparison.candidate(arm, images)
        entry = find_net(candidate.net, trusted=trust)
        net = build(entry.builder, 0, images.shape, images.classes)
        try:
            recipe = trial_recipe(candidate, entry)
            make_training_form(net, images.shape, recipe, torch.Generator())
        except TrainingError as error:
            raise SearchError(f"arm {arm.name!r}: {error}") from error


class ArmRuns:
    """Proposes the runs of a comparison; the policy of its search.

    Args:
        comparison: The arms.
        images: What the nets are for.
        data_digest: The digest of the training images.
        recorded: The trials that the file records already.

    Attributes:
        known: The recorded trials that are runs of these arms.
        left: How many more runs to propose at most.
        lines: The finished runs, by arm and seed.
        dropped: How many runs each dropped arm had when it was dropped.
    """

    def __init__(
        self,
        comparison: Comparison,
        images: Images,
        data_digest: str,
        recorded: Sequence[Mapping[str, Any]],
    ) -> None:
        self._comparison, self._data_digest = comparison, data_digest
        self._candidates = {arm.name: comparison.candidate(arm, images) for arm in comparison.arms}
        self._running: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self._stage = 0
        self.left = 0
        self.lines: dict[str, dict[int, Mapping[str, Any]]] = {arm: {} for arm in self._candidates}
        self.dropped: dict[str, int] = {}
        self.known = [line for line in recorded if self._is_run(line)]
        for line in self.known:
            self.lines[line["arm"]][line["seed"]] = line

    def propose(self) -> Proposal | None:
        """Return the next run, or None if all have been proposed or others must end first."""
        while self.left:
            for seed in self._seeds():
                for arm in self._alive():
                    if seed not in self.lines[arm] and (arm, seed) not in self._begun():
                        return self._start(arm, seed)
            if self._running or self._stage + 1 == len(self._comparison.runs):
                return None
            self._drop()
            self._stage += 1
        return None

    def goes_on(self, trial: Trial, result: LegResult) -> bool:
        """Return that every run is trained to its end."""
        return True

    def tell(self, trial: Trial, line: Mapping[str, Any]) -> None:
        """Keep a run that has ended; an arm with one that failed is dropped.

        The baseline goes on with the next seed instead.
        """
        assert trial.arm is not None
        self._running.discard((trial.arm, trial.seed))
        if line["state"] == FINISHED:
            self.lines[trial.arm][trial.seed] = line
        elif trial.arm == self._comparison.baseline:
            self._failed.add((trial.arm, trial.seed))
        else:
            self.dropped.setdefault(trial.arm, len(self.lines[trial.arm]))

    def _start(self, arm: str, seed: int) -> Proposal:
        self.left -= 1
        self._running.add((arm, seed))
        candidate, folds = self._candidates[arm], self._comparison.folds
        trial = Trial(
            net=candidate.net,
            recipe=candidate.recipe,
            changes=candidate.changes,
            seed=seed,
            fold=seed % folds,
            folds=folds,
            dataset=self._comparison.dataset,
            arm=arm,
        )
        return Proposal(trial=trial, epochs=candidate.epochs)

    def _begun(self) -> set[tuple[str, int]]:
        """Return the runs that are not to be started now: they are running, or have failed."""
        return self._running | self._failed

    def _seeds(self) -> range:
        """Return the seeds of each arm up to the current stage."""
        first = self._comparison.first_seed
        return range(first, first + self._comparison.runs[self._stage])

    def _alive(self) -> list[str]:
        return [arm for arm in self._candidates if arm not in self.dropped]

    def _drop(self) -> None:
        """Drop the arms whose mean is too far below the best one, on the same seeds."""
        seeds = [
            seed for seed in self._seeds() if all(seed in self.lines[arm] for arm in self._alive())
        ]
        if not seeds:
            return
        means = {}
        for arm in self._alive():
            runs = [self.lines[arm][seed] for seed in seeds]
            means[arm] = sum(100 * run["correct"] / run["total"] for run in runs) / len(runs)
        for arm, mean in means.items():
            behind = max(means.values()) - mean
            too_far = behind > self._comparison.drop_below + _ROUNDING
            if arm != self._comparison.baseline and too_far:
                self.dropped[arm] = len(self._seeds())

    def _is_run(self, line: Mapping[str, Any]) -> bool:
        """Return whether a recorded trial is a finished run of an arm as it is today."""
        candidate = self._candidates.get(str(line.get("arm")))
        if candidate is None or line.get("state") != FINISHED:
            return False
        if not has_values(line, *COMPARED_BY):
            return False
        if not _is_same_net(str(line.get("net")), candidate.net):
            return False
        expected = {
            "recipe": candidate.recipe,
            "changes": dict(candidate.changes),
            "epochs": candidate.epochs,
            "folds": self._comparison.folds,
            "data_digest": self._data_digest,  # whatever its file is called today
        }
        return all(line.get(key) == value for key, value in expected.items())


def _is_same_net(one: str, other: str) -> bool:
    """Return whether two names of a net are the same.

    The path of a net's file depends on the folder from which a search was started: the shorter of
    two paths has to be the end of the other.
    """
    parts = [
        [part for part in PurePath(name).parts if part not in ("..", "/")] for name in (one, other)
    ]
    length = min(map(len, parts))
    return parts[0][-length:] == parts[1][-length:]
