"""Studies and comparisons as text for a terminal and as values for JSON."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from netlet.records.study import Study
from netlet.stats.comparison import SIGNIFICANCE, Comparison
from netlet.stats.diagnosis import diagnose, generalization_gap
from netlet.stats.formatting import (
    explain_missing_interval,
    format_interval,
    format_p_value,
    format_seed_count,
)
from netlet.stats.images import error_rates, interval_over_images
from netlet.stats.seed_environments import format_threads, summarize_environments
from netlet.stats.seeds import interval_over_seeds, mean_percent, p_value_mean_above, sd_points
from netlet.stats.shift_average import describe_shifts
from netlet.stats.verdict import count_passing_seeds, study_verdict, target_percent
from netlet.text import Table, escape_controls, round_percentages


def seed_table(study: Study) -> Table:
    """Return the results of each seed, one row for each."""
    rows = [
        [
            str(seed.seed),
            seed.verdict or "-",
            f"{seed.correct:,}",
            f"{100 * seed.correct / study.total:.2f}%",
            f"{max(seed.correct_by_epoch):,}",
            f"{100 * seed.train_correct / study.train_total:.2f}%",
            f"{100 * seed.train_correct_by_epoch[-1] / study.train_total:.2f}%",
            f"{seed.train_s:.1f} s",
        ]
        for seed in study.seeds
    ]
    columns = (
        "seed",
        "verdict",
        f"correct of {study.total:,}",
        f"{study.split} accuracy",
        "correct at best epoch",
        "train accuracy",
        "train accuracy during training",
        "training time",
    )
    return Table(columns, rows, "rlrrrrrr")


def study_text(study: Study) -> str:
    """Return a study as text: a row for each seed, then the statistics."""
    return "\n".join([str(seed_table(study)), *map(escape_controls, summarize_study(study))])


def summarize_study(study: Study) -> list[str]:
    """Return the statistics of a study as lines of text."""
    return [
        f"{study.name} on {study.data['name']}, {format_seed_count(len(study.seeds))}, "
        f"last epoch on {study.total:,} {study.split} images:",
        *_summarize_accuracy(study),
        *describe_shifts([study]),
        *_summarize_images(study),
        _summarize_gap(study),
        *_summarize_verdict(study),
        _summarize_time(study),
        *summarize_environments(study),
    ]


def _summarize_accuracy(study: Study) -> list[str]:
    correct, sd = [seed.correct for seed in study.seeds], sd_points(study)
    over_seeds = interval_over_seeds(study)
    spread = f", sd {sd:.3f} points" if sd is not None else ""
    seeds = (
        format_interval(over_seeds) if over_seeds else f"unknown, {explain_missing_interval(study)}"
    )
    return [
        f"mean accuracy {mean_percent(study):.3f}%{spread}, "
        f"{_format_range(min(correct), max(correct))} correct",
        f"95% interval over seeds: {seeds}; over images: "
        f"{format_interval(interval_over_images(study))}",
    ]


def _summarize_images(study: Study) -> list[str]:
    n, rates = len(study.seeds), error_rates(study)
    if n == 1:
        return []
    some, every = int((rates > 0).sum()), int((rates == 1).sum())
    all_seeds = "both" if n == 2 else f"all {n}"
    return [f"{some:,} images are misclassified by at least one seed, {every:,} by {all_seeds}"]


def _format_range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _summarize_gap(study: Study) -> str:
    gap = generalization_gap(study)
    return (
        f"generalization gap {gap.points:.2f} points (95% interval {gap.low:.2f} to "
        f"{gap.high:.2f}): {diagnose(study)}"
    )


def _summarize_verdict(study: Study) -> list[str]:
    verdict = study_verdict(study)
    if verdict is None:
        return []
    passing = count_passing_seeds(study)
    seeds = "" if passing is None else f"{passing} of {format_seed_count(len(study.seeds))} pass; "
    lines = [f"{verdict.label}: {seeds}mean of the seeds: {verdict.state}"]
    for rule in verdict.results:
        if rule.state in ("FAIL", "UNKNOWN"):
            lines.append(f"missed: {rule.title}: found {rule.found}, limit {rule.limit}")
            lines += [f"{rule.title}: {rule.message}"] if rule.message else []
        elif rule.state == "NOT JUDGED":
            lines.append(f"not judged: {rule.title} {rule.limit}")
    target, p = target_percent(study), _target_p_value(study)
    if target is not None and p is not None:
        significantly = "significantly" if p < SIGNIFICANCE else "not significantly"
        lines.append(
            f"the mean is {significantly} above {target:g}% (one-sided t test, "
            f"{format_p_value(p)}; null hypothesis: the expected accuracy is at most {target:g}%)"
        )
    return lines


def _summarize_time(study: Study) -> str:
    seconds = statistics.median(seed.train_s for seed in study.seeds)
    threads = format_threads(study)
    starts = " after the random starts" if study.recipe.get("random_starts", 1) > 1 else ""
    return f"median training time{starts} {seconds:.1f} s with {threads} for each seed"


def _target_p_value(study: Study) -> float | None:
    target = target_percent(study)
    return None if target is None else p_value_mean_above(study, target)


def study_to_json(study: Study) -> dict[str, Any]:
    """Return the study's record, with the statistics computed from it under ``result``."""
    correct = [seed.correct for seed in study.seeds]
    verdict, rates, gap = study_verdict(study), error_rates(study), generalization_gap(study)
    interval = interval_over_seeds(study)
    result = {
        "seeds": len(correct),
        "mean_percent": mean_percent(study),
        "sd_points": sd_points(study),
        "min_correct": min(correct),
        "max_correct": max(correct),
        "interval_over_seeds_percent": list(interval) if interval else None,
        "interval_over_images_percent": list(interval_over_images(study)),
        "p_mean_above_target": _target_p_value(study),
        "verdict_of_mean": verdict.state if verdict else None,
        "passing_seeds": count_passing_seeds(study),
        "seeds_wrong_by_image": {
            int(i): round(rates[i] * len(correct)) for i in rates.nonzero()[0]
        },
        "images_wrong_for_some": int((rates > 0).sum()),
        "images_wrong_for_all": int((rates == 1).sum()),
        "generalization_gap_points": gap.points,
        "generalization_gap_interval_points": [gap.low, gap.high],
        "diagnosis": diagnose(study),
        "median_train_s": statistics.median(seed.train_s for seed in study.seeds),
    }
    return {"result": round_percentages(result), **study.to_dict()}


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as text: both means, both tests, the conclusion and what else differs."""
    accuracies, tests = comparison_tables(comparison)
    parts = [
        f"last epoch on {comparison.total:,} {comparison.split} images\n{accuracies}",
        str(tests),
        escape_controls(comparison.conclusion),
        escape_controls(comparison.training_note),
        *map(escape_controls, describe_shifts(comparison.studies or ())),
    ]
    return "\n\n".join(part for part in parts if part)


def comparison_tables(comparison: Comparison) -> tuple[Table, Table]:
    """Return the tables of a comparison: both means, and both tests."""
    a, b = comparison.a, comparison.b
    difference = f"{comparison.difference:+.3f} points"
    rows = [
        [a, str(comparison.seeds[0]), f"{comparison.a_percent:.3f}%", ""],
        [b, str(comparison.seeds[1]), f"{comparison.b_percent:.3f}%", difference],
    ]
    tests = [
        [
            test.name,
            "undecided" if test.p is None else format_p_value(test.p),
            format_interval(test.interval, "points"),
            test.about,
        ]
        for test in (comparison.over_seeds, comparison.over_images)
    ]
    return (
        Table(("", "seeds", "mean accuracy", "difference"), rows, "lrrr"),
        Table(("test", "p-value", "95% interval", "based on"), tests, "llll"),
    )


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as values for JSON."""
    values = dataclasses.asdict(dataclasses.replace(comparison, studies=None)) | {
        "difference_points": comparison.difference,
        "significant": comparison.significant,
        "conclusion": comparison.conclusion,
    }
    del values["studies"]
    return round_percentages(values)
