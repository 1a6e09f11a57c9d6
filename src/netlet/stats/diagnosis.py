"""What a study's figures mean, in sentences that are computed from them.

A net errs on held-out images for two reasons: it could not learn what it was shown, or it learned
its training images by heart. Its errors on the training images *as they are* are the first part,
the rest, the gap, is the second. The accuracy while training is no measure of either: it is of
augmented images, with dropout, before each step.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from netlet.recipes import Warp
from netlet.records.study import Study
from netlet.stats.comparison import compare
from netlet.stats.formatting import format_p_value
from netlet.stats.images import error_rates, interval_over_images
from netlet.stats.seeds import (
    confidence_half_width,
    interval_over_seeds,
    mean_percent,
    p_value_mean_above,
    seed_percents,
)
from netlet.stats.verdict import reaches_target, target_percent
from netlet.text import per_axis

Diagnosis = Literal["at chance", "over-fitting", "under-fitting", "balanced", "unclear"]


@dataclass(frozen=True)
class GeneralizationGap:
    """How much better a net does on the images it was trained on than on others; points, with its 95 % interval."""

    train_percent: float  # of the training images as they are
    held_out_percent: float
    low: float
    high: float

    @property
    def points(self) -> float:
        """Training accuracy less held-out accuracy."""
        return self.train_percent - self.held_out_percent

    @property
    def share(self) -> float:
        """Of the held-out error that is gap; 0 where there is none."""
        error = 100 - self.held_out_percent
        return max(self.points, 0.0) / error if error else 0.0

    @property
    def shown(self) -> bool:
        """Whether other seeds and other images would hardly do away with it."""
        return self.low > 0


def generalization_gap(study: Study, confidence: float = 0.95) -> GeneralizationGap:
    """A study's gap, with the chance of the seeds and that of the images, which add up as independent errors do."""
    train = [100 * seed.train_correct / study.train_total for seed in study.seeds]
    held_out = seed_percents(study)
    seeds = confidence_half_width([t - h for t, h in zip(train, held_out, strict=True)], confidence) or 0.0
    mean_train, mean_held_out = float(np.mean(train)), float(np.mean(held_out))
    share = mean_train / 100
    variance = (
        float(error_rates(study).var()) / study.total + share * (1 - share) / study.train_total
    )
    images = 100 * NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    half = math.hypot(seeds, images)
    points = mean_train - mean_held_out
    return GeneralizationGap(mean_train, mean_held_out, points - half, points + half)


def diagnose(study: Study) -> Diagnosis:
    """Which of the two reasons for its errors a study should be rid of next.

    ``at chance`` if always naming the largest class might do as well, on training images too;
    ``over-fitting`` if the gap is shown and makes up half of the held-out error or more; else
    ``balanced`` if the bar is reached; ``under-fitting`` if the gap is shown to be less than half
    of the error, and ``unclear`` if it is not.
    """
    found, (low, high) = generalization_gap(study), interval_over_images(study)
    if low <= _guessing(study) and found.train_percent <= high:
        return "at chance"
    if found.shown and found.share >= 0.5:
        return "over-fitting"
    error = 100 - found.held_out_percent
    if reaches_target(study) or not error:
        return "balanced"
    return "under-fitting" if found.high < error / 2 else "unclear"


def analyze_study(study: Study, before: Study | None = None) -> list[str]:
    """All that the figures say, a sentence or a few for each matter.

    Args:
        study: What is explained.
        before: The study that it was derived from, on the same images; what was changed and what it
            brought is told.

    Raises:
        RecordError: The two cannot be compared.
    """
    told = [
        _fit_text(study),
        _running_text(study),
        _bar_text(study),
        _capacity_text(study),
        _best_text(study),
    ]
    if before is not None:
        told += [describe_changes(study, before), _effect_text(study, before)]
    return [text for text in told if text]


def describe_changes(study: Study, before: Study) -> str:
    """What distinguishes a study's net and recipe from another's."""
    parts = []
    if study.net_digest != before.net_digest:
        kinds, old = (
            Counter(row["kind"] for row in one.summary["rows"]) for one in (study, before)
        )
        layers = [f"{kinds[k] - old[k]:+d} {k}" for k in sorted(kinds | old) if kinds[k] != old[k]]
        fields = [per_axis(one.receptive_field["size"]) for one in (before, study)]
        sees = f", receptive field {fields[0]} to {fields[1]}" if fields[0] != fields[1] else ""
        parts.append(
            f"the net ({before.cost['parameters']:,} to {study.cost['parameters']:,} parameters"
            f"{sees}{'; layers: ' if layers else ''}{', '.join(layers)})"
        )
    new, was = study.recipe, before.recipe
    parts += [
        f"{name} ({_value(was.get(name))} to {_value(new.get(name))})"
        for name in sorted({*new, *was} - {"name"})
        if new.get(name) != was.get(name)
    ]
    return f"Changed: {'; '.join(parts)}." if parts else "Changed: nothing that is recorded."


