"""Several studies on one page: side by side first, then each by itself."""

from __future__ import annotations

from collections.abc import Sequence

from netlet import stats
from netlet.errors import RecordError
from netlet.records.study import Study
from netlet.report import plots
from netlet.report.markdown import code, picture, plain, table
from netlet.report.page import Page, together
from netlet.report.study_rows import Rows


def overview(studies: Sequence[Study], pages: Sequence[Page]) -> Page:
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
            table(*study_rows(studies)),
            picture("seeds.svg", "Each study's seeds, their mean, and the bar"),
            table(*comparison_rows(studies)),
        ]
    )
    return together(
        " beside ".join(map(plain, names)), text, pages, {"seeds.svg": plots.seeds_and_bar(studies)}
    )


def study_rows(studies: Sequence[Study]) -> Rows:
    """A row for each study."""
    rows = []
    for study in studies:
        interval, verdict, n = (
            stats.interval_over_seeds(study),
            stats.judge(study),
            len(study.seeds),
        )
        alone = "-" if study.budget is None else f"{stats.met(study)} of {n}"
        rows.append(
            [
                code(study.name),
                f"{study.cost['parameters']:,}",
                str(study.epochs),
                str(n),
                f"{stats.mean_percent(study):.3f}",
                f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-",
                f"{stats.gap(study).points:.2f}",
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


def comparison_rows(studies: Sequence[Study]) -> Rows:
    """Every study held against the first."""
    rows = []
    for other in studies[1:]:
        found = stats.compare(studies[0], other)
        p_values = [
            "cannot say" if test.p is None else stats.p_text(test.p)
            for test in (found.over_seeds, found.over_images)
        ]
        rows.append([f"{found.difference:+.3f}", *p_values, plain(found.conclusion)])
    return ("difference, points", "over seeds", "over images", "conclusion"), rows, "rlll"
