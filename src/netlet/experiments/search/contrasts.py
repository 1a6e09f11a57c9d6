"""Compare the arms of a comparison: differences to the baseline over the same seeds and folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from netlet.budgets import describe_teacher
from netlet.experiments.search.comparison import ArmRuns, Comparison
from netlet.stats.seeds import confidence_half_width

Runs = Mapping[int, Mapping[str, Any]]  # the finished runs of an arm by seed


@dataclass(frozen=True)
class Difference:
    """A mean difference to the baseline over the seeds that both have run.

    Attributes:
        mean: The mean of the differences.
        half_width: Half of its 95% interval (a paired t interval); None of a single run.
    """

    mean: float
    half_width: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.half_width is not None and abs(self.mean) > self.half_width


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """What the runs of an arm have led to.

    Attributes:
        name: The name of the arm.
        net: Its net.
        parameters: The net's number of parameters.
        teacher: The net on whose logits it was trained, in words; empty: none.
        runs: The number of finished runs.
        percent: The mean accuracy on the held-out images.
        sd_points: The standard deviation over the runs; None of a single one.
        nll: The mean calibrated NLL.
        points: Percentage points that it is above the baseline; None of the baseline itself.
        nll_difference: NLL that it is above the baseline; lower is better.
        dropped_after: The number of runs after which it was dropped; None: it was not.
    """

    name: str
    net: str
    parameters: int
    teacher: str
    runs: int
    percent: float
    sd_points: float | None
    nll: float
    points: Difference | None
    nll_difference: Difference | None
    dropped_after: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON documents have them."""

        def show(difference: Difference | None) -> dict[str, float | None] | None:
            if difference is None:
                return None
            return {"mean": difference.mean, "half_width": difference.half_width}

        values = dict(vars(self))
        return values | {
            "points": show(self.points),
            "nll_difference": show(self.nll_difference),
        }


def compare_arms(comparison: Comparison, runs: ArmRuns) -> list[ArmResult]:
    """Return the results of the arms that have run, in the order of the file."""
    baseline = runs.lines[comparison.baseline]
    return [
        _summarize(arm.name, runs.lines[arm.name], baseline, runs.dropped.get(arm.name))
        for arm in comparison.arms
        if runs.lines[arm.name]
    ]


def _summarize(name: str, runs: Runs, baseline: Runs, dropped: int | None) -> ArmResult:
    lines = list(runs.values())
    percents = [_percent(line) for line in lines]
    return ArmResult(
        name=name,
        net=lines[0]["net"],
        parameters=lines[0]["parameters"],
        teacher=describe_teacher(teacher) if (teacher := lines[0].get("teacher")) else "",
        runs=len(lines),
        percent=fmean(percents),
        sd_points=stdev(percents) if len(percents) > 1 else None,
        nll=fmean(line["nll"] for line in lines),
        points=_compare([_percent(a) - _percent(b) for a, b in _pair(runs, baseline)]),
        nll_difference=_compare([a["nll"] - b["nll"] for a, b in _pair(runs, baseline)]),
        dropped_after=dropped,
    )


def _pair(runs: Runs, baseline: Runs) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the runs of the seeds that both arms have run; none for the baseline itself."""
    if runs is baseline:
        return []
    return [(runs[seed], baseline[seed]) for seed in runs if seed in baseline]


def _compare(differences: Sequence[float]) -> Difference | None:
    if not differences:
        return None
    half = confidence_half_width(list(differences)) if len(differences) > 1 else None
    return Difference(fmean(differences), half)


def _percent(line: Mapping[str, Any]) -> float:
    return 100 * float(line["correct"]) / float(line["total"])