def _fit_text(study: Study) -> str:
    found, kind = generalization_gap(study), diagnose(study)
    measured = (
        f"{found.train_percent:.2f} % of the training images as they are and {found.held_out_percent:.2f} % of the "
        f"{study.split} images are right: a gap of {found.points:.2f} points "
        f"(95 % interval {found.low:.2f} to {found.high:.2f})"
    )
    share = f"{100 * found.share:.0f} % of its {study.split} error"
    if kind == "at chance":
        return f"It has learned nothing: {measured}, and guessing gives {_guessing(study):.1f} %."
    if kind == "over-fitting":
        return (
            f"Over-fitting: {measured}, {share}. That points to regularisation, augmentation or a smaller net rather "
            "than to capacity."
        )
    if kind == "under-fitting":
        part = f"only {share}" if found.shown else "none is shown"
        return (
            f"Under-fitting: {measured}; {part}: what it gets wrong it mostly could not learn. That points to "
            "capacity, or to longer or better training, rather than to regularisation."
        )
    if kind == "unclear":
        return f"Over- or under-fitting: {measured}; these seeds and images leave open which is the larger part of it."
    part = f"it makes up {share}" if found.shown else "none is shown"
    return f"Neither over- nor under-fitting: {measured}; {part}."


def _running_text(study: Study) -> str:
    running = (
        100 * float(np.mean([seed.train_correct_by_epoch[-1] for seed in study.seeds])) / study.train_total
    )
    held_out = mean_percent(study)
    hindered = _hindrances(study)
    if running >= held_out or not hindered:
        return ""
    return (
        f"While it trained, {running:.2f} % were right, fewer than of the {study.split} images: those are counted with "
        f"{' and '.join(hindered)}, and show no room for improvement by themselves."
    )


def _hindrances(study: Study) -> list[str]:
    """What makes training images harder than they are."""
    recipe = study.recipe
    drops = any("Dropout" in kind for kind in study.cost["kinds"]) and recipe.get("dropout") != 0
    return (["augmentation"] if recipe.get("augment") else []) + (["dropout"] if drops else [])


def _bar_text(study: Study) -> str:
    bar = target_percent(study)
    if bar is None:
        return ""
    mean, n = mean_percent(study), len(study.seeds)
    budget: Mapping[str, Any] = study.budget or {}
    reached = reaches_target(study)
    asked = f"{'above' if budget['accuracy_above'] is not None else 'at least'} {bar:g} %"
    state = "meets" if reached else "misses"
    if n == 1:
        return f"Its one seed, {mean:.2f} %, {state} the bar of {asked}; of other seeds it cannot say anything."
    interval, p = interval_over_seeds(study), p_value_mean_above(study, bar)
    within = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    text = f"The mean of {n} seeds, {mean:.3f} %{within}, {state} the bar of {asked}"
    if not reached:
        return f"{text}."
    if p is None:
        return f"{text}; all seeds are alike, so nothing can be said of its chance."
    sure = "shown" if p < 0.05 else "not shown"
    return f"{text}; that the mean of all seeds does is {sure} (one-sided {format_p_value(p)})."


def _capacity_text(study: Study) -> str:
    limit = (study.budget or {}).get("params_below")
    if limit is None:
        return ""
    found = study.cost["parameters"]
    if found >= limit:
        return f"{found:,} parameters are {found / limit:.1f} times the {limit:,} that it must stay below."
    return (
        f"{found:,} of fewer than {limit:,} parameters: {limit - 1 - found:,} could still be spent."
    )


def _best_text(study: Study) -> str:
    best = float(np.mean([max(seed.correct_by_epoch) for seed in study.seeds])) * 100 / study.total
    above = best - mean_percent(study)
    if above <= 0:
        return ""
    whose = "its seed's" if len(study.seeds) == 1 else "each seed's"
    return (
        f"The best of {study.epochs} epochs, {whose} own, reads {best:.2f} %, {above:.2f} points above the last; an "
        f"epoch chosen on {study.split} is no result."
    )


def _effect_text(study: Study, before: Study) -> str:
    found = compare(before, study)
    said = found.conclusion
    tests = [
        f"{test.name}: {format_p_value(test.p)}"
        for test in (found.over_seeds, found.over_images)
        if test.p is not None
    ]
    return f"Since {before.name} ({found.difference:+.3f} points): {said} ({'; '.join(tests)})."


def _value(value: Any) -> str:
    """A recipe's value as a person would say it."""
    if isinstance(value, list):
        return " then ".join(map(_value, value)) or "none"
    if isinstance(value, dict):
        still = dataclasses.asdict(Warp())
        moved = {name: amount for name, amount in value.items() if amount != still.get(name)}
        return ", ".join(f"{name} {_value(amount)}" for name, amount in moved.items()) or "nothing"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _guessing(study: Study) -> float:
    """Percent that whoever always names the largest class gets right."""
    return 100 * max(study.class_sizes) / study.total
