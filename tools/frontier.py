"""Draws docs/frontier.md, which is about the studies on the frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlet import stats
from netlet.experiments import EXPERIMENTS
from netlet.records import Study
from netlet.report import Page, command_for, frontier_page
from netlet.report.markdown import inline_code, markdown_table, shell_block
from tools.first_search import FIRST_SEARCH, draw_first_search
from tools.label_errors import draw_label_errors
from tools.records import all_studies
from tools.tried import draw_what_was_tried

# The trials that a study was chosen by -> where they are described.
_SOURCES = {
    FIRST_SEARCH: "[first search](frontier.md#the-first-search)",
    "results/trials/ascent": "[comparisons](techniques.md#comparisons) up to 3,762 parameters",
    "results/trials/ascent_large": "[comparisons](techniques.md#comparisons) from 8,000 parameters",
    "results/trials/ascent_middle": "[comparisons](techniques.md#comparisons) near 10,000, "
    "after the 65 from 8,000",
}
_MUCH_LARGER = 10


def draw_frontier() -> Page:
    """Return the page."""
    ours = [study for name, study in all_studies().items() if name in EXPERIMENTS]
    drawn = frontier_page([*stats.measured_points(ours), *stats.PUBLISHED_POINTS])
    text = f"""\
The accuracies of netlet's studies are means over seeds of the test accuracy after the last epoch,
on MNIST's 10,000 test images. Each is of a single net, which gets each image once; nets marked with
† average nine shifts of the image in their forward pass. Those of published nets are as their
sources state them. `netlet frontier` prints this comparison for
your own records, too (without those of ladders).

## Results

Recorded trials on images held out of `train` led to these nets. Nets and recipes were committed
before they were scored on `test`. Each was trained with ten seeds that no trial had used. The
median-seed weights of those that meet their budget ship with the package.

{_draw_studies()}

{_describe_missed()}{_describe_shifts()}### Beside published nets

