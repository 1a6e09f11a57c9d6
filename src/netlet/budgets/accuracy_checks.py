"""Judge the accuracy of a run against the one that a budget asks for, in whole images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from netlet.budgets.limit_checks import format_margin
from netlet.budgets.measures import Outcome, Score
from netlet.budgets.verdict import RuleResult, State
from netlet.text import count_noun


@dataclass(frozen=True)
class AccuracyLimit:
    """The accuracy that a budget asks for.

    Attributes:
        percent: The accuracy.
        exceed: Whether it must be exceeded; else it must be reached.
        dataset: The data set that it is for; None: any.
        on_val: Whether images held out of the training split are judged, too.
    """

    percent: float
    exceed: bool
    dataset: str | None
    on_val: bool

    @property
    def target(self) -> Fraction:
        """The accuracy as a share of 1."""
        # Through the decimal text: 99.4 means 994/1000, not the nearest binary fraction.
        return Fraction(str(self.percent)) / 100

    def check_last(self, outcome: Outcome | None) -> RuleResult:
        """Check the accuracy after the last epoch.

        Args:
            outcome: The outcome of the training; None: not trained.
        """
        rule = "accuracy, last epoch"
        if outcome is None or not outcome.scores:
            return self._not_yet(rule)
        return self._check_scores(rule, outcome.scores[-1:], outcome)

    def check_held(self, epochs: int, outcome: Outcome | None) -> RuleResult:
        """Check the accuracy after each of the last epochs.

        Args:
            epochs: Their number.
            outcome: The outcome of the training; None: not trained.
        """
        rule = f"accuracy, worst of last {epochs} epochs"
        if outcome is None or not outcome.scores:
            return self._not_yet(rule)
        if len(outcome.scores) < epochs:
            shown = f"only {count_noun(len(outcome.scores), 'epoch')} run"
            return RuleResult(rule, self._limit, shown, "-", "FAIL")
        return self._check_scores(rule, outcome.scores[-epochs:], outcome)

    def _not_yet(self, rule: str) -> RuleResult:
        return RuleResult(rule, self._limit, "-", "-", "NOT YET")

    def _check_scores(self, rule: str, scores: Sequence[Score], outcome: Outcome) -> RuleResult:
        """Check the worst of some scores."""
        worst = min(scores, key=lambda score: score.correct - self._images_needed(score.total))
        if self.dataset is not None and outcome.dataset not in (None, self.dataset):
            limit = f"{self._limit} on {self.dataset}"
            return RuleResult(rule, limit, str(worst), "-", "NOT JUDGED")
        if worst.split == "train" or (worst.split == "val" and not self.on_val):
            # A choice made on val must not look like a claim about test.
            found = f"{worst}; judged on test only"
            return RuleResult(rule, self._limit, found, "-", "NOT YET")
        spare = worst.correct - self._images_needed(worst.total)
        state: State = "PASS" if spare >= 0 else "FAIL"
        found = f"{worst}; judged on val, not test" if worst.split == "val" else f"{worst}"
        return RuleResult(rule, self._limit, found, f"{format_margin(spare)} images", state)

    @property
    def _limit(self) -> str:
        return f"{'above' if self.exceed else 'at least'} {self.percent:g}%"

    def _images_needed(self, total: int) -> int:
        """Return how many of ``total`` images must be correct."""
        exact = self.target * total
        return math.floor(exact) + 1 if self.exceed else math.ceil(exact)
