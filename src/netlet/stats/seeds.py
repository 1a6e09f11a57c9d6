"""What a study's seeds say of all seeds: on these very images, would other draws of chance do as well?

scipy is imported where it is used: it takes longer than all the rest.
"""

from __future__ import annotations

import math
import statistics

from netlet.records.study import Study

# Values closer than this are the same: decimal fractions that ought to be equal differ in their
# last bits.
ALIKE = 1e-9


def seed_percents(study: Study) -> list[float]:
    """Each seed's accuracy after the last epoch."""
    return [100 * seed.correct / study.total for seed in study.seeds]


def mean_percent(study: Study) -> float:
    """Of the last epoch's accuracy."""
    return 100 * statistics.mean(seed.correct for seed in study.seeds) / study.total


def sd_points(study: Study) -> float | None:
    """Of the last epoch's accuracy from seed to seed; None for one seed."""
    return statistics.stdev(seed_percents(study)) if len(study.seeds) > 1 else None


def median_seed(study: Study) -> int:
    """The seed in the middle of a study, the lower one of two: neither its luckiest nor its unluckiest."""
    ranked = sorted(study.seeds, key=lambda seed: (seed.correct, seed.seed))
    return ranked[(len(ranked) - 1) // 2].seed


def interval_over_seeds(study: Study, confidence: float = 0.95) -> tuple[float, float] | None:
    """Between which percentages the mean of all seeds lies, by Student's t; None for one seed, or seeds all alike."""
    half, mean = confidence_half_width(seed_percents(study), confidence), mean_percent(study)
    return None if half is None else (max(mean - half, 0.0), min(mean + half, 100.0))


def confidence_half_width(values: list[float], confidence: float = 0.95) -> float | None:
    """Half of the interval about the mean of some values, by Student's t; None where they show no spread."""
    if max(values) - min(values) < ALIKE:
        return None
    from scipy import stats

    error: float = statistics.stdev(values) / math.sqrt(len(values))
    return float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error


def p_value_mean_above(study: Study, bar_percent: float) -> float | None:
    """How probable so high a mean would be if the mean of all seeds were the bar, by a one-sided t test.

    A small value shows that the experiment's mean surpasses the bar.

    Returns:
        The p-value; None where nothing can be said: of one seed, or of seeds that are all alike.
    """
    values = seed_percents(study)
    if max(values) - min(values) < ALIKE:
        return None
    from scipy import stats

    return float(stats.ttest_1samp(values, bar_percent, alternative="greater").pvalue)
