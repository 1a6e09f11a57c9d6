"""The frontier as a figure: test error against parameters, with its crowded regions enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netlet import stats
from netlet.report.figures import (
    BLUE,
    GRAY,
    INK,
    RED,
    SMALL,
    WIDE,
    new_figure,
    use_error_axis,
    use_style,
)
from netlet.report.label_placement import Label, place_labels
from netlet.stats import FrontierPoint
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 1.12  # ratio of parameters that separates two regions
_CROWDED = 5  # points in a region that is enlarged
_ENLARGED = 2  # regions at most
# Kind of a point -> marker, color, whether it is filled, and its line in the legend.
_KINDS: dict[str, tuple[str, str, bool, str]] = {
    "front": (
        "o",
        BLUE,
        True,
        "recorded here: mean with\n95% interval over seeds,\non the Pareto front",
    ),
    "measured": ("o", BLUE, False, "recorded here,\nnot on the Pareto front"),
    "write-up": ("s", GRAY, False, "recorded here: net of a\nwrite-up by its own recipe"),
    "single run": ("x", RED, True, "published: one run"),
    "chosen run": ("v", RED, False, "published: best of several\nruns, chosen on the test\nimages"),
}


def frontier_figure(points: Sequence[FrontierPoint]) -> Figure:
    """Draw test error against parameters.

    Points are those of :func:`netlet.stats.select_plotted`. Regions with many nets of nearly the
    same size are drawn again below, enlarged.

    Raises:
        ReportError: matplotlib is not installed.
    """
    points = stats.sort_by_size(points)
    shown = stats.select_plotted(points)
    regions = _find_crowded_regions(shown)
    figure, axes = _lay_out(len(regions))
    with use_style():
        main, *zooms = axes
        _draw_panel(main, shown)
        _dress_main(main, shown, room_kept=bool(zooms))
        for letter, panel, region in zip("bc", zooms, regions, strict=False):
            main.set_title("(a) all sizes")
            _draw_panel(panel, shown)
            _dress_zoom(panel, region)
            first, last = region[0].parameters, region[-1].parameters
            panel.set_title(f"({letter}) {first:,} to {last:,} parameters")
            _outline(main, panel, letter)
        crowded = [point for region in regions for point in region]
        front = stats.pareto_front(shown)
        lonely = [point for point in shown if point not in crowded]
        figure.canvas.draw()
        figure.set_layout_engine("none")  # labels are placed in this layout
        _label(main, lonely, shown, front)
        for panel, region in zip(zooms, regions, strict=True):
            _label(panel, region, shown, front)
    return figure


def draw_frontier(points: Sequence[FrontierPoint], axes: Axes) -> None:
    """Draw test error against parameters on given axes, without enlarged regions."""
    points = stats.sort_by_size(points)
    shown = stats.select_plotted(points)
    with use_style():
        _draw_panel(axes, shown)
        _dress_main(axes, shown)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.canvas.draw()
        if len(figure.axes) == 1:
            figure.set_layout_engine("none")  # labels are placed in this layout
        _label(axes, shown, shown, stats.pareto_front(shown))


def _find_crowded_regions(points: Sequence[FrontierPoint]) -> list[list[FrontierPoint]]:
    """Return groups of at least five nets of nearly the same size, smallest nets first."""
    groups: list[list[FrontierPoint]] = []
    for point in points:
        if groups and point.parameters <= _GAP * groups[-1][-1].parameters:
            groups[-1].append(point)
        else:
            groups.append([point])
    crowded = sorted((g for g in groups if len(g) >= _CROWDED), key=len)[-_ENLARGED:]
    return sorted(crowded, key=lambda group: group[0].parameters)


def _lay_out(zooms: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with the main panel above the enlarged ones."""
    figure = new_figure(WIDE, 7.4 if zooms else 3.9)
    with use_style():
        if not zooms:
            return figure, [figure.subplots()]
        below: list[Any] = [f"zoom {number}" for number in range(zooms) for _ in range(6 // zooms)]
        above: list[Any] = ["main"] * 4 + ["legend"] * 2
        panels = figure.subplot_mosaic([above, below], height_ratios=[1.05, 1])
        panels["legend"].axis("off")
    return figure, [panels["main"], *(panels[f"zoom {number}"] for number in range(zooms))]


def _draw_panel(axes: Axes, points: Sequence[FrontierPoint]) -> None:
    """Draw the fronts and the points."""
    end = 1.5 * max(point.parameters for point in points)
    for published, line in ((True, ":"), (False, "-")):
        front = stats.pareto_front(points, published=published)
        if not front:
            continue
        x = [*(point.parameters for point in front), end]
        y = [*(100 - point.percent for point in front), 100 - front[-1].percent]
        color, width = (BLUE, 1.1) if not published else (RED, 1.0)
        axes.plot(x, y, line, color=color, linewidth=width, drawstyle="steps-post", zorder=1)
    measured = stats.pareto_front(points)
    for point in points:
        marker, color, filled, _ = _KINDS[_kind_of(point, measured)]
        if point.interval:
            low, high = point.interval
            axes.plot(
                [point.parameters] * 2,
                [100 - high, 100 - low],
                color=color,
                linewidth=0.9,
                zorder=2,
            )
        axes.plot(
            [point.parameters],
            [100 - point.percent],
            marker,
            color=color,
            markerfacecolor=color if filled else "none",
            markersize=5,
            zorder=3,
        )


def _kind_of(point: FrontierPoint, front: Sequence[FrontierPoint]) -> str:
    if not point.measured:
        return "chosen run" if point.chosen else "single run"
    if point in front:
        return "front"
    return "write-up" if point.name.endswith(".documented") else "measured"


def _dress_main(axes: Axes, points: Sequence[FrontierPoint], *, room_kept: bool = False) -> None:
    """Label the axes of the main panel, and draw the legend beside it.

    Args:
        axes: The panel.
        points: The points in it.
        room_kept: Whether the figure has an empty panel where the legend lies.
    """
    errors, sizes = [100 - p.percent for p in points], [p.parameters for p in points]
    use_error_axis(axes, 0.85 * min(errors), 1.2 * max(errors))
    axes.set_xscale("log")
    axes.set_xlim(0.85 * min(sizes), 1.3 * max(sizes))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(
        lambda value, _: f"{value:,.0f}" if f"{value:.0e}"[0] in "25" else ""
    )
    # Minor ticks are shorter by 1.5 points; their labels are in line with those of major ticks.
    axes.tick_params(axis="x", which="minor", pad=5)
    axes.set(xlabel="parameters", ylabel="test error (%)")
    kinds = {_kind_of(point, stats.pareto_front(points)) for point in points}
    handles = [_legend_line("-", BLUE, "Pareto front of the means\nrecorded here")]
    handles += [_legend_mark(*values) for name, values in _KINDS.items() if name in kinds]
    if any(not point.measured for point in points):
        handles.append(
            _legend_line(":", RED, "Pareto front of all points,\npublished runs included")
        )
    legend = axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=0.9
    )
    legend.set_in_layout(not room_kept)


def _legend_line(style: Any, color: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle=style, color=color, linewidth=1.1, label=label)


def _legend_mark(marker: str, color: str, filled: bool, label: str) -> Any:
    from matplotlib.lines import Line2D

    face = color if filled else "none"
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        color=color,
        markerfacecolor=face,
        markersize=5,
        label=label,
    )


