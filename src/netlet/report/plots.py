"""Plots of single values, for ``value.plot()``: the figures of the reports, on any axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, singledispatch
from typing import TYPE_CHECKING, Any

from netlet.errors import ReportError, check_type, did_you_mean, install_hint
from netlet.records import Run, Study
from netlet.report import study_plots
from netlet.report.figures import NARROW, use_style
from netlet.report.frontier_plot import draw_frontier
from netlet.report.learning_rate_plot import draw_range_test
from netlet.stats import Comparison, Frontier
from netlet.text import escape_controls
from netlet.training import RangeTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _SQUARE = 3.2, 4.2  # inches
Draw = Callable[[Any], object]  # axes to anything


def plot(value: object, what: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a value.

    Args:
        value: A run, a study, a comparison, a frontier or a range test.
        what: What to draw of it; None: the first of its plots.
        ax: The axes to draw on; None: those of a new figure of pyplot.

    Returns:
        The axes.

    Raises:
        ReportError: matplotlib is not installed, there is no such plot, or nothing to draw.
        TypeError: ``what`` is not text; or ``ax`` are not axes of matplotlib.
    """
    draws = list_plots(value)
    if what is not None:
        check_type(what, str, "what to plot", "a text like 'accuracy'; pass axes as ax=")
    what = what or next(iter(draws))
    if what not in draws:
        raise ReportError(
            f"a {type(value).__name__} has no plot {escape_controls(what)!r}; "
            f"{did_you_mean(what, draws)}choose one of {', '.join(draws)}"
        )
    if ax is None:
        ax = _new_axes(_SQUARE if what == "confusion" else _HEIGHT)
    with use_style():  # raises without matplotlib
        from matplotlib.axes import Axes

        check_type(ax, Axes, "ax", "axes of matplotlib, like plt.subplots()[1]")
        draws[what](ax)
    return ax


@singledispatch
def list_plots(value: object) -> Mapping[str, Draw]:
    """Return the plots of a value: name -> function that draws on axes, the usual one first."""
    raise TypeError(
        f"{type(value).__name__} cannot be plotted; pass a run, a study, a comparison, a frontier "
        "or a range test"
    )


@list_plots.register
def _(value: Study) -> Mapping[str, Draw]:
    return {
        "accuracy": partial(study_plots.accuracy_curves, value, name=value.name),
        "loss": partial(study_plots.loss_curves, value, name=value.name),
        "learning_rate": partial(study_plots.learning_rate_curve, value, name=value.name),
        "confusion": partial(study_plots.confusion_matrix, value),
        "calibration": partial(study_plots.calibration_curve, value, name=value.name),
        "seeds": partial(study_plots.seed_accuracies, [value]),
    }


@list_plots.register
def _(value: Run) -> Mapping[str, Draw]:
    draws = dict(list_plots(Study.from_runs([value])))
    del draws["seeds"]
    return draws


@list_plots.register
def _(value: Comparison) -> Mapping[str, Draw]:
    if value.studies is None:
        raise ReportError("this comparison has no studies to plot; make it with netlet.compare")
    studies = value.studies

    def draw(axes: Axes) -> None:
        study_plots.seed_accuracies(studies, axes)
        axes.set_title(f"difference {value.difference:+.3f} points, {value.outcome}")

    return {"seeds": draw}


@list_plots.register
def _(value: RangeTest) -> Mapping[str, Draw]:
    return {"loss": partial(draw_range_test, value)}


@list_plots.register
def _(value: Frontier) -> Mapping[str, Draw]:
    if not value:
        raise ReportError("this frontier has no points; record a study, or load others")
    return {"frontier": partial(draw_frontier, value)}


def _new_axes(height: float) -> Axes:
    """Return axes of a figure that pyplot knows, so that a notebook or plt.show() shows it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ReportError(
            f"plots need matplotlib, which is not installed; {install_hint('report')}"
        ) from error
    # Outside the style: the first figure may choose a backend, which changes settings for good.
    figure = pyplot.figure(figsize=(NARROW, height), layout="constrained")
    with use_style():
        axes: Axes = figure.subplots()
    return axes
