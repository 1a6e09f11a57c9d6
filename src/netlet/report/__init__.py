"""Records to pages: Markdown with pictures beside it, or one HTML file."""

from netlet.report.commands import command_for
from netlet.report.comparison_page import comparison_page
from netlet.report.frontier_page import frontier_page, frontier_table
from netlet.report.ladder_page import ladder_page
from netlet.report.model_card import model_card
from netlet.report.page import Page, combine_pages, write
from netlet.report.study_page import study_page

__all__ = [
    "Page",
    "combine_pages",
    "command_for",
    "comparison_page",
    "frontier_page",
    "frontier_table",
    "ladder_page",
    "model_card",
    "study_page",
    "write",
]
