"""What a study's results mean, in sentences that are computed from them.

A net makes errors on held-out images for two reasons: it could not fit its training data, or it
memorized them. Its error on the training images *without augmentation* is the first part; the
difference to the held-out error, the generalization gap, is the second. The accuracy during
training measures neither: it is of augmented images, with dropout, before each step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from netlet.display import Displayed
from netlet.records.study import Study
from netlet.stats.comparison import SIGNIFICANCE, compare
from netlet.stats.formatting import format_p_value, format_setting
from netlet.stats.images import error_rates, interval_over_images
from netlet.stats.seeds import (
    clip_points,
    confidence_half_width,
    interval_over_seeds,
    mean_percent,
    p_value_mean_above,
    seed_percents,
)
from netlet.stats.training_differences import DEFAULTS
from netlet.stats.verdict import reaches_target, target_percent
from netlet.text import format_sizes

Diagnosis = Literal["at chance", "overfitting", "underfitting", "balanced", "unclear"]


@dataclass(frozen=True)
class GeneralizationGap(Displayed):
    """Training accuracy minus held-out accuracy, both after the last epoch, with a 95% interval."""

    train_percent: float  # on the training images without augmentation
    held_out_percent: float
    low: float  # of the interval, in percentage points
    high: float

    @property
    def points(self) -> float:
        """The gap in percentage points."""
        return self.train_percent - self.held_out_percent

    @property
    def share(self) -> float:
        """The gap as a share (0..1) of the held-out error; 0 if there is no error or no gap."""
        error = 100 - self.held_out_percent
        return max(self.points, 0.0) / error if error else 0.0

    @property
    def significant(self) -> bool:
        """Whether the 95% interval lies above zero."""
        return self.low > 0


def generalization_gap(study: Study, confidence: float = 0.95) -> GeneralizationGap:
    """Return a study's generalization gap.

    The interval combines the variance over seeds and the variance over images, as independent
    errors.
    """
    train = [100 * seed.train_correct / study.train_total for seed in study.seeds]
    held_out = seed_percents(study)
    seeds = (
        confidence_half_width([t - h for t, h in zip(train, held_out, strict=True)], confidence)
        or 0.0
    )
    mean_train, mean_held_out = float(np.mean(train)), float(np.mean(held_out))
    share = mean_train / 100
    variance = (
        float(error_rates(study).var()) / study.total + share * (1 - share) / study.train_total
    )
    images = 100 * NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    half = math.hypot(seeds, images)
    points = mean_train - mean_held_out
    return GeneralizationGap(mean_train, mean_held_out, *clip_points(points - half, points + half))


def diagnose(study: Study) -> Diagnosis:
    """Return the main reason for a study's errors.

    * ``at chance``: no better than always predicting the largest class, on training images too.
    * ``overfitting``: the gap is significant and at least half of the held-out error.
    * ``balanced``: the target accuracy is reached, or there are no errors.
    * ``underfitting``: the gap is significantly less than half of the held-out error.
    * ``unclear``: the seeds and images leave open which part is larger.
    """
    gap, (low, high) = generalization_gap(study), interval_over_images(study)
    if low <= _largest_class_percent(study) and gap.train_percent <= high:
        return "at chance"
    if gap.significant and gap.share >= 0.5:
        return "overfitting"
    error = 100 - gap.held_out_percent
    if reaches_target(study) or not error:
        return "balanced"
    return "underfitting" if gap.high < error / 2 else "unclear"


def analyze_study(study: Study, before: Study | None = None) -> list[str]:
    """Return what the results of a study mean, in a few sentences for each matter.

    Args:
        study: The study to explain.
        before: The study that it was derived from, scored on the same images; adds what changed
            and what the change brought.

    Raises:
        RecordError: The two studies cannot be compared.
    """
    sentences = [
        _explain_gap(study),
        _explain_accuracy_during_training(study),
        _explain_target(study),
        _explain_parameters(study),
        _explain_best_epoch(study),
    ]
    if before is not None:
        sentences += [describe_changes(study, before), _explain_effect(study, before)]
    return [sentence for sentence in sentences if sentence]


def describe_changes(study: Study, before: Study) -> str:
    """Return a sentence on how the net and the recipe of two studies differ."""
    parts = []
    if study.net_digest != before.net_digest:
        parts.append(_describe_net_change(study, before))
    elif len({study.source_digest, before.source_digest} - {""}) > 1:
        parts.append("the code of the net")
    # Records leave out some fields that have their default.
    new, old = DEFAULTS | dict(study.recipe), DEFAULTS | dict(before.recipe)
    parts += [
        f"{name} ({format_setting(old[name])} to {format_setting(new[name])})"
        for name in sorted({*new, *old} - {"name", "about"})
        if new[name] != old[name]
    ]
    return f"Changed: {'; '.join(parts)}." if parts else "Changed: nothing that the record holds."


def _describe_net_change(study: Study, before: Study) -> str:
    new, old = (Counter(row["kind"] for row in one.summary["rows"]) for one in (study, before))
    layers = [f"{new[k] - old[k]:+d} {k}" for k in sorted(new | old) if new[k] != old[k]]
    was, now = (format_sizes(one.receptive_field["size"]) for one in (before, study))
    field = f", receptive field {was} to {now}" if was != now else ""
    return (
        f"the net ({before.cost['parameters']:,} to {study.cost['parameters']:,} parameters{field}"
        f"{'; layers: ' if layers else ''}{', '.join(layers)})"
    )


def _explain_gap(study: Study) -> str:
    gap, diagnosis = generalization_gap(study), diagnose(study)
    accuracies = (
        f"accuracy is {gap.train_percent:.2f}% on the training images (without augmentation) and "
        f"{gap.held_out_percent:.2f}% on the {study.split} images"
    )
    if diagnosis == "at chance":
        return (
            f"The net has learned nothing: {accuracies}; always predicting the largest class "
            f"scores {_largest_class_percent(study):.1f}%."
        )
    text = (
        f"{accuracies}, a generalization gap of {gap.points:.2f} points "
        f"(95% interval {gap.low:.2f} to {gap.high:.2f})"
    )
    share = f"{100 * gap.share:.0f}% of the {study.split} error"
    part = f"The gap is {share}" if gap.significant else "The gap is not significant"
    if diagnosis == "overfitting":
        return (
            f"Overfitting: {text}. {part}, so regularization, augmentation or a smaller net would "
            "help more than capacity."
        )
    if diagnosis == "underfitting":
        if gap.significant:
            part = f"The gap is only {share}"
        return (
            f"Underfitting: {text}. {part}, so more capacity, or longer or better training, would "
            "help more than regularization."
        )
    if diagnosis == "unclear":
        return (
            f"Unclear whether overfitting or underfitting: {text}. These seeds and images "
            "leave open which of them causes more of the errors."
        )
    return f"Balanced, neither overfitting nor underfitting: {text}. {part}."


def _explain_accuracy_during_training(study: Study) -> str:
    correct = float(np.mean([seed.train_correct_by_epoch[-1] for seed in study.seeds]))
    running = 100 * correct / study.train_total
    obstacles = _list_obstacles(study)
    if running >= mean_percent(study) or not obstacles:
        return ""
    return (
        f"The accuracy during training was {running:.2f}%, lower than on the {study.split} images. "
        f"It is measured with {' and '.join(obstacles)} and does not show by itself that there is "
        "room for improvement."
    )


def _list_obstacles(study: Study) -> list[str]:
    """Return what makes training images harder to classify than they are."""
    recipe = study.recipe
    drops = any("Dropout" in kind for kind in study.cost["kinds"]) and recipe.get("dropout") != 0
    return (["augmentation"] if recipe.get("augment") else []) + (["dropout"] if drops else [])


def _explain_target(study: Study) -> str:
    target = target_percent(study)
    if target is None:
        return ""
    mean, n = mean_percent(study), len(study.seeds)
    budget: Mapping[str, Any] = study.budget or {}
    reached = reaches_target(study)
    limit = f"{'above' if budget['accuracy_above'] is not None else 'at least'} {target:g}%"
    verb = "reaches" if reached else "misses"
    if study.split == "val" and budget.get("judged_on", "test") != "val":
        verb, limit = ("reaches" if reached else "is below"), f"{limit}; judged on test images only"
    if n == 1:
        return (
            f"The single seed ({mean:.2f}%) {verb} the target accuracy ({limit}); one seed says "
            "nothing about other seeds."
        )
    interval, p = interval_over_seeds(study), p_value_mean_above(study, target)
    within = f" (95% interval {interval[0]:.3f}% to {interval[1]:.3f}%)" if interval else ""
    text = f"The mean of {n} seeds, {mean:.3f}%{within}, {verb} the target accuracy ({limit})"
    if not reached:
        return f"{text}."
    if p is None:
        return f"{text}; all seeds have the same accuracy, so there is no test of significance."
    difference = "significantly" if p < SIGNIFICANCE else "not significantly"
    return f"{text}; it is {difference} above {target:g}% (one-sided {format_p_value(p)})."


def _explain_parameters(study: Study) -> str:
    limit = (study.budget or {}).get("params_below")
    if limit is None:
        return ""
    parameters = study.cost["parameters"]
    if parameters >= limit:
        return (
            f"The net has {parameters:,} parameters, {parameters / limit:.1f} times the limit of "
            f"fewer than {limit:,}."
        )
    return (
        f"The net has {parameters:,} parameters; the limit of fewer than {limit:,} leaves "
        f"{limit - 1 - parameters:,}."
    )


def _explain_best_epoch(study: Study) -> str:
    best = float(np.mean([max(seed.correct_by_epoch) for seed in study.seeds])) * 100 / study.total
    above = best - mean_percent(study)
    if above < 0.01:
        return ""
    digits = 2 if len(study.seeds) == 1 else 3
    which = (
        "The best epoch reaches"
        if len(study.seeds) == 1
        else "The mean of each seed's best epoch is"
    )
    return (
        f"{which} {best:.{digits}f}%, {above:.{digits}f} points above the last epoch; choosing "
        f"an epoch by its {study.split} accuracy would bias the result, so the last epoch counts."
    )


def _explain_effect(study: Study, before: Study) -> str:
    comparison = compare(before, study)
    tests = [
        f"{test.name}, {format_p_value(test.p)}"
        for test in (comparison.over_seeds, comparison.over_images)
        if test.p is not None
    ]
    return (
        f"Compared with {before.name} ({comparison.difference:+.3f} points): "
        f"{comparison.conclusion}. Tests: {'; '.join(tests)}."
    )


def _largest_class_percent(study: Study) -> float:
    """Return the accuracy of always predicting the largest class."""
    return 100 * max(study.class_sizes) / study.total
