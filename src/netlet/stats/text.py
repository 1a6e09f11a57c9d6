"""Studies and comparisons as a terminal shows them, and the same figures as plain values."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from netlet.budgets import Score
from netlet.records.study import Study
from netlet.stats.comparison import Comparison
from netlet.stats.diagnosis import diagnose, generalization_gap
from netlet.stats.formatting import (
    format_interval,
    format_p_value,
    format_seed_count,
    name_single_value_seeds,
)
from netlet.stats.images import error_rates, interval_over_images
from netlet.stats.seeds import interval_over_seeds, mean_percent, p_value_mean_above, sd_points
from netlet.stats.verdict import count_passing_seeds, study_verdict, target_percent
from netlet.text import table


def study_text(study: Study) -> str:
    """A row for each seed, and what they say together."""
    scores = [Score(study.split, seed.correct, study.total) for seed in study.seeds]
    rows = [
        [
            str(seed.seed),
            f"{seed.correct:,}",
            f"{score.percent:.2f}",
            f"{max(seed.correct_by_epoch):,}",
            f"{100 * seed.train_correct / study.train_total:.2f}",
            f"{seed.train_s:.1f}",
            seed.verdict or "-",
        ]
        for seed, score in zip(study.seeds, scores, strict=True)
    ]
    head = ("seed", "last epoch", "%", "best", "train %", "train s", "verdict")
    return "\n".join([table(head, rows, "rrrrrrl"), *_sums(study)])


def _sums(study: Study) -> list[str]:
    n, correct = len(study.seeds), [seed.correct for seed in study.seeds]
    sd, over_seeds, over_images = (
        sd_points(study),
        interval_over_seeds(study),
        interval_over_images(study),
    )
    spread = f", sd {sd:.3f}" if sd is not None else ""
    lines = [
        f"{study.name} on {study.data['name']}, {format_seed_count(n)}, last epoch on {study.total:,} {study.split} images:",
        f"mean {mean_percent(study):.3f} %{spread}, min {min(correct):,}, max {max(correct):,}",
        f"95 % interval, other seeds: {format_interval(over_seeds) if over_seeds else f'{name_single_value_seeds(study)} cannot say'}; "
        f"other images: {format_interval(over_images)}",
    ]
    rates = error_rates(study)
    if n > 1:
        lines.append(
            f"{int((rates > 0).sum()):,} images are wrong for some seed, {int((rates == 1).sum()):,} for all {n}"
        )
    found = generalization_gap(study)
    lines.append(
        f"gap to the training images {found.points:.2f} points, {found.low:.2f} to {found.high:.2f}: {diagnose(study)}"
    )
    if study.budget is not None:
        verdict = study_verdict(study)
        assert verdict is not None
        budget, state = study.budget["name"], verdict.state
        lines.append(
            f"{count_passing_seeds(study)} of {n} meet the budget {budget}; their mean: {state}{_chance(study)}"
        )
    seconds, threads = (
        statistics.median(seed.train_s for seed in study.seeds),
        study.environment["threads"],
    )
    lines.append(
        f"median training time {seconds:.1f} s, {threads} thread{'s' if threads > 1 else ''} each"
    )
    return lines


def _chance(study: Study) -> str:
    p = _p(study)
    return "" if p is None else f" (one-sided {format_p_value(p)})"


def _p(study: Study) -> float | None:
    bar = target_percent(study)
    return None if bar is None else p_value_mean_above(study, bar)


def study_to_json(study: Study) -> dict[str, Any]:
    """The study as plain values, with the figures that follow from its seeds under ``result``."""
    correct = [seed.correct for seed in study.seeds]
    verdict, rates, found = study_verdict(study), error_rates(study), generalization_gap(study)
    interval = interval_over_seeds(study)
    result = {
        "seeds": len(correct),
        "mean_percent": mean_percent(study),
        "sd_points": sd_points(study),
        "min_correct": min(correct),
        "max_correct": max(correct),
        "interval_over_seeds_percent": list(interval) if interval else None,
        "interval_over_images_percent": list(interval_over_images(study)),
        "p_mean_reaches_bar": _p(study),
        "verdict_of_mean": verdict.state if verdict else None,
        "met_budget": count_passing_seeds(study),
        "seeds_wrong_by_image": {
            int(i): round(rates[i] * len(correct)) for i in rates.nonzero()[0]
        },
        "images_wrong_for_some": int((rates > 0).sum()),
        "images_wrong_for_all": int((rates == 1).sum()),
        "gap_points": found.points,
        "gap_interval_points": [found.low, found.high],
        "fit": diagnose(study),
        "median_train_s": statistics.median(seed.train_s for seed in study.seeds),
    }
    return {"result": result, **study.to_dict()}


def comparison_text(found: Comparison) -> str:
    """A table of the two, what each test says, and the conclusion."""
    rows = [
        [found.a, str(found.seeds[0]), f"{found.a_percent:.3f}", ""],
        [found.b, str(found.seeds[1]), f"{found.b_percent:.3f}", f"{found.difference:+.3f}"],
    ]
    tests = [
        [
            test.name,
            "cannot say" if test.p is None else format_p_value(test.p),
            format_interval(test.interval, "points"),
            test.about,
        ]
        for test in (found.over_seeds, found.over_images)
    ]
    return "\n\n".join(
        [
            f"last epoch on {found.total:,} {found.split} images\n"
            + table(("", "seeds", "mean %", "difference"), rows, "lrrr"),
            table(("test", "", "95 % interval", "from"), tests, "llll"),
            found.conclusion,
        ]
    )


def comparison_to_json(found: Comparison) -> dict[str, Any]:
    """The same as plain values."""
    return dataclasses.asdict(found) | {
        "difference_points": found.difference,
        "shown": found.shown,
        "conclusion": found.conclusion,
    }
