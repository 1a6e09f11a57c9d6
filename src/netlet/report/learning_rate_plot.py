"""The plot of a learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlet.report.figures import BLUE, GRAY, GREEN, NARROW, ORANGE, RED, new_figure, use_style
from netlet.report.study_plots import put_legend_below
from netlet.training import RangeTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def range_test_figure(test: RangeTest) -> Figure:
    """Draw the loss over the learning rate, with the suggestions and the recipe's rate.

    Args:
        test: The test, of :func:`netlet.training.run_range_test`.

    Raises:
        ReportError: matplotlib is not installed.
    """
    figure = new_figure(NARROW, 3.4)
    with use_style():
        draw_range_test(test, figure.subplots())
    return figure


def draw_range_test(test: RangeTest, axes: Axes) -> None:
    """Draw the loss over the learning rate on any axes, as :func:`range_test_figure` does."""
    axes.plot(test.rates, test.losses, ".", color=GRAY, alpha=0.4, label="each step")
    axes.plot(test.rates, test.smoothed, color=BLUE, label="smoothed")
    for rate, label, color, style in (
        (test.steepest, "steepest", GREEN, "--"),
        (test.tenth_of_lowest, "lowest / 10", ORANGE, "-."),
        (test.peak_lr, "peak_lr", RED, ":"),
    ):
        if rate is not None:
            axes.axvline(rate, color=color, linestyle=style, label=f"{label}: {rate:.2g}")
    low, high = min(test.smoothed), max(test.smoothed)
    room = 0.1 * (high - low) + 0.01
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.set_ylim(max(0, low - 3 * room), high + room)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    axes.xaxis.set_ticks([], minor=True)
    put_legend_below(axes)
