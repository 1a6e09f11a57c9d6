"""The plot of a search: its trials in order, and the score for each value that was tried."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from netlet.errors import ReportError
from netlet.report.figures import BLUE, GRAY, GREEN, ORANGE, SMALL, WIDE, new_figure, use_style
from netlet.report.study_plots import use_whole_numbers
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from netlet.experiments.search.contrasts import ArmResult

_COLUMNS = 3  # of panels, below the one of all trials
_MAX_PANELS = 12
_MAX_LETTERS = 14  # of a tick
_SCORE = "val accuracy (%)"
_SPREAD = 1.5  # distances from the lowest quarter to the best that are shown below that quarter

Line = Mapping[str, Any]


def search_figure(name: str, varied: Mapping[str, bool], lines: Sequence[Line]) -> Figure:
    """Draw the trials of a search in order and, below, the score for each value that was tried.

    Args:
        name: The name of the search, for the title.
        varied: The names of what varies, as trials have them in ``params``, and whether its axis is
            logarithmic.
        lines: The lines of the file of trials.

    Raises:
        ReportError: matplotlib is not installed, or no trial has a score.
    """
    scored = [line for line in lines if line.get("total")]
    finished = [line for line in scored if line["state"] == "finished"]
    if not finished:
        raise ReportError(
            f"the search {escape_controls(name)} has no finished trial to draw; run more trials"
        )
    shown = [one for one in varied if any(one in (line["params"] or {}) for line in finished)]
    shown = shown[:_MAX_PANELS]
    rows = math.ceil(len(shown) / _COLUMNS)
    figure = new_figure(WIDE, 2.8 + 2.1 * rows)
    with use_style():
        grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=[1.3, *[1] * rows])
        order = figure.add_subplot(grid[0, :])
        lowest, highest = _range_shown([_percent(line) for line in finished])
        _draw_order(order, name, scored, lowest)
        order.set_ylim(lowest, highest)
        for at, param in enumerate(shown):
            axes = figure.add_subplot(grid[1 + at // _COLUMNS, at % _COLUMNS])
            _draw_values(axes, param, finished, lowest)
            axes.set_ylim(lowest, highest)
            if at % _COLUMNS == 0:
                axes.set_ylabel(_SCORE)
            if varied[param]:
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.xaxis.set_minor_formatter(lambda value, _: "")
        marks = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        order.legend(marks.values(), marks.keys(), loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def arms_figure(name: str, arms: Sequence[ArmResult]) -> Figure:
    """Draw the differences of arms to the baseline, with their 95% intervals.

    Args:
        name: The name of the comparison, for the title.
        arms: Their results.

    Raises:
        ReportError: matplotlib is not installed.
    """
    figure = new_figure(WIDE, 1.3 + 0.3 * len(arms))
    with use_style():
        accuracy, nll = figure.subplots(1, 2, sharey=True)
        places = range(len(arms) - 1, -1, -1)  # the first arm on top
        for axes, label, differences in (
            (accuracy, "difference of val accuracy (points)", [arm.points for arm in arms]),
            (nll, "difference of NLL (lower is better)", [arm.nll_difference for arm in arms]),
        ):
            axes.axvline(0, color=GRAY, linewidth=0.8)
            for place, difference in zip(places, differences, strict=True):
                if difference is not None:
                    half = difference.half_width or 0
                    axes.errorbar(difference.mean, place, xerr=half, fmt="o", color=BLUE)
            axes.set_xlabel(label)
        labels = [
            _shorten(arm.name, 3 * _MAX_LETTERS) + (" (baseline)" if arm.points is None else "")
            for arm in arms
        ]
        accuracy.set_yticks(list(places), labels)
        accuracy.set_ylim(-0.5, len(arms) - 0.5)
        accuracy.set_title(escape_controls(name))
    return figure


def _draw_order(axes: Axes, name: str, lines: Sequence[Line], lowest: float) -> None:
    """Draw the score of each trial in the order in which they ended, and the best so far."""
    best, so_far = -math.inf, []
    groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        groups[line["state"]].append((number, _percent(line)))
        if line["state"] == "finished":
            best = max(best, _percent(line))
        so_far.append(best if best > -math.inf else math.nan)
    for state, marker, color in (("stopped", "x", GRAY), ("finished", "o", BLUE)):
        if points := groups[state]:
            axes.plot([], [], marker, color=color, label=state)
            _draw_points(axes, points, marker, color, lowest)
    axes.plot(
        range(1, len(lines) + 1), so_far, drawstyle="steps-post", color=ORANGE, label="best so far"
    )
    axes.set(xlabel="trial", ylabel=_SCORE, title=escape_controls(name))
    use_whole_numbers(axes)


def _draw_points(
    axes: Axes, points: Sequence[tuple[Any, float]], marker: str, color: str, lowest: float
) -> None:
    """Draw points; those below the axis as triangles at its end."""
    for x, y in points:
        below = y < lowest
        axes.plot(
            [x],
            [max(y, lowest)],
            "v" if below else marker,
            color=GRAY if below else color,
            label="below the axis" if below else None,
            clip_on=False,
        )


def _draw_values(axes: Axes, param: str, lines: Sequence[Line], lowest: float) -> None:
    """Draw the scores of the finished trials over the values of one parameter."""
    pairs = [
        (line["params"][param], _percent(line)) for line in lines if param in (line["params"] or {})
    ]
    numbers = all(type(value) in (int, float) for value, _ in pairs)
    if numbers and len({value for value, _ in pairs}) > _COLUMNS:
        _draw_points(axes, pairs, "o", BLUE, lowest)
    else:
        values = sorted({value for value, _ in pairs}, key=None if numbers else str)
        places = {value: at for at, value in enumerate(values)}
        _draw_points(axes, [(places[v], score) for v, score in pairs], "o", BLUE, lowest)
        for value, place in places.items():
            middle = median(score for other, score in pairs if other == value)
            if middle >= lowest:
                ends = [place - 0.25, place + 0.25]
                axes.plot(ends, [middle, middle], color=GREEN, label="median at each value")
        labels = [_shorten(str(value)) for value in places]
        turned = max(map(len, labels)) * len(labels) > 24
        axes.set_xticks(
            list(places.values()),
            labels,
            rotation=30 if turned else 0,
            ha="right" if turned else "center",
            fontsize=SMALL,
        )
        axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_title(escape_controls(param))


def _percent(line: Line) -> float:
    return 100 * float(line["correct"]) / float(line["total"])


def _range_shown(scores: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the axis, so that a few bad trials do not flatten the others."""
    ordered = sorted(scores)
    quarter, high = ordered[len(ordered) // 4], ordered[-1]
    start = max(ordered[0], quarter - _SPREAD * (high - quarter))
    room = 0.05 * max(high - start, 0.02)
    return start - room, high + room


def _shorten(text: str, letters: int = _MAX_LETTERS) -> str:
    text = escape_controls(text)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
