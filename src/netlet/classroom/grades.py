"""Grades, and the settings that they depend on, as plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from netlet.budgets import Budget, RuleResult, Score
from netlet.budgets.points import check_points, find_total, format_points
from netlet.classroom.roster import Claim, Correction
from netlet.display import Displayed
from netlet.recipes import Recipe
from netlet.text import dump_json

GradeState = Literal["PASS", "FAIL", "NOT YET", "NOT JUDGED", "UNKNOWN", "REVIEW", "ERROR"]
_NO_LIMITS = ("name", "about", "title", "messages")  # of a budget: they judge nothing
_SECONDS, _SECONDS_TO_TRAIN = 120.0, 1_800.0  # for a submission, for each seed


@dataclass(frozen=True, kw_only=True)
class GradingSettings(Displayed):
    """How a class is graded.

    Attributes:
        budget: The limits.
        net: Where the net is in each submission, like ``model.py:Net``; None: it is searched for.
        weights: A pattern of the path of the weights, like ``*.pt``; None: the only such file.
        retrain: The recipe that nets are trained by, ``"claim"`` for that of each claim, or None
            for the submitted weights.
        seeds: The seeds to train with; the run of median accuracy counts, for an even number the
            lower of the two in the middle.
        points: Points for a submission that meets every rule.
        limit_points: Points for single limits by their names, and for rules as the budget writes
            them; the others share the rest of ``points`` equally. None given: each rule is worth
            the same.
        time_limit_s: Seconds for a submission, for each seed; None: 120, or 1,800 to retrain.
        trust: Whether to run the code without a sandbox.
    """

    budget: Budget
    net: str | None = None
    weights: str | None = None
    retrain: Recipe | str | None = None
    seeds: tuple[int, ...] = (0,)
    points: float = 100
    limit_points: Mapping[str, float] | tuple[tuple[str, float], ...] = ()
    time_limit_s: float | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        """Check the points.

        Raises:
            GradingError: The budget has no such limit, or the points do not add up to ``points``.
        """
        given = dict(self.limit_points)
        for key, points in given.items():
            check_points(key, points, self.budget)
        if given:
            find_total(given, self.points, self.budget)
        object.__setattr__(self, "limit_points", tuple(given.items()))  # which can be hashed

    @property
    def seconds_per_seed(self) -> float:
        """The time limit that applies."""
        if self.time_limit_s is not None:
            return self.time_limit_s
        return _SECONDS_TO_TRAIN if self.retrain else _SECONDS

    def to_dict(self) -> dict[str, Any]:
        """Return what a grade depends on, as text where it has other values.

        The time limit is left out: a grade is the same under any limit that it was found within.
        That of a submission that was too slow has the limit.
        """
        names = [one.name for one in fields(self) if one.name != "time_limit_s"]
        values = {name: getattr(self, name) for name in names}
        limits = {one.name: repr(getattr(self.budget, one.name)) for one in fields(self.budget)}
        return {**{name: repr(value) for name, value in values.items()}, "budget": limits}

    def identify_budget(self) -> GradedBudget:
        """Return by which limits, rules and points a class is judged."""
        limits = {one.name: repr(getattr(self.budget, one.name)) for one in fields(self.budget)}
        judging = {name: value for name, value in limits.items() if name not in _NO_LIMITS}
        points = {name: float(value) for name, value in sorted(dict(self.limit_points).items())}
        text = dump_json({"limits": judging, "points": float(self.points), "each": points})
        return GradedBudget(self.budget.name, hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class GradedBudget(Displayed):
    """The budget that a grade was judged by.

    Attributes:
        name: Its name.
        digest: The SHA-256 of its limits and rules, and of their points.
    """

    name: str
    digest: str


@dataclass(frozen=True)
class Curve(Displayed):
    """The accuracy after each epoch of a retraining.

    Attributes:
        train_percent: The accuracy on the training images during the epoch, in percent.
        test_correct: The number of test images that are correct after the epoch.
    """

    train_percent: tuple[float, ...]
    test_correct: tuple[int, ...]


@dataclass(frozen=True)
class RulePoints(Displayed):
    """The points of a rule.

    Attributes:
        points: The points earned, of ``max_points``.
        max_points: Those for meeting the rule.
    """

    points: float
    max_points: float


@dataclass(frozen=True)
class Used(Displayed):
    """What a net was scored with.

    Attributes:
        mean: The mean of the gray levels, 0..1, which was subtracted from the images.
        std: The standard deviation, by which the images were divided.
        weights: The path of the weights in the submission; None if it was retrained.
    """

    mean: float
    std: float
    weights: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grade(Displayed):
    """The grade of one submission.

    Attributes:
        name: The name of the submission.
        student: The name of the student in the roster; empty without a roster.
        source: The name of the file or folder that was handed in; empty in grades of earlier
            versions.
        budget: The budget that judged it; None in grades of earlier versions.
        state: The verdict, such as PASS; REVIEW if a person has to look at it; ERROR without one.
        points: The points earned, of ``max_points``.
        points_by_rules: Those by the rules, if the teacher gives others; None if not.
        comment: What the teacher says to the student; empty for nothing.
        net: The address of the net in the submission.
        problem: The reason for ERROR or REVIEW, or why the accuracy is not judged; empty if none.
        warnings: What student and teacher should know first, a sentence each: what is wrong with
            the claim, or that the net does better with another normalization.
        used: The normalization and weights file of the score; None without a score.
        rules: The result of each rule.
        rule_points: The points of each rule, in the same order; empty in grades of earlier
            versions.
        parameters: The number of parameters; None if it is not known.
        score: The score on the test images; None without weights.
        perturbed: The score on copies of the test images that are moved by one pixel.
        seed_scores: The score of each seed; empty if it was not retrained.
        claim: What the student claims.
        notes: Remarks on the net and on the claim, a sentence each.
        definitions: Which of several definitions of the net counts; empty if there is only one.
        summary: The table of layers.
        curve: The accuracy after each epoch; None if it was not retrained.
        weights_digest: The SHA-256 of the weights that were handed in; empty without a score of
            them.
        predictions_digest: The SHA-256 of the classes that these predict; empty if others may
            well predict the same by chance.
        digest: The SHA-256 of the submission and the settings; empty if it is to be graded again.
        exceeded_s: The time limit that it exceeded, in seconds for each seed; None if it did not.
        graded_on: The date of the grading, ISO 8601; empty in grades of earlier versions.
        seconds: The time that grading took, in seconds.
    """

    name: str
    state: GradeState
    points: float
    max_points: float
    points_by_rules: float | None = None
    comment: str = ""
    student: str = ""
    source: str = ""
    budget: GradedBudget | None = None
    net: str = ""
    problem: str = ""
    warnings: tuple[str, ...] = ()
    used: Used | None = None
    rules: tuple[RuleResult, ...] = ()
    rule_points: tuple[RulePoints, ...] = ()
    parameters: int | None = None
    score: Score | None = None
    perturbed: Score | None = None
    seed_scores: tuple[Score, ...] = ()
    claim: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = ()
    definitions: str = ""
    summary: str = ""
    curve: Curve | None = None
    weights_digest: str = ""
    predictions_digest: str = ""
    digest: str = ""
    exceeded_s: float | None = None
    graded_on: str = ""
    seconds: float = 0

    def _facts(self) -> Mapping[str, object]:
        measured = {
            "parameters": self.parameters,
            "score": self.score,
            "perturbed": self.perturbed,
            "problem": self.problem,
        }
        facts = {"name": self.name, "student": self.student, "state": self.state}
        facts |= {"points": format_earned(self, "/"), "net": self.net}
        known = {name: value for name, value in measured.items() if value is not None}
        return {name: value for name, value in (facts | known).items() if value != ""}

    def replace(self, **changes: Any) -> Grade:
        """Return a copy with some values changed."""
        return replace(self, **changes)

    def correct(self, correction: Correction) -> Grade:
        """Return a copy with the points and the comment of the teacher."""
        if correction.points is None:
            return self.replace(comment=correction.comment)
        return self.replace(
            points=correction.points, points_by_rules=self.points, comment=correction.comment
        )

    def describe_correction(self) -> str:
        """Return which points the teacher has changed; empty if none."""
        if self.points_by_rules is None:
            return ""
        by_rules, given = map(format_points, (self.points_by_rules, self.points))
        return f"{by_rules} points by the rules, corrected to {given}"


def format_earned(earned: Grade | RulePoints, between: str) -> str:
    """Return the points that are given, and how many there are.

    Args:
        earned: A grade, or the points of one rule.
        between: What stands between the two numbers.
    """
    return f"{format_points(earned.points)}{between}{format_points(earned.max_points)}"


def _exceeds(claimed: float, measured: float) -> bool:
    """Return whether an accuracy is claimed that is higher than the measured one, rounded alike."""
    digits = len(f"{claimed:.10f}".rstrip("0").partition(".")[2])
    return claimed > measured + 0.5 * 10.0 ** -min(max(digits, 1), 2)


def check_claim(grade: Grade) -> list[str]:
    """Return in a sentence each what is not as claimed, or has to be claimed.

    Args:
        grade: The grade, with claim, measurements and rules.
    """
    claim, score, notes = grade.claim, grade.score, []
    claimed, counted = claim.parameters, grade.parameters
    if claimed is not None and counted is not None and claimed != counted:
        notes.append(f"{claimed:,} parameters are claimed, {counted:,} are counted")
    if claim.accuracy is not None and 0 < claim.accuracy <= 1:
        notes.append(
            f"the claim accuracy = {claim.accuracy:g} is read as {claim.accuracy:.2f}%: write "
            f"it in percent, accuracy = {100 * claim.accuracy:g}"
        )
    elif claim.accuracy is not None and score and _exceeds(claim.accuracy, score.percent):
        notes.append(f"{claim.accuracy:.2f}% accuracy is claimed, {score.percent:.2f}% is measured")
    unknown = any(rule.rule == "epochs" and rule.state == "NOT YET" for rule in grade.rules)
    if unknown and claim.epochs is None:
        notes.append(
            "the budget limits epochs, but none are claimed: write epochs = N in claim.toml"
        )
    return notes
