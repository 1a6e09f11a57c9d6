"""A ladder as a figure: the errors of each rung."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlet import stats
from netlet.records import Study
from netlet.report.figures import BLUE, GRAY, NARROW, ORANGE, new_figure, use_error_axis, use_style
from netlet.report.study_plots import style_targets
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMALLEST_ERROR = 0.01  # percent; none at all has no place on a logarithmic axis


def ladder_figure(names: Sequence[str], studies: Sequence[Study]) -> Figure:
    """Draw the held-out and training error of each rung, first rung on top, and the target.

    Args:
        names: The name of each rung.
        studies: The study of each rung.

    Raises:
        ReportError: matplotlib is not installed.
    """
    figure = new_figure(NARROW, 1.3 + 0.25 * len(studies))
    with use_style():
        axes = figure.subplots()
        held_out = [_clip(100 - stats.mean_percent(study)) for study in studies]
        train = [_clip(100 - stats.generalization_gap(study).train_percent) for study in studies]
        intervals = [
            (_clip(100 - high), _clip(100 - low))
            for low, high in map(stats.interval_over_images, studies)
        ]
        for row, interval in enumerate(intervals):
            axes.plot(interval, [row] * 2, color=BLUE, linewidth=1.2)
        rows = range(len(studies))
        split = studies[0].split
        axes.plot(held_out, rows, "o", color=BLUE, label=f"{split} images, 95% interval")
        label = "training images, not augmented"
        axes.plot(train, rows, "s", color=ORANGE, markerfacecolor="none", label=label)
        for target, line in style_targets(studies):
            text = f"target ({target:g}% accuracy)"
            axes.axvline(
                100 - target, color=GRAY, linestyle=line, linewidth=1, label=text, zorder=1
            )
        axes.set_yticks(rows, labels=[*map(escape_controls, names)])
        axes.set_ylim(len(studies) - 0.5, -0.5)
        axes.grid(axis="y", color=GRAY, alpha=0.25, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        every = [*train, *(end for interval in intervals for end in interval)]
        use_error_axis(axes, 0.9 * min(every), 1.1 * max(every), axis="x")
        axes.set_xlabel("error (%)")
        figure.legend(loc="outside lower center", ncols=2, columnspacing=1.2)
    return figure


def _clip(error: float) -> float:
    return max(error, _SMALLEST_ERROR)
