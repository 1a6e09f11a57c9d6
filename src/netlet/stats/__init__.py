"""What records show, and how surely: intervals, p-values, comparisons and the analysis of a study."""

from netlet.stats.analysis import Gap, analysis, changes, fit, gap
from netlet.stats.comparison import Comparison, Test, compare
from netlet.stats.frontier import (
    PUBLISHED,
    SHOWN_PARAMETERS,
    Point,
    frontier_text,
    leading,
    measured,
)
from netlet.stats.gather import Entry, gather, grouped
from netlet.stats.images import error_rates, interval_over_images
from netlet.stats.judge import bar_percent, judge, met, pooled, reaches_bar
from netlet.stats.seeds import (
    interval_over_seeds,
    mean_percent,
    median_seed,
    p_reaches,
    percents,
    sd_points,
)
from netlet.stats.text import comparison_dict, comparison_text, study_dict, study_text
from netlet.stats.wording import p_text, without_spread

__all__ = [
    "PUBLISHED",
    "SHOWN_PARAMETERS",
    "Comparison",
    "Entry",
    "Gap",
    "Point",
    "Test",
    "analysis",
    "bar_percent",
    "changes",
    "compare",
    "comparison_dict",
    "comparison_text",
    "error_rates",
    "fit",
    "frontier_text",
    "gap",
    "gather",
    "grouped",
    "interval_over_images",
    "interval_over_seeds",
    "judge",
    "leading",
    "mean_percent",
    "measured",
    "median_seed",
    "met",
    "p_reaches",
    "p_text",
    "percents",
    "pooled",
    "reaches_bar",
    "sd_points",
    "study_dict",
    "study_text",
    "without_spread",
]
