"""Which trials a search of a space runs: Optuna proposes them, successive halving stops the worst.

Needs the extra ``search``.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from netlet.errors import NetletError, install_hint
from netlet.experiments.search.engine import Proposal
from netlet.experiments.search.fitting import Images
from netlet.experiments.search.leg import LegResult
from netlet.experiments.search.space import Candidate, Space
from netlet.experiments.search.trials import (
    FAILED,
    FINISHED,
    RANKED_BY,
    STOPPED,
    Trial,
    has_values,
)

try:
    import optuna
except ImportError as error:
    raise NetletError(
        f"a search needs the package optuna, which is not installed; {install_hint('search')}"
    ) from error

_MAX_DRAWS = 1_000  # of values that do not go together, for one trial
_FIRST = 4  # trials that go on from a rung whatever they score: too few to compare


class Sampler:
    """Proposes trials of a space; the policy of a search.

    A trial has the smallest seed that no trial has, and Optuna draws its values with this seed. So
    a search that goes on after an interruption proposes what it would have proposed without one, as
    far as the same trials have ended before.

    Args:
        space: The space to choose from.
        images: What the nets are for.
        data_digest: The digest of the training images.
        recorded: The trials that the file records already.

    Attributes:
        known: The recorded trials that are of this space, from which Optuna learns.
        left: How many trials to propose.
    """

    def __init__(
        self,
        space: Space,
        images: Images,
        data_digest: str,
        recorded: Sequence[Mapping[str, Any]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # on_event reports the trials
        self._space, self._images, self._data_digest = space, images, data_digest
        self.left = 0
        used = {line["seed"] for line in recorded}
        self._seeds = (seed for seed in itertools.count() if seed not in used)
        self._study = optuna.create_study(direction="maximize")
        self._suggestions: dict[int, optuna.Trial] = {}  # by the seed of the trial
        self._scores: dict[int, list[float]] = defaultdict(list)  # by epoch, of all trials there
        self.known = [line for line in recorded if self._learn(line)]

    def propose(self) -> Proposal | None:
        """Return the next trial, or None if all have been proposed."""
        if not self.left:
            return None
        self.left -= 1
        seed = next(self._seeds)
        self._study.sampler = _make_sampler(seed)
        suggestion, candidate = self._choose()
        self._suggestions[seed] = suggestion
        trial = Trial(
            net=candidate.net,
            recipe=candidate.recipe,
            changes=candidate.changes,
            seed=seed,
            fold=seed % self._space.folds,
            folds=self._space.folds,
            dataset=self._space.dataset,
            params=suggestion.params,
        )
        return Proposal(trial=trial, epochs=candidate.epochs, rungs=self._space.rungs)

    def _choose(self) -> tuple[optuna.Trial, Candidate]:
        """Draw values until some go together.

        Raises:
            NetletError: None of many draws do; of the last one.
        """
        left = _MAX_DRAWS
        while True:
            suggestion, left = self._study.ask(), left - 1
            try:
                return suggestion, self._space.choose(suggestion, self._images)
            except NetletError:
                # Optuna learns nothing from it, and draws others from the same seed.
                self._study.tell(suggestion, state=optuna.trial.TrialState.FAIL)
                if not left:
                    raise

    def goes_on(self, trial: Trial, result: LegResult) -> bool:
        """Return whether a trial is among the best that have reached its rung so far."""
        outcome = result.outcome
        score = outcome["correct"] / outcome["total"]
        scores = self._scores[len(outcome["correct_by_epoch"])]
        scores.append(score)
        better = sum(other > score for other in scores)
        return len(scores) <= _FIRST or better < math.ceil(self._space.keep * len(scores))

    def tell(self, trial: Trial, line: Mapping[str, Any]) -> None:
        """Let Optuna learn from a trial that has ended."""
        suggestion = self._suggestions.pop(trial.seed)
        for epoch, score in _scores_by_epoch(line).items():
            suggestion.report(score, epoch)
        if line["state"] == FINISHED:
            self._study.tell(suggestion, line["correct"] / line["total"])
        else:  # a trial that failed without any score counts as the worst
            self._study.tell(suggestion, state=optuna.trial.TrialState.PRUNED)

    def _learn(self, line: Mapping[str, Any]) -> bool:
        """Let Optuna learn from a recorded trial; return whether it is of this space."""
        try:
            found = self._to_optuna(line)
        except (NetletError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError):
            return False
        self._study.add_trial(found)
        for epoch in self._space.rungs:
            if (score := found.intermediate_values.get(epoch)) is not None:
                self._scores[epoch].append(score)
        return True

    def _to_optuna(self, line: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
        """Return a recorded trial as Optuna's.

        Raises:
            ValueError: It is not what this space makes of its parameters today, or it was scored
                on other images.
        """
        suggestion = optuna.trial.FixedTrial(dict(line["params"]))
        with warnings.catch_warnings():  # of a value out of range, which is an error below
            warnings.simplefilter("ignore")
            candidate = self._space.choose(suggestion, self._images)
        made = candidate.net, candidate.recipe, dict(candidate.changes), candidate.epochs
        scored = self._space.folds, self._data_digest
        if line["state"] == FINISHED and not has_values(line, *RANKED_BY):
            raise ValueError("a finished trial without its results")
        if made != tuple(line[key] for key in ("net", "recipe", "changes", "epochs")):
            raise ValueError("the space makes another net or recipe of these parameters")
        if scored != tuple(line[key] for key in ("folds", "data_digest")):
            raise ValueError("scored on other images")
        finished = line["state"] == FINISHED
        if line["state"] not in (FINISHED, STOPPED, FAILED):
            raise ValueError("no state of a trial")
        state = optuna.trial.TrialState
        return optuna.trial.create_trial(
            params=line["params"],
            distributions=suggestion.distributions,
            value=line["correct"] / line["total"] if finished else None,
            state=state.COMPLETE if finished else state.PRUNED,
            intermediate_values=_scores_by_epoch(line),
        )


def _make_sampler(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():  # both options are called experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)


def _scores_by_epoch(line: Mapping[str, Any]) -> dict[int, float]:
    """Return the share of held-out images that is correct after each epoch."""
    return {
        epoch: correct / line["total"]
        for epoch, correct in enumerate(line.get("correct_by_epoch", ()), start=1)
    }
