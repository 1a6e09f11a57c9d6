"""A page that compares several studies and then reports each of them."""

from __future__ import annotations

from collections.abc import Sequence

from netlet import stats
from netlet.records import Study
from netlet.report.comparison_plots import curves_of_studies
from netlet.report.markdown import bullet_list, escape_markdown
from netlet.report.page import Draft, Page, combine_pages
from netlet.report.study_plots import seed_accuracies
from netlet.report.tables import Code
from netlet.text import Table


def comparison_page(studies: Sequence[Study], pages: Sequence[Page]) -> Page:
    """Return a page that compares each study with the first one, followed by their pages.

    Args:
        studies: Studies scored on the same images, each with a name of its own
            (:func:`netlet.stats.distinguish_names`).
        pages: The page of each study.

    Raises:
        RecordError: The studies were scored on different images.
    """
    names = [study.name for study in studies]
    draft = Draft()
    figure = seed_accuracies(studies)
    comparisons = [stats.compare(studies[0], other) for other in studies[1:]]
    notes = [one.training_note for one in comparisons if one.training_note]
    shifts = stats.describe_shifts(studies)
    draft.add(
        *describe_studies(draft, studies),
        draft.figure("seeds", figure, "Accuracy of each study's seeds, their mean, and the target"),
        draft.table("comparisons", comparison_table(comparisons)),
        bullet_list(
            [escape_markdown(note) for note in (*shifts, *(n[:1].upper() + n[1:] for n in notes))]
        ),
        draft.figure(
            "curves",
            curves_of_studies(studies),
            "Accuracy of each study after each epoch, held out and while training",
        ),
    )
    return combine_pages(draft.finish(" and ".join(map(escape_markdown, names))), pages)


def describe_studies(draft: Draft, studies: Sequence[Study]) -> tuple[str, str]:
    """Return the table of studies and what it does not say itself, as Markdown."""
    return (
        draft.table("studies", study_table(studies)),
        "The gap is the accuracy on the training images, without augmentation, minus that on the "
        f"{studies[0].split} images.",
    )


def study_table(studies: Sequence[Study]) -> Table:
    """Return a row for each study."""
    rows = []
    for study in studies:
        verdict, n = stats.study_verdict(study), len(study.seeds)
        passing = stats.count_passing_seeds(study)
        rows.append(
            [
                Code(study.name),
                verdict.state if verdict else "-",
                f"{stats.mean_percent(study):.3f}%",
                stats.format_interval(stats.interval_over_seeds(study)),
                f"{stats.generalization_gap(study).points:.2f}",
                f"{study.cost['parameters']:,}",
                str(study.total_epochs),
                str(n),
                "-" if passing is None else f"{passing} of {n}",
            ]
        )
    columns = (
        "study",
        "verdict",
        f"{studies[0].split} accuracy",
        "95% interval",
        "gap (points)",
        "parameters",
        "epochs",
        "seeds",
        "passing seeds",
    )
    return Table(columns, rows, "llrrrrrrr")


def comparison_table(comparisons: Sequence[stats.Comparison]) -> Table:
    """Return a row for each comparison of a study with the first one, which is subtracted."""
    rows = []
    for comparison in comparisons:
        tests = []
        for test in (comparison.over_seeds, comparison.over_images):
            p = "undecided" if test.p is None else stats.format_p_value(test.p)
            tests += [p, stats.format_interval(test.interval, "points")]
        names = [Code(comparison.b), Code(comparison.a)]
        rows.append([*names, f"{comparison.difference:+.3f}", *tests, comparison.conclusion])
    columns = (
        "study",
        "compared with",
        "difference (points)",
        "over seeds",
        "95% interval over seeds",
        "over images",
        "95% interval over images",
        "conclusion",
    )
    return Table(columns, rows, "llrlrlrl")
