"""A ladder's page in the form of document 004: of each step target, results and analysis."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np

from netlet import stats
from netlet.records.ladder import LadderResult, Rung
from netlet.records.study import Study
from netlet.report import plots
from netlet.report.commands import command_for
from netlet.report.markdown import bullet_list, image_link, markdown_table, shell_block
from netlet.report.page import Page
from netlet.report.study_tables import Rows
from netlet.text import per_axis


def ladder_page(found: LadderResult, *, pictures: bool = True) -> Page:
    """What climbing a ladder showed, step by step; each step's analysis is computed from its study and the one before.

    Args:
        found: The ladder and its studies.
        pictures: Without them, matplotlib is not needed.

    Raises:
        RecordError: Two steps cannot be compared.
        ReportError: matplotlib is not installed.
    """
    ladder = found.ladder
    parts, made = [ladder.about] if ladder.about else [], {}
    parts += [_how_counted(found), markdown_table(*rung_table(found))]
    if pictures:
        made["climb.svg"] = plots.climb([rung.name for rung in ladder.rungs], found.studies)
        parts.append(image_link("climb.svg", "Share of wrong images at each step"))
    before: Study | None = None
    for rung, study, remarks in zip(ladder.rungs, found.studies, found.remarks, strict=True):
        parts += [
            f"## {rung.title}",
            f"**Target:** {rung.target}",
            f"**Results:**\n\n{bullet_list(_results(rung, study))}",
            f"**Analysis:**\n\n{bullet_list(stats.analyze_study(study, before))}",
        ]
        if remarks:
            parts.append(f"**Remarks:**\n\n{remarks}")
        if command := command_for(study):
            parts.append(shell_block(command))
        before = study
    return Page(ladder.title, "\n\n".join(parts), made)


def rung_table(found: LadderResult) -> Rows:
    """All steps at a glance."""
    rows = []
    for rung, study in zip(found.ladder.rungs, found.studies, strict=True):
        gap, interval = stats.generalization_gap(study), stats.interval_over_seeds(study)
        verdict = stats.study_verdict(study)
        rows.append(
            [
                f"`{rung.name}`",
                f"{study.cost['parameters']:,}",
                str(study.epochs),
                str(len(study.seeds)),
                f"{gap.train_percent:.2f}",
                f"{stats.mean_percent(study):.3f}",
                f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-",
                f"{gap.points:.2f}",
                per_axis(study.receptive_field["size"]),
                verdict.state if verdict else "-",
            ]
        )
    split = found.studies[0].split
    head = (
        "step",
        "parameters",
        "epochs",
        "seeds",
        "train %",
        f"last {split} %",
        "95 % interval",
        "gap",
        "field",
        "",
    )
    return head, rows, "lrrrrrrrrl"


def _how_counted(found: LadderResult) -> str:
    first = found.studies[0]
    return (
        f"Accuracies are means of the seeds in percent; the last epoch counts. *Train* is of the {first.train_total:,} "
        f"training images as they are, *{first.split}* of {first.total:,} {first.split} images, *gap* their difference "
        f"in points; the interval is of the mean over seeds. Scores on {first.split} after each epoch are for "
        "watching; the best of them is shown because people show it."
    )


def _results(rung: Rung, study: Study) -> list[str]:
    claim: Mapping[str, float] = rung.claim
    n = len(study.seeds)
    running = np.array([seed.train_correct_by_epoch for seed in study.seeds]) * 100 / study.train_total
    held_out = np.array([seed.correct_by_epoch for seed in study.seeds]) * 100 / study.total
    gap, sd = stats.generalization_gap(study), stats.sd_points(study)
    seconds = statistics.median(seed.train_s for seed in study.seeds)
    threads = study.environment["threads"]

    def claimed(name: str, form: str) -> str:
        return f" (claimed: {format(claim[name], form)})" if name in claim else ""

    return [
        f"Parameters: {study.cost['parameters']:,}{claimed('parameters', ',')}",
        f"Best train accuracy: {running.max(1).mean():.2f} while training{claimed('best_train', '.2f')}; "
        f"{gap.train_percent:.2f} on the images as they are, after the last epoch",
        f"Best {study.split} accuracy: {held_out.max(1).mean():.2f}{claimed('best_test', '.2f')}",
        f"Last {study.split} accuracy: **{stats.mean_percent(study):.2f}**"
        + (f", sd {sd:.3f} over {n} seeds" if sd is not None else ", one seed"),
        f"Gap: {gap.points:.2f} points (95 % interval {gap.low:.2f} to {gap.high:.2f})",
        f"Receptive field: {per_axis(study.receptive_field['size'])} of {'x'.join(map(str, study.data['shape'][1:]))}",
        f"Time: {study.epochs} epochs in {seconds:.0f} s ({threads} thread{'s' if threads > 1 else ''}, "
        f"{study.environment['cpu']})",
    ]
