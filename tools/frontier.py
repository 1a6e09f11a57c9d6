"""Draws docs/frontier.md, which is about the studies on the frontier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlet import stats
from netlet.experiments import EXPERIMENTS
from netlet.records import Study
from netlet.report import Page, command_for, frontier_page
from netlet.report.markdown import inline_code, markdown_table, shell_block
from tools.first_search import draw_first_search
from tools.label_errors import draw_label_errors
from tools.records import all_studies


def draw_frontier() -> Page:
    """Return the page."""
    ours = [study for name, study in all_studies().items() if name in EXPERIMENTS]
    drawn = frontier_page([*stats.measured_points(ours), *stats.PUBLISHED_POINTS])
    text = f"""\
The accuracies of netlet's studies are means over seeds of the test accuracy after the last epoch,
on MNIST's 10,000 test images: a single net, no test-time augmentation. Those of published nets are
as their sources state them. `netlet frontier` prints this comparison for
your own records, too (without those of ladders).

## Results

These nets and their recipes were chosen on images held out of `train`, by the trials of one search,
and committed. Then each was trained with ten seeds that no trial had used, and scored on `test`.
Their median-seed weights ship with the package.

{_draw_studies()}

These commands repeat the studies. For the same weights to the bit, check out the commit first:
later versions compute some recipes in another order.

{_draw_commands()}

## Accuracy against parameters

{drawn.text}

## What the label errors leave

{draw_label_errors(chosen_by_search())}

{draw_first_search()}
"""
    return Page("The frontier", text, drawn.figures, drawn.tables)


def chosen_by_search() -> list[Study]:
    """Return the studies whose net and recipe were chosen by trials, largest net first."""
    found = [study for study in all_studies().values() if study.chosen_by]
    return sorted(found, key=lambda study: -study.cost["parameters"])


def _draw_studies() -> str:
    """Return a table of these studies."""
    rows = []
    for study in chosen_by_search():
        interval, trials = stats.interval_over_seeds(study), study.chosen_by
        assert interval is not None
        assert trials is not None
        assert study.budget is not None
        correct = [seed.correct for seed in study.seeds]
        rows.append(
            [
                inline_code(study.name),
                _describe_limits(study.budget),
                f"{study.cost['parameters']:,}",
                f"**{stats.mean_percent(study):.3f}%** ({interval[0]:.3f} to {interval[1]:.3f})",
                f"{min(correct):,} to {max(correct):,}",
                f"{trials['number']:,}",
            ]
        )
    head = (
        "experiment",
        "budget",
        "parameters",
        "mean (95% interval)",
        "lowest to highest of 10,000",
        "trials before it was chosen, of all sizes",
    )
    return markdown_table(head, rows, "llrrrr")


def _describe_limits(budget: Mapping[str, Any]) -> str:
    below, most = budget["params_below"], budget["epochs_at_most"]
    # A limit like 3,701 means the net of 3,700 parameters that it was set for.
    parameters = f"at most {below - 1:,}" if below % 100 == 1 else f"fewer than {below:,}"
    epochs = f"at most {most}" if most else f"fewer than {budget['epochs_below']}"
    return f"{parameters} parameters, {epochs} epochs, at least {budget['accuracy_at_least']:g}%"


def _draw_commands() -> str:
    """Return the command that repeats each of these studies."""
    return "\n\n".join(
        f"{inline_code(study.name)}, measured with commit"
        f" {inline_code(str(study.environment.get('commit')))}:\n\n"
        f"{shell_block(command_for(study) or '')}"
        for study in chosen_by_search()
    )


TABLES = {"frontier": _draw_studies}
