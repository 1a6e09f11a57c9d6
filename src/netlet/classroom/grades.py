"""Grades, and the settings that they depend on, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from netlet.budgets import Budget, RuleResult, Score
from netlet.classroom.roster import Claim
from netlet.recipes import Recipe

GradeState = Literal["PASS", "FAIL", "NOT YET", "NOT JUDGED", "UNKNOWN", "REVIEW", "ERROR"]


@dataclass(frozen=True, kw_only=True)
class GradingSettings:
    """How a class is graded.

    Attributes:
        budget: The limits.
        net: Where the net is in each submission, like ``model.py:Net``; None: it is searched for.
        weights: A pattern of the path of the weights, like ``*.pt``; None: the only such file.
        retrain: The recipe that nets are trained by, ``"claim"`` for that of each claim, or None
            for the submitted weights.
        seeds: The seeds to train with; the run of median accuracy counts.
        points: Points for a submission that meets every rule.
        time_limit_s: Seconds for a submission, for each seed.
        trust: Whether to run the code without a sandbox.
    """

    budget: Budget
    net: str | None = None
    weights: str | None = None
    retrain: Recipe | str | None = None
    seeds: tuple[int, ...] = (0,)
    points: float = 100
    time_limit_s: float = 60
    trust: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what a grade depends on, as text where it has other values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        limits = {one.name: repr(getattr(self.budget, one.name)) for one in fields(self.budget)}
        return {**{name: repr(value) for name, value in values.items()}, "budget": limits}


@dataclass(frozen=True)
class Curve:
    """The accuracy after each epoch of a retraining."""

    train_percent: tuple[float, ...]
    test_correct: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The grade of one submission.

    Attributes:
        name: Of the submission.
        student: From the roster; empty without one.
        state: PASS, FAIL, ...; REVIEW if a person has to look at it; ERROR if it cannot be judged.
        points: Of ``max_points``.
        net: The address of the net in the submission.
        problem: Why it is an ERROR, for REVIEW or not judged.
        rules: The result of each rule.
        parameters: Counted by netlet in the tensors that came back.
        score: On the test images.
        perturbed: On slightly changed copies of the test images.
        seed_scores: Of each seed, if it was retrained.
        claim: What the student claims.
        notes: On the net and on the claim.
        summary: The table of layers.
        curve: If it was retrained.
        digest: Of the submission and the settings.
        seconds: That grading took.
    """

    name: str
    state: GradeState
    points: float
    max_points: float
    student: str = ""
    net: str = ""
    problem: str = ""
    rules: tuple[RuleResult, ...] = ()
    parameters: int | None = None
    score: Score | None = None
    perturbed: Score | None = None
    seed_scores: tuple[Score, ...] = ()
    claim: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = ()
    summary: str = ""
    curve: Curve | None = None
    digest: str = ""
    seconds: float = 0

    def replace(self, **changes: Any) -> Grade:
        """Return a copy with some values changed."""
        return replace(self, **changes)


def count_points(rules: tuple[RuleResult, ...], most: float, *, trusted: bool = True) -> float:
    """Return the points of a submission: each rule counts the same.

    Args:
        rules: The results.
        most: Points if all are met.
        trusted: Whether its accuracy may be believed.
    """
    if not rules:
        return most
    met = [
        rule for rule in rules if rule.state == "PASS" and (trusted or "accuracy" not in rule.rule)
    ]
    return round(most * len(met) / len(rules), 2)
