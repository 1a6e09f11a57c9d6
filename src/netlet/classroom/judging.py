"""Judge what is known of a submission: its rules and its accuracy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netlet import analysis
from netlet.budgets import Budget, ModelCost, Outcome, RuleResult, is_about_accuracy
from netlet.classroom.grades import Curve, GradeState
from netlet.display import Displayed
from netlet.evaluation import Evaluation

# How much a net that has learned digits loses at most, in percentage points.
_MOST_LOST_TO_NOISE = 0.5  # of one gray level
_MOST_LOST_TO_MOVES = 20.0  # of one pixel
_MOST_IMAGES_LOST = 5  # where half a point is fewer images
_DEVIATIONS = 3  # standard deviations that chance explains


@dataclass(frozen=True)
class JudgedRule(Displayed):
    """A rule of a budget as it was judged.

    Attributes:
        limit: The key of the limit that yields it; empty if it holds without one.
        result: The result.
    """

    limit: str
    result: RuleResult


def judge_rules(
    cost: ModelCost,
    budget: Budget,
    evaluations: Sequence[Evaluation],
    dataset: str,
    *,
    complete: bool,
    batch_size: int | None = None,
) -> tuple[JudgedRule, ...]:
    """Judge a net; of submitted weights, only the final accuracy is known.

    Args:
        cost: What the net costs and consists of, with the epochs that it is trained for.
        budget: The limits.
        evaluations: Those after each epoch, or only the last one; none without weights.
        dataset: The name of the data set.
        complete: Whether they are those of all epochs.
        batch_size: That of the recipe; None if weights were submitted.

    Raises:
        BudgetError: The budget names a kind of layer that does not exist.
    """
    analysis.refuse_unknown_names(budget, cost.kinds)
    groups = budget.judge_by_limit(cost, batch_size=batch_size)
    source = "" if complete else " claimed"  # what has been trained is no longer planned
    rules = tuple(
        JudgedRule(limit, dataclasses.replace(rule, found=rule.found.replace(" planned", source)))
        for limit, group in groups
        for rule in group
    )
    if not evaluations:
        return rules
    outcome = Outcome([one.score for one in evaluations], dataset)
    judged = [r for r in budget.judge(cost, outcome).results if is_about_accuracy(r)]
    # The epochs before the last one are not known: that rule stays NOT YET.
    known = {r.rule: r for r in judged if complete or r.rule == "accuracy, last epoch"}
    return tuple(JudgedRule(one.limit, known.get(one.result.rule, one.result)) for one in rules)


def worst_state(rules: Sequence[RuleResult]) -> GradeState:
    """Return the verdict of a submission: that of its worst rule."""
    states = {rule.state for rule in rules}
    order: tuple[GradeState, ...] = ("FAIL", "UNKNOWN", "NOT JUDGED", "NOT YET")
    return next((state for state in order if state in states), "PASS")


def suspect(clean: Evaluation, noisy: Evaluation, moved: Evaluation, *, disputed: int = 0) -> str:
    """Return why a person should look at a net that scores; empty if nothing is unusual.

    The scores of a net vary if it draws random numbers, or if an image's logits depend on the other
    images of its batch. By chance, about as many images are right only among the copies as only
    among the test images. The former count bounds what chance explains of a loss: a table of
    answers does not raise it.

    Args:
        clean: The evaluation on the test images.
        noisy: That on copies that differ by one gray level.
        moved: That on copies moved by one pixel.
        disputed: The number of test images whose label most annotators reject.
    """
    score = clean.score
    if disputed and score.correct > score.total - disputed:
        reach = 100 - 100 * disputed / score.total
        return (
            f"the net classifies {score.percent:.2f}% of the test images correctly, more than a "
            f"net can reach that agrees with the annotators ({reach:.2f}%); the teacher checks "
            "whether it was trained on the test images"
        )
    if _loses_more(clean, noisy, max(_MOST_IMAGES_LOST, _MOST_LOST_TO_NOISE * score.total / 100)):
        copies, change = noisy.score, "that differ by one gray level"
    elif _loses_more(clean, moved, _MOST_LOST_TO_MOVES * score.total / 100):
        copies, change = moved.score, "moved by one pixel"
    else:
        return ""
    return (
        f"the net classifies {score.percent:.2f}% of the test images correctly, but "
        f"{copies.percent:.2f}% of copies {change}; the teacher checks whether the code "
        "has a table of answers"
    )


def _loses_more(clean: Evaluation, copies: Evaluation, most: float) -> bool:
    """Return whether a net loses more images to a change than a number, and than chance explains.

    Args:
        clean: The evaluation on the test images.
        copies: That on their copies.
        most: The number.
    """
    wrong = {one.image for one in copies.mistakes}
    right_by_chance = sum(one.image not in wrong for one in clean.mistakes)
    # Each image is as likely to be right only here as only there.
    explained = _DEVIATIONS * math.sqrt(2 * right_by_chance)
    return clean.score.correct - copies.score.correct > max(most, explained)


def make_curve(train_percents: Sequence[Any], evaluations: Sequence[Evaluation]) -> Curve:
    """Return the accuracy after each epoch.

    Args:
        train_percents: Those on the training images, as the sandbox returned them.
        evaluations: Those on the test images.

    Raises:
        ValueError: A number is not an accuracy.
        TypeError: It is not a number.
    """
    train = tuple(float(percent) for percent in train_percents[: len(evaluations)])
    if not all(0 <= percent <= 100 for percent in train):
        raise ValueError("an accuracy that is none")
    return Curve(train, tuple(one.score.correct for one in evaluations))
