"""Several studies on one page: side by side first, then each by itself."""

from __future__ import annotations

from collections.abc import Sequence

from netlet import stats
from netlet.errors import RecordError
from netlet.records.study import Study
from netlet.report import plots
from netlet.report.markdown import escape_markdown, image_link, inline_code, markdown_table
from netlet.report.page import Page, combine_pages
from netlet.report.study_tables import Rows


def comparison_page(studies: Sequence[Study], pages: Sequence[Page]) -> Page:
    """Studies side by side, each held against the first, and then their pages.

    Args:
        studies: On the same images, each with its own name.
        pages: Of each.

    Raises:
        RecordError: They were scored on different images, or two have one name.
    """
    names = [study.name for study in studies]
    for name in names:
        if names.count(name) > 1:
            raise RecordError(
                f"{name}: two of the records have this name; report them one by one, or compare them"
            )
    text = "\n\n".join(
        [
            markdown_table(*study_table(studies)),
            image_link("seeds.svg", "Each study's seeds, their mean, and the bar"),
            markdown_table(*comparison_table(studies)),
        ]
    )
    return combine_pages(
        " beside ".join(map(escape_markdown, names)), text, pages, {"seeds.svg": plots.seeds_and_bar(studies)}
    )


def study_table(studies: Sequence[Study]) -> Rows:
    """A row for each study."""
    rows = []
    for study in studies:
        interval, verdict, n = (
            stats.interval_over_seeds(study),
            stats.study_verdict(study),
            len(study.seeds),
        )
        alone = "-" if study.budget is None else f"{stats.count_passing_seeds(study)} of {n}"
        rows.append(
            [
                inline_code(study.name),
                f"{study.cost['parameters']:,}",
                str(study.epochs),
                str(n),
                f"{stats.mean_percent(study):.3f}",
                f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-",
                f"{stats.generalization_gap(study).points:.2f}",
                verdict.state if verdict else "-",
                alone,
            ]
        )
    head = (
        "study",
        "parameters",
        "epochs",
        "seeds",
        "mean, %",
        "95 % interval",
        "gap",
        "verdict",
        "seeds that meet it",
    )
    return head, rows, "lrrrrrrlr"


def comparison_table(studies: Sequence[Study]) -> Rows:
    """Every study held against the first."""
    rows = []
    for other in studies[1:]:
        found = stats.compare(studies[0], other)
        p_values = [
            "cannot say" if test.p is None else stats.format_p_value(test.p)
            for test in (found.over_seeds, found.over_images)
        ]
        rows.append([f"{found.difference:+.3f}", *p_values, escape_markdown(found.conclusion)])
    return ("difference, points", "over seeds", "over images", "conclusion"), rows, "rlll"
