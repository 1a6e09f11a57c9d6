"""Pages, figures and tables drawn from records, as Markdown, HTML, SVG, PDF, PNG, CSV or LaTeX."""

from netlet.report.commands import command_for
from netlet.report.comparison_page import comparison_page
from netlet.report.comparison_plots import curves_of_studies
from netlet.report.explain_page import explain_page
from netlet.report.figures import save_figure
from netlet.report.frontier_page import frontier_page, frontier_table
from netlet.report.frontier_plot import frontier_figure
from netlet.report.ladder_page import ladder_page, rung_table
from netlet.report.learning_rate_plot import range_test_figure
from netlet.report.model_card import model_card
from netlet.report.page import SUFFIXES, Page, check_suffix, combine_pages, write
from netlet.report.study_page import study_page
from netlet.report.tables import write_table

__all__ = [
    "SUFFIXES",
    "Page",
    "check_suffix",
    "combine_pages",
    "command_for",
    "comparison_page",
    "curves_of_studies",
    "explain_page",
    "frontier_figure",
    "frontier_page",
    "frontier_table",
    "ladder_page",
    "model_card",
    "range_test_figure",
    "rung_table",
    "save_figure",
    "study_page",
    "write",
    "write_table",
]