def _dress_zoom(axes: Axes, region: Sequence[FrontierPoint]) -> None:
    low, high = region[0].parameters, region[-1].parameters
    margin = max(0.3 * (high - low), 20)
    lowest = min(100 - (p.interval[1] if p.interval else p.percent) for p in region)
    highest = max(100 - (p.interval[0] if p.interval else p.percent) for p in region)
    use_error_axis(axes, 0.93 * lowest, 1.07 * highest)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=4)
    axes.set(xlabel="parameters", ylabel="test error (%)")


def _outline(main: Axes, zoom: Axes, letter: str) -> None:
    """Outline an enlarged region in the main panel, with the letter of its own panel above."""
    from matplotlib.patches import Rectangle

    (left, right), (bottom, top) = zoom.get_xlim(), zoom.get_ylim()
    main.add_patch(
        Rectangle(
            (left, bottom),
            right - left,
            top - bottom,
            fill=False,
            edgecolor=INK,
            linewidth=0.5,
            linestyle=(0, (2, 2)),
        )
    )
    middle = (left * right) ** 0.5
    main.annotate(
        f"({letter})",
        (middle, top),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=SMALL,
    )


def _label(
    axes: Axes,
    points: Sequence[FrontierPoint],
    every: Sequence[FrontierPoint],
    front: Sequence[FrontierPoint],
) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    visible = [
        p for p in every if left <= p.parameters <= right and bottom <= 100 - p.percent <= top
    ]
    labels = [
        Label(
            point.parameters,
            100 - point.percent,
            escape_controls(point.name) + _mark(point),
            INK if point.measured else RED,
            bold=point in front,
        )
        for point in points
        if point in visible
    ]
    bars = [
        (
            (p.parameters, max(100 - p.interval[1], bottom)),
            (p.parameters, min(100 - p.interval[0], top)),
        )
        for p in visible
        if p.interval
    ]
    points_at = [(p.parameters, 100 - p.percent) for p in visible]
    fronts = [front, stats.pareto_front(every, published=True)]
    steps = [step for one in fronts for step in _list_steps(one, right)]
    place_labels(axes, labels, points_at, [*bars, *steps, *_list_outlines(axes)])


def _list_outlines(axes: Axes) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the upright edges of the outlines of enlarged regions."""
    boxes = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    return [((x, box.y0), (x, box.y1)) for box in boxes for x in (box.x0, box.x1)]


def _mark(point: FrontierPoint) -> str:
    return f" {stats.SHIFT_MARK}" if point.evidence.endswith(stats.SHIFTS) else ""


def _list_steps(
    front: Sequence[FrontierPoint], end: float
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the horizontal and vertical lines of a front, up to a number of parameters."""
    if not front:
        return []
    corners = [(float(point.parameters), 100 - point.percent) for point in front]
    steps = []
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], (end, corners[-1][1])], strict=True):
        steps += [((x1, y1), (x2, y1)), ((x2, y1), (x2, y2))]
    return steps
