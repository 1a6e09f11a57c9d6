"""The frontier: accuracy against parameters, as a page, a figure or a table."""

from __future__ import annotations

from collections.abc import Sequence

from netlet import stats
from netlet.report.frontier_plot import frontier_figure
from netlet.report.markdown import escape_markdown
from netlet.report.page import Draft, Page
from netlet.report.tables import Bold, Code, Link
from netlet.stats import FrontierPoint
from netlet.text import Table


def frontier_page(points: Sequence[FrontierPoint]) -> Page:
    """Return a page with the figure and the table of some points.

    Written as ``.svg``, ``.pdf`` or ``.png`` it is the figure, as ``.csv`` or ``.tex`` the table.

    Args:
        points: Recorded studies and published results.

    Raises:
        ReportError: matplotlib is not installed.
    """
    draft = Draft()
    figure = frontier_figure(points)
    draft.add(
        draft.figure(
            "frontier", figure, "Test error against parameters of recorded and published nets"
        ),
        _explain_figure(points),
        draft.table("frontier", frontier_table(points)),
    )
    return draft.finish("The frontier")


def frontier_table(points: Sequence[FrontierPoint]) -> Table:
    """Return a row for each net, smallest first; the accuracy of those on a front is bold."""
    rows = []
    for point in stats.sort_by_size(points):
        percent = f"{point.percent:.3f}%" if point.measured else f"{point.percent:.2f}%"
        name: str = Code(point.name)
        if not point.measured:
            name = f"{point.name} ({point.source})" if point.source else point.name
            name = Link(name, point.url) if point.url else name
        fronts = stats.name_fronts(point, points)
        rows.append(
            [
                name,
                f"{point.parameters:,}",
                point.epochs,
                Bold(percent) if fronts else percent,
                stats.format_interval(point.interval),
                fronts or "-",
                point.evidence,
            ]
        )
    columns = (
        "net",
        "parameters",
        "epochs",
        "test accuracy",
        "95% interval",
        "Pareto front",
        "source of the accuracy",
    )
    return Table(columns, rows, "lrrrrll")


def _explain_figure(points: Sequence[FrontierPoint]) -> str:
    text = (
        "The figure shows the test error, so lower is better. The solid line is the Pareto front "
        "of the recorded nets (*measured* in the table): each net on it is more accurate, on "
        "average, than all that have no more parameters. The dotted line also includes the "
        "published results that have a public source (*all*). Accuracies on a line are bold. "
        "Published results are single runs unless the table says otherwise, and triangles are the "
        "best of several runs. They can lie below the solid line, which shows means."
    )
    shifted = [point.name for point in points if point.evidence.endswith(stats.SHIFTS)]
    if shifted:
        names = ", ".join(map(escape_markdown, shifted))
        text += (
            f" Each net with a {stats.SHIFT_MARK} {stats.SHIFTS} of the image in its forward pass: "
            f"{names}."
        )
    shown = stats.select_plotted(points)
    left_out = [point.name for point in stats.sort_by_size(points) if point not in shown]
    if left_out:
        text += f" Outside the figure's range: {', '.join(map(escape_markdown, left_out))}."
    return text
