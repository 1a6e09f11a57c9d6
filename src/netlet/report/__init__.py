"""Records to pages: Markdown with pictures beside it, or one HTML file."""

from netlet.report.card import card
from netlet.report.commands import command_for
from netlet.report.frontier_page import frontier_page, frontier_table
from netlet.report.ladder_page import ladder_page
from netlet.report.overview import overview
from netlet.report.page import Page, together, write
from netlet.report.study_page import study_page

__all__ = [
    "Page",
    "card",
    "command_for",
    "frontier_page",
    "frontier_table",
    "ladder_page",
    "overview",
    "study_page",
    "together",
    "write",
]
