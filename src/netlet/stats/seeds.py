"""Uncertainty over seeds: how accurate would other seeds be on the same images?

scipy is imported inside functions because it is slow to import, and only its special functions:
``scipy.stats`` takes a second more.
"""

from __future__ import annotations

import math
import statistics

from netlet.records.study import Study

# Values closer than this count as equal: they differ by rounding only.
ALIKE = 1e-9


def seed_percents(study: Study) -> list[float]:
    """Return each seed's accuracy after the last epoch, in percent."""
    return [100 * seed.correct / study.total for seed in study.seeds]


def mean_percent(study: Study) -> float:
    """Return the mean accuracy of the seeds after the last epoch, in percent."""
    return 100 * statistics.mean(seed.correct for seed in study.seeds) / study.total


def sd_points(study: Study) -> float | None:
    """Return the standard deviation over seeds, in percentage points; None for one seed."""
    return statistics.stdev(seed_percents(study)) if len(study.seeds) > 1 else None


def interval_over_seeds(study: Study, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the confidence interval of the mean over seeds, in percent, by Student's t.

    Returns:
        The interval; None for one seed, or if all seeds have the same accuracy.
    """
    half, mean = confidence_half_width(seed_percents(study), confidence), mean_percent(study)
    return None if half is None else (max(mean - half, 0.0), min(mean + half, 100.0))


def clip_points(low: float, high: float) -> tuple[float, float]:
    """Cut the interval of a difference of two accuracies to those that there are, -100 to 100."""
    return max(low, -100.0), min(high, 100.0)


def confidence_half_width(values: list[float], confidence: float = 0.95) -> float | None:
    """Return half the width of the t interval of a mean; None if the values do not vary."""
    if max(values) - min(values) < ALIKE:
        return None
    from scipy.special import stdtrit  # the inverse of Student's distribution function

    quantile = stdtrit(len(values) - 1, (1 + confidence) / 2)
    return float(quantile) * _standard_error(values)


def p_value_mean_above(study: Study, percent: float) -> float | None:
    """Return the p-value of a one-sided t test of whether the mean over seeds is above ``percent``.

    A small value shows that it is: so high a sample mean would be improbable otherwise.

    Returns:
        The p-value; None for one seed, or if all seeds have the same accuracy.
    """
    values = seed_percents(study)
    if max(values) - min(values) < ALIKE:
        return None
    from scipy.special import stdtr  # Student's distribution function

    t = (statistics.mean(values) - percent) / _standard_error(values)
    return float(stdtr(len(values) - 1, -t))


def _standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))
