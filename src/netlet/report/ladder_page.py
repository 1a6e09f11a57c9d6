"""The page of a ladder, in the form of write-up 004: target, results and analysis of each rung."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np

from netlet import stats
from netlet.records import LadderResult, Study
from netlet.report.commands import command_for
from netlet.report.ladder_plot import ladder_figure
from netlet.report.markdown import bullet_list, escape_markdown, shell_block
from netlet.report.page import Draft, Page
from netlet.report.tables import Code
from netlet.text import Table, count_noun, format_shape, format_sizes


def ladder_page(result: LadderResult, *, pictures: bool = True) -> Page:
    """Return the page of a ladder; each rung is compared with the one before.

    Args:
        result: The ladder and its studies.
        pictures: Whether to draw the figure; without it, matplotlib is not needed.

    Raises:
        RecordError: Two rungs cannot be compared.
        ReportError: matplotlib is not installed.
    """
    ladder = result.ladder
    draft = Draft()
    draft.add(ladder.about, _explain_columns(result), draft.table("rungs", rung_table(result)))
    if pictures:
        figure = ladder_figure([rung.name for rung in ladder.rungs], result.studies)
        draft.add(draft.figure("climb", figure, "Test and training error of each rung"))
    before: Study | None = None
    for rung, study, remarks in zip(ladder.rungs, result.studies, result.remarks, strict=True):
        command = command_for(study)
        analysis = [*map(escape_markdown, stats.analyze_study(study, before))]
        draft.add(
            f"## {rung.title}",
            f"**Target:** {rung.target}",
            f"**Results:**\n\n{bullet_list(list_results(study, rung.claim))}",
            f"**Analysis:**\n\n{bullet_list(analysis)}",
            f"**Remarks:**\n\n{remarks}" if remarks else "",
            shell_block(command) if command else "",
        )
        before = study
    return draft.finish(ladder.title)


def rung_table(result: LadderResult) -> Table:
    """Return a row for each rung of a ladder."""
    rows = []
    for rung, study in zip(result.ladder.rungs, result.studies, strict=True):
        gap, verdict = stats.generalization_gap(study), stats.study_verdict(study)
        rows.append(
            [
                Code(rung.name),
                verdict.state if verdict else "-",
                f"{stats.mean_percent(study):.3f}%",
                stats.format_interval(stats.interval_over_seeds(study)),
                f"{gap.train_percent:.2f}%",
                f"{gap.points:.2f}",
                f"{study.cost['parameters']:,}",
                str(study.total_epochs),
                str(len(study.seeds)),
                format_sizes(study.receptive_field["size"]),
            ]
        )
    columns = (
        "rung",
        "verdict",
        f"{result.studies[0].split} accuracy",
        "95% interval",
        "train accuracy",
        "gap",
        "parameters",
        "epochs",
        "seeds",
        "receptive field",
    )
    return Table(columns, rows, "llrrrrrrrr")


def _explain_columns(result: LadderResult) -> str:
    first = result.studies[0]
    return (
        f"Accuracies are means over seeds after the last epoch: on the {first.total:,} "
        f"{first.split} images, and on the {first.train_total:,} training images without "
        "augmentation. The gap is their difference in percentage points; the interval is of the "
        "mean over seeds. The best epoch is reported for comparison with other work; only the last "
        "one counts."
    )


def list_results(study: Study, claim: Mapping[str, float]) -> list[str]:
    """Return the results of a rung, each a line of Markdown.

    Args:
        study: The study of the rung.
        claim: What a write-up reports for it, by the keys of a ladder's ``claim``.
    """
    n, split = len(study.seeds), study.split
    running = np.array([seed.train_correct_by_epoch for seed in study.seeds])
    held_out = np.array([seed.correct_by_epoch for seed in study.seeds])
    best_running = 100 * running.max(1).mean() / study.train_total
    best = 100 * held_out.max(1).mean() / study.total
    gap, sd = stats.generalization_gap(study), stats.sd_points(study)
    seconds = statistics.median(seed.train_s for seed in study.seeds)
    spread = f", mean of {n} seeds, sd {sd:.3f} points" if sd is not None else ", one seed"

    def claimed(name: str, form: str, unit: str = "%") -> str:
        return f" (claimed: {format(claim[name], form)}{unit})" if name in claim else ""

    return [
        f"Parameters: {study.cost['parameters']:,}{claimed('parameters', ',', '')}",
        f"Train accuracy: best epoch {best_running:.2f}% during training"
        f"{claimed('best_train', '.2f')}; {gap.train_percent:.2f}% without augmentation after the "
        "last epoch",
        f"Best {split} accuracy: {best:.2f}%{claimed('best_test', '.2f')}",
        f"Last {split} accuracy: **{stats.mean_percent(study):.2f}%**{spread}",
        f"Generalization gap: {gap.points:.2f} points (95% interval {gap.low:.2f} to "
        f"{gap.high:.2f})",
        f"Receptive field: {format_sizes(study.receptive_field['size'])} of "
        f"{format_shape(study.data['shape'][1:])} pixels",
        f"Time: {count_noun(study.epochs, 'epoch')} in {seconds:.0f} s "
        f"({stats.format_threads(study)}, {escape_markdown(study.environment['cpu'])})",
    ]
