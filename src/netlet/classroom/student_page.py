"""The report of one student: verdict, claim beside measurement, curves and mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from netlet.classroom.examine import Examination
from netlet.classroom.grade_files import find_advice
from netlet.classroom.grades import Curve, Grade, format_earned
from netlet.data import Split
from netlet.data.disputed_labels import DisputedLabel
from netlet.report.figures import BLUE, NARROW, ORANGE, new_figure, use_style
from netlet.report.markdown import bullet_list, escape_markdown, inline_code, markdown_table
from netlet.report.mistakes import (
    GALLERY_ALTERNATIVE,
    MOST_SHOWN,
    explain_disputed,
    mark_caption,
    prepare_picture,
)
from netlet.report.page import Draft, Page
from netlet.report.study_plots import mistake_gallery, use_whole_numbers
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT = 3.0  # inches


def student_page(
    examination: Examination,
    split: Split,
    disputed: Mapping[int, DisputedLabel] | None = None,
    *,
    title: str = "",
    figures: bool = True,
) -> Page:
    """Return the report of one student.

    Args:
        examination: The grade, and the evaluation if there is one.
        split: The images that gave the score.
        disputed: Those whose label most annotators reject; they are marked among the mistakes.
        title: The title of the assignment.
        figures: Whether to draw figures, which needs matplotlib.
    """
    grade, draft = examination.grade, Draft()
    draft.add(
        f"{_describe_submission(grade)}.",
        f"**{grade.state}**, {format_earned(grade, ' of ')} points.",
        _sentence(f"{correction}." if (correction := grade.describe_correction()) else ""),
        f"**Comment:** {_sentence(grade.comment)}" if grade.comment else "",
        _sentence(grade.problem),
        *(f"**Please note:** {_sentence(warning)}" for warning in grade.warnings),
    )
    if grade.rules:
        rows = [
            [escape_markdown(cell) for cell in (r.title, r.limit, r.found, r.margin, r.state)]
            + [format_earned(one, " of ")]
            for r, one in zip(grade.rules, grade.rule_points, strict=True)
        ]
        titles = ("rule", "limit", "found", "margin", "verdict", "points")
        draft.add("## Rules", markdown_table(titles, rows))
        largest = [
            f"{escape_markdown(rule.title)}: {escape_markdown('; '.join(rule.largest_layers))}"
            for rule in grade.rules
            if rule.largest_layers
        ]
        advice = [
            escape_markdown(f"{rule.title}: {text}")
            for rule in grade.rules
            if (text := find_advice(rule))
        ]
        draft.add(bullet_list([*largest, *advice]))
    _add_measurements(draft, grade)
    if grade.notes:
        notes = [_escape_start(escape_markdown(note)) for note in grade.notes]
        draft.add("## Notes", bullet_list(notes))
    if grade.summary:
        text = escape_controls(grade.summary, keep="\n").replace("```", "'''")
        draft.add("## Layers", _escape_start(inline_code(grade.net)), f"```text\n{text}\n```")
    if figures:
        _add_figures(draft, examination, split, disputed or {})
    return draft.finish(escape_markdown(" ".join(title.split()) or "Grading report"))


def _describe_submission(grade: Grade) -> str:
    """Return whose submission was graded, and when."""
    student = f" by {escape_markdown(grade.student)}" if grade.student else ""
    day = f", graded on {grade.graded_on}" if grade.graded_on else ""
    return f"Submission {inline_code(grade.name)}{student}{day}"


def _sentence(text: str) -> str:
    """Return a text as a paragraph; the names of files keep their first letter."""
    first = text.partition(" ")[0]
    if first.isalpha():
        text = text[:1].upper() + text[1:]
    return _escape_start(escape_markdown(text))


def _escape_start(markdown: str) -> str:
    """Return a paragraph with the marks escaped that would make it a heading, list or quotation."""
    return re.sub(r"^(\d+(?=[.)]\s)|(?=[-+#>=~]))(.)", r"\1\\\2", markdown)


def _add_measurements(draft: Draft, grade: Grade) -> None:
    claim, score = grade.claim, grade.score
    rows = []
    if grade.parameters is not None:
        claimed = "-" if claim.parameters is None else f"{claim.parameters:,}"
        rows.append(["parameters", claimed, f"{grade.parameters:,}"])
    if score or claim.accuracy is not None:
        claimed = "-" if claim.accuracy is None else f"{claim.accuracy:.2f}%"
        measured = f"{score.percent:.2f}%" if score else "not measured"
        rows.append(["test accuracy", claimed, measured])
    if claim.epochs is not None or grade.curve:
        claimed = "-" if claim.epochs is None else f"{claim.epochs:,}"
        trained = f"{len(grade.curve.test_correct):,}" if grade.curve else "-"
        rows.append(["epochs", claimed, trained])
    if grade.perturbed:
        rows.append(["accuracy on images moved by 1 pixel", "-", f"{grade.perturbed.percent:.2f}%"])
    if len(grade.seed_scores) > 1:
        each = ", ".join(f"{one.percent:.2f}%" for one in grade.seed_scores)
        rows.append(["test accuracy of each seed", "-", each])
    if rows:
        draft.add(
            "## Claimed and measured",
            markdown_table(("value", "claimed", "measured"), rows, "lrr"),
            _describe_used(grade),
            _describe_median(len(grade.seed_scores)),
        )


def _describe_median(seeds: int) -> str:
    """Return which of several seeds counts; empty for one."""
    if seeds < 2:
        return ""
    if seeds == 2:
        return "Of the two seeds, the one of lower accuracy counts."
    lower = "" if seeds % 2 else " (of the two in the middle, the lower)"
    return f"The seed of median accuracy{lower} counts."


def _describe_used(grade: Grade) -> str:
    """Return how the accuracy was measured; empty if it was not."""
    used = grade.used
    if used is None:
        return ""
    given = grade.claim.mean is not None or grade.claim.std is not None
    origin = "from the recipe"
    if used.weights is not None:
        origin = "as claimed or recorded" if given else "the default, since none are claimed"
    what = f"Scored with the weights {inline_code(used.weights)}, " if used.weights else "Scored "
    moved = " Images moved by one pixel also have a little noise, which differs in each grading."
    return f"{what}with mean {used.mean:g} and std {used.std:g} ({origin})." + (
        moved if grade.perturbed else ""
    )


def _add_figures(
    draft: Draft, examination: Examination, split: Split, disputed: Mapping[int, DisputedLabel]
) -> None:
    grade, evaluation = examination.grade, examination.evaluation
    if grade.curve and grade.score:
        figure = _draw_curve(grade.curve, grade.score.total)
        draft.add("## Training", draft.figure("curves", figure, "Accuracy after each epoch"))
    if evaluation is None or not evaluation.mistakes:
        return
    worst = sorted(evaluation.mistakes, key=lambda one: -one.confidence)[:MOST_SHOWN]
    pictures = [prepare_picture(split.images[one.image].permute(1, 2, 0).numpy()) for one in worst]
    captions = [
        mark_caption(
            f"{one.label}, predicted {one.predicted}\n{100 * one.confidence:.0f}%, no. {one.image}",
            one.image,
            disputed,
        )
        for one in worst
    ]
    framed = [one.image in disputed for one in worst]
    numbers = [one.image for one in evaluation.mistakes]
    draft.add(
        "## Mistakes",
        f"{len(worst)} of {len(evaluation.mistakes):,} misclassified images: those with the "
        "highest confidence. Below each: label and prediction, confidence, number of the image.",
        draft.figure("mistakes", mistake_gallery(pictures, captions, framed), GALLERY_ALTERNATIVE),
        explain_disputed(disputed, numbers, sum(framed), evaluation.score.total),
    )


def _draw_curve(curve: Curve, total: int) -> Figure:
    figure = new_figure(NARROW, _HEIGHT)
    with use_style():
        axes = figure.subplots()
        epochs = np.arange(1, len(curve.test_correct) + 1)
        test = 100 * np.array(curve.test_correct) / total
        axes.plot(epochs, test, color=BLUE, marker="o", label="test images")
        train = np.array(curve.train_percent)
        axes.plot(epochs[: len(train)], train, color=ORANGE, marker="s", label="training images")
        axes.set(xlabel="epoch", ylabel="accuracy (%)")
        use_whole_numbers(axes)
        axes.legend()
    return figure
