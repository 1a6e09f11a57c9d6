"""One plot for the learning curves of several studies."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlet import stats
from netlet.records import Study
from netlet.report.figures import BLUE, GRAY, GREEN, NARROW, ORANGE, RED, new_figure, use_style
from netlet.report.study_plots import (
    held_out_percents,
    label_epochs,
    style_targets,
    training_percents,
    use_whole_numbers,
)
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_LOOKS = [
    (color, marker, line)
    for line in ("-", "--", ":")
    for color, marker in (
        (BLUE, "o"),
        (ORANGE, "s"),
        (GREEN, "^"),
        ("#cc79a7", "D"),
        (RED, "v"),
        ("#56b4e9", "P"),
    )
]
_LEGEND_LETTERS = 55  # of a line of the legend
_LINE_HEIGHT = 0.19  # inches: of the legend, which has a line for each study


def curves_of_studies(studies: Sequence[Study]) -> Figure:
    """Draw the accuracy after each epoch of several studies: held out, and during training.

    Lines are means over seeds; bands reach from the lowest to the highest seed.

    Args:
        studies: The studies, each with a name of its own; they may have different epochs.

    Raises:
        ReportError: matplotlib is not installed.
    """
    targets = _label_targets(studies)
    further = sum(label.count("\n") for _, _, label in targets)
    figure = new_figure(NARROW, 5.2 + _LINE_HEIGHT * (len(studies) + further))
    with use_style():
        upper, lower = figure.subplots(2, 1, sharex=True)
        held_out = [held_out_percents(study) for study in studies]
        train = [training_percents(study) for study in studies]
        lines = _draw_lines(upper, studies, held_out)
        _draw_lines(lower, studies, train)
        names = [escape_controls(study.name) for study in studies]
        for target, style, label in targets:
            lines.append(upper.axhline(target, color=GRAY, linestyle=style, linewidth=1, zorder=1))
            names.append(label)
        upper.set_ylabel(f"{studies[0].split} accuracy (%)")
        lower.set_ylabel("accuracy while training (%)")
        shown = ((upper, held_out), (lower, train))
        label_epochs(
            lower,
            cut=any(one.min() < axes.get_ylim()[0] for axes, values in shown for one in values),
        )
        lower.set_xlim(0.7, max(study.epochs for study in studies) + 0.3)
        use_whole_numbers(lower)
        # Named here: matplotlib leaves out of a legend what begins with an underscore.
        figure.legend(lines, names, loc="outside lower left", ncols=1)
    return figure


def _label_targets(studies: Sequence[Study]) -> list[tuple[float, str, str]]:
    """Return the accuracies that the budgets ask for, each with its style of line and its label.

    If there are several, the label names the studies that each is for.
    """
    labeled = []
    targets = style_targets(studies)
    for target, style in targets:
        names = [one.name for one in studies if stats.target_percent(one) == target]
        of = f" ({', '.join(map(escape_controls, names))})" if len(targets) > 1 else ""
        labeled.append((target, style, textwrap.fill(f"target {target:g}%{of}", _LEGEND_LETTERS)))
    return labeled


def _draw_lines(
    axes: Axes, studies: Sequence[Study], percents: Sequence[NDArray[np.float64]]
) -> list[Line2D]:
    """Draw the percents ``seeds epochs`` of each study; return the lines."""
    lines = []
    looks = islice(cycle(_LOOKS), len(studies))
    for study, values, (color, marker, line) in zip(studies, percents, looks, strict=True):
        epochs = np.arange(1, study.epochs + 1)
        lines += axes.plot(
            epochs, values.mean(0), color=color, marker=marker, linestyle=line, markersize=3.5
        )
        if len(values) > 1:
            low, high = values.min(0), values.max(0)
            axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
    # The first epoch would squeeze the others together.
    later = [values[:, 1:] if values.shape[1] > 2 else values for values in percents]
    room = max(100 - min(float(values.min()) for values in later), 0.1)
    axes.set_ylim(bottom=100 - 1.15 * room, top=100 + 0.03 * room)
    return lines
