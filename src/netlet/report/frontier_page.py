"""The frontier: accuracy against parameters, as a page."""

from __future__ import annotations

from collections.abc import Sequence

from netlet import stats
from netlet.report import plots
from netlet.report.markdown import escape_markdown, image_link, inline_code, markdown_table
from netlet.report.page import Page
from netlet.stats import FrontierPoint


def frontier_page(points: Sequence[FrontierPoint]) -> Page:
    """A plot and a table of nets, those first that lead.

    Args:
        points: Measured and published ones.
    """
    text = "\n\n".join(
        [
            image_link(
                "frontier.svg",
                "Test error against parameters: studies with their intervals, and published figures",
            ),
            frontier_table(points),
        ]
    )
    return Page("The frontier", text, {"frontier.svg": plots.frontier(points)})


def frontier_table(points: Sequence[FrontierPoint]) -> str:
    """A row for each net, smallest first; those that lead are bold."""
    front = stats.pareto_front(points)
    rows = []
    for point in sorted(points, key=lambda point: (point.parameters, -point.percent)):
        percent = f"{point.percent:.3f} %" if point.measured else f"{point.percent:.2f} %"
        rows.append(
            [
                inline_code(point.name) if point.measured else escape_markdown(point.name),
                f"{point.parameters:,}",
                point.epochs,
                f"**{percent}**" if point in front else percent,
                f"{point.interval[0]:.3f} to {point.interval[1]:.3f}" if point.interval else "-",
                escape_markdown(point.standing),
            ]
        )
    return markdown_table(
        ("net", "parameters", "epochs", "right", "95 % interval over seeds", "standing"),
        rows,
        "lrrrrl",
    )