A published accuracy is that of one run, often the best of several
([details](#accuracy-against-parameters)). Beside each stands the most accurate of the nets above
that has no more parameters, unless the published net is more than {_MUCH_LARGER} times as large.
The difference in points is our mean minus the published accuracy, with the 95% interval of the
mean. The last column counts the seeds that are at least as accurate.

{_draw_against_published()}

### The commands

These commands repeat the studies. For the same weights to the bit, check out the commit first:
later versions compute some recipes in another order.

{_draw_commands()}

## Accuracy against parameters

{drawn.text}

## Mistakes on labels that annotators reject

{draw_label_errors(chosen_by_search())}

## What was tried for the larger nets

{draw_what_was_tried(all_studies())}

{draw_first_search(_name_chosen_by(FIRST_SEARCH))}
"""
    return Page("The frontier", text, drawn.figures, drawn.tables)


def chosen_by_search() -> list[Study]:
    """Return the studies whose net and recipe were chosen by trials, largest net first."""
    found = [study for study in all_studies().values() if study.chosen_by]
    return sorted(found, key=lambda study: -study.cost["parameters"])


def _name_chosen_by(trials: str) -> list[str]:
    """Return the names of the studies that certain trials led to."""
    return [s.name for s in chosen_by_search() if s.chosen_by and s.chosen_by["file"] == trials]


def _describe_missed() -> str:
    """Return which of these studies miss their budget; they have no weights in the package."""
    texts = []
    for study in chosen_by_search():
        verdict = stats.study_verdict(study)
        target = stats.target_percent(study)
        if verdict is None or not verdict.failed or target is None:
            continue
        texts.append(
            f"{inline_code(study.name)} misses its budget, so its weights do not ship: its mean "
            f"is {target - stats.mean_percent(study):.3f} points too low."
        )
    return "".join(f"{text}\n\n" for text in texts)


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
                _mark_name(study),
                _describe_limits(study.budget),
                f"{study.cost['parameters']:,}",
                f"{study.cost['macs']:,}",
                f"**{stats.mean_percent(study):.3f}%** ({interval[0]:.3f} to {interval[1]:.3f})",
                f"{min(correct):,} to {max(correct):,}",
                f"{trials['number']:,}, {_SOURCES[trials['file']]}",
            ]
        )
    head = (
        "experiment",
        "budget",
        "parameters",
        "MACs",
        "mean (95% interval)",
        "lowest to highest of 10,000",
        "trials before it was chosen",
    )
    return markdown_table(head, rows, "llrrlrl")  # the site wraps text, but not numbers


def _describe_shifts() -> str:
    """Return what the mark of nets with a shift average means; nothing if none has it."""
    shifted = [study for study in chosen_by_search() if stats.averages_shifts(study)]
    if not shifted:
        return ""
    plain = [study for study in shifted if study.recipe.get("train_as") == "strided"]
    trained = f" {_list_names(plain)} {'were' if len(plain) > 1 else 'was'} trained without it."
    return (
        "† The net ends in a [shift average](notation.md#shift-average): it averages the "
        "logits for nine shifts of the image by a pixel. This part has no parameters; the MACs "
        "include it. The scores are those of test-time augmentation by these shifts."
        f"{trained if plain else ''}\n\n"
    )


def _mark_name(study: Study) -> str:
    """Return the name of a study, marked if its net averages shifts of the image."""
    return f"{inline_code(study.name)}{stats.mark_shifts(study)}"


def _list_names(studies: Sequence[Study]) -> str:
    """Return the names of studies in a list: a, b and c."""
    *others, last = (inline_code(study.name) for study in studies)
    return f"{', '.join(others)} and {last}" if others else last


def _draw_against_published() -> str:
    """Return a table of published nets, each beside the best of these nets that is no larger."""
    rows = []
    for point in stats.sort_by_size(stats.PUBLISHED_POINTS):
        ours = [
            study for study in chosen_by_search() if study.cost["parameters"] <= point.parameters
        ]
        study = max(ours, key=stats.mean_percent, default=None)
        if study is None or point.parameters > _MUCH_LARGER * study.cost["parameters"]:
            continue
        interval = stats.interval_over_seeds(study)
        assert interval is not None
        low, high = (end - point.percent for end in interval)
        reached = sum(p >= point.percent for p in stats.seed_percents(study))
        rows.append(
            [
                point.name,
                f"{point.parameters:,}",
                f"{point.percent:.2f}%",
                f"{_mark_name(study)} ({study.cost['parameters']:,})",
                f"{stats.mean_percent(study):.3f}%",
                f"{stats.mean_percent(study) - point.percent:+.3f} ({low:+.3f} to {high:+.3f})",
                f"{reached} of {len(study.seeds)}",
            ]
        )
    head = (
        "published net",
        "parameters",
        "accuracy",
        "netlet's net (parameters)",
        "mean",
        "difference in points",
        "seeds as accurate",
    )
    return markdown_table(head, rows, "lrrlrrr")


def _describe_limits(budget: Mapping[str, Any]) -> str:
    below, most = budget["params_below"], budget["epochs_at_most"]
    # A limit like 3,763 means at most the 3,762 parameters of a published net.
    limits = [
        f"< {below:,}" if below % 100 == 0 else f"≤ {below - 1:,}",
        f"≤ {most} epochs" if most else f"< {budget['epochs_below']} epochs",
        f"≥ {budget['accuracy_at_least']:g}%",
    ]
    return ", ".join(limit.replace(" ", "\N{NO-BREAK SPACE}") for limit in limits)


def _draw_commands() -> str:
    """Return the command that repeats each of these studies."""
    return "\n\n".join(
        f"{inline_code(study.name)}, measured with commit"
        f" {inline_code(str(study.environment.get('commit')))}:\n\n"
        f"{shell_block(command_for(study) or '')}"
        for study in chosen_by_search()
    )
