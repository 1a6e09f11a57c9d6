"""HTML of the values of the Python API, as notebooks show it.

It has no colors of its own but takes those of the notebook, light or dark. Every text in it is
escaped: names come from other people.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial, singledispatch
from typing import TYPE_CHECKING

from netlet.analysis import ReceptiveField, Summary
from netlet.budgets import Budget, Verdict
from netlet.budgets.budget import PERCENTAGES
from netlet.data import Dataset, Split, draw_contact_sheet
from netlet.display import Displayed, shorten_repr
from netlet.errors import DataError, RecordError, ReportError
from netlet.evaluation import Evaluation, Explanation, Prediction, Predictions
from netlet.evaluation.format import (
    CONFUSION_TITLE,
    MAX_CONFUSION_CLASSES,
    class_table,
    confusion_table,
    describe_score,
)
from netlet.export import ExportResult, WebPage
from netlet.recipes import CatalogRate, Recipe
from netlet.records import Run, Study
from netlet.report import study_plots
from netlet.report.explain_page import grad_cam_figure
from netlet.report.figures import figure_to_svg
from netlet.report.frontier_page import frontier_table
from netlet.report.frontier_plot import frontier_figure
from netlet.report.learning_rate_plot import range_test_figure
from netlet.report.page import Page
from netlet.stats import (
    Comparison,
    Frontier,
    comparison_tables,
    describe_shifts,
    seed_table,
    summarize_study,
)
from netlet.text import Table, count_noun, escape_html, format_shape
from netlet.training import RangeTest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_TEXT = 400  # characters of a value in a table of facts
_MOST_ROWS = 20  # of predictions, and of the classes of a data set
_MOST_EXPLAINED = 4  # images of an explanation
_PAGE_HEIGHT = 640  # pixels


@singledispatch
def to_html(value: Displayed) -> str:
    """Return a value as HTML: by default its name and what its ``repr`` tells."""
    return _section(type(value).__name__, _facts_table(value))


@to_html.register
def _(value: Recipe) -> str:
    about = _lines([value.about] if value.about else [])
    facts = {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
    return _section("Recipe", about, _table_of_facts(facts))


@to_html.register
def _(value: Budget) -> str:
    facts = value._facts()
    percents = {name: f"{facts[name]}%" for name in PERCENTAGES if name in facts}
    return _section("Budget", _table_of_facts({**facts, **percents}))


@to_html.register
def _(value: Summary) -> str:
    caption = f"{value.net}, input {format_shape(value.input)}"
    lines = [*value.totals(), *value.notes]
    return _section("", value.to_table().to_html(caption), _lines(lines))


@to_html.register
def _(value: ReceptiveField) -> str:
    return _section("", value.to_table().to_html("receptive field"), _lines([value.conclusion]))


@to_html.register
def _(value: Verdict) -> str:
    return _section("", value.to_table().to_html(value.head), _lines(value.footnotes()))


@to_html.register
def _(value: Evaluation) -> str:
    names = [*map(str, range(len(value.confusion)))]
    tables = [class_table(value, names).to_html()]
    if len(names) <= MAX_CONFUSION_CLASSES:
        tables.append(confusion_table(value, names).to_html(CONFUSION_TITLE))
    return _section("Evaluation", _lines([describe_score(value)]), *tables)


@to_html.register
def _(value: Run) -> str:
    verdict = to_html(value.verdict) if value.verdict else ""
    try:
        curves = _curves(Study.from_runs([value]))
    except RecordError as error:  # of a run whose values contradict each other
        curves = _lines([str(error)])
    return _section("Run", _facts_table(value), verdict, curves)


@to_html.register
def _(value: Study) -> str:
    lines = _lines(summarize_study(value))
    return _section(
        "Study", _facts_table(value), lines, seed_table(value).to_html(), _curves(value)
    )


@to_html.register
def _(value: Comparison) -> str:
    accuracies, tests = comparison_tables(value)
    caption = f"last epoch on {value.total:,} {value.split} images"
    lines = [value.conclusion, *filter(None, [value.training_note])]
    lines += describe_shifts(value.studies or ())
    parts = [accuracies.to_html(caption), tests.to_html(), _lines(lines)]
    if value.studies is not None:
        studies = value.studies
        parts.append(_figures([("seeds of both studies", lambda: _seeds(studies))]))
    return _section("Comparison", *parts)


@to_html.register
def _(value: Frontier) -> str:
    if not value:
        return _section("Frontier", _lines(["no points"]))
    figure = _figures([("test error against parameters", lambda: frontier_figure(value))])
    return _section("Frontier", figure, frontier_table(value).to_html())


@to_html.register
def _(value: Explanation) -> str:
    classes = [*map(str, range(value.probabilities.shape[1]))]
    shown = range(min(len(value.images), _MOST_EXPLAINED))
    figures = [
        (f"Grad-CAM maps of image {i}", partial(grad_cam_figure, value, i, classes)) for i in shown
    ]
    left = len(value.images) - len(shown)
    more = [f"and {count_noun(left, 'more image')}"] if left else []
    return _section("Explanation", _facts_table(value), _figures(figures), _lines(more))


@to_html.register
def _(value: RangeTest) -> str:
    figure = _figures([("training loss over learning rate", lambda: range_test_figure(value))])
    suggested = {"steepest": value.steepest, "tenth_of_lowest": value.tenth_of_lowest}
    rounded = {name: f"{rate:.2g}" for name, rate in suggested.items() if rate is not None}
    return _section("RangeTest", _table_of_facts({**value._facts(), **rounded}), figure)


@to_html.register
def _(value: Dataset) -> str:
    splits = (value.train, value.held_out)
    counts = [split.labels.bincount(minlength=value.classes).tolist() for split in splits]
    rows = [
        [name, *(f"{numbers[k]:,}" for numbers in counts)]
        for k, name in enumerate(value.class_names[:_MOST_ROWS])
    ]
    if left := value.classes - len(rows):
        noun = "more class" if left == 1 else "more classes"
        rest = [f"{sum(numbers[_MOST_ROWS:]):,}" for numbers in counts]
        rows.append([f"and {left:,} {noun}", *rest])
    rows.append(["all", *(f"{len(split):,}" for split in splits)])
    table = Table(("images of class", *(split.name for split in splits)), rows, "lrr")
    sheet = _sheet(value.train, value.class_names)
    return _section("Dataset", _facts_table(value), table.to_html(), sheet)


@to_html.register
def _(value: Predictions) -> str:
    rows = [[str(number), *_cells(one)] for number, one in enumerate(value[:_MOST_ROWS])]
    columns = ("image", "class", "probability", "runner-up", "its probability", "unsure")
    left = len(value) - len(rows)
    more = [f"and {count_noun(left, 'more image')}"] if left else []
    return _section("Predictions", Table(columns, rows, "rrrrrl").to_html(), _lines(more))


@to_html.register
def _(value: ExportResult) -> str:
    return _section("Export", _lines(str(value).splitlines()))


@to_html.register
def _(value: Page) -> str:
    try:
        return _frame(value.html, value.title)
    except ReportError:  # without markdown-it-py
        return _section("Page", f"<pre>{_escape_lines(value.markdown)}</pre>")


@to_html.register
def _(value: WebPage) -> str:
    return _frame(str(value), "web page of a net")


def _section(title: str, *parts: str) -> str:
    heading = f"<strong>{escape_html(title)}</strong>" if title else ""
    return f'<div class="netlet">{heading}{"".join(parts)}</div>'


def _lines(lines: Iterable[str]) -> str:
    text = "<br>".join(map(escape_html, lines))
    return f'<p style="max-width:60em">{text}</p>' if text else ""


def _escape_lines(text: str) -> str:
    return "\n".join(map(escape_html, text.splitlines()))


def _facts_table(value: Displayed) -> str:
    """Return what the value's ``repr`` tells as a table."""
    return _table_of_facts(value._facts())


def _table_of_facts(facts: Mapping[str, object]) -> str:
    """Return a table with a row for each fact."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape_html(name.replace("_", " "))}</th>'
        f'<td style="text-align:left">{escape_html(_describe(fact))}</td></tr>'
        for name, fact in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _describe(fact: object) -> str:
    if isinstance(fact, str):
        return fact if len(fact) <= _LONGEST_TEXT else f"{fact[:_LONGEST_TEXT]}..."
    if type(fact) is int:
        return f"{fact:,}"
    if isinstance(fact, CatalogRate):
        return f"{fact} for nets that come with netlet; others keep their own"
    return "-" if fact is None else shorten_repr(fact, _LONGEST_TEXT)


def _cells(one: Prediction) -> list[str]:
    probabilities = (f"{one.confidence:.2%}", f"{one.runner_up_confidence:.2%}")
    unsure = "-" if one.unsure is None else "yes" if one.unsure else "no"
    return [str(one.best), probabilities[0], str(one.runner_up), probabilities[1], unsure]


def _curves(study: Study) -> str:
    return _figures(
        [
            ("accuracy after each epoch", lambda: study_plots.accuracy_curves(study)),
            ("loss after each epoch", lambda: study_plots.loss_curves(study)),
        ]
    )


def _seeds(studies: Sequence[Study]) -> Figure:
    return study_plots.seed_accuracies(studies)


def _figures(figures: Sequence[tuple[str, Callable[[], Figure]]]) -> str:
    """Return figures side by side as SVG in the colors of the notebook, or why there are none."""
    try:
        pictures = [(label, figure_to_svg(draw())) for label, draw in figures]
    except ReportError as error:  # without matplotlib
        return _lines([str(error)])
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1em">'
        + "".join(
            f'<span role="img" aria-label="{escape_html(label)}">{svg}</span>'
            for label, svg in pictures
        )
        + "</div>"
    )


def _sheet(split: Split, class_names: Sequence[str]) -> str:
    """Return ten images of each class as a picture, if they fit."""
    if len(class_names) > MAX_CONFUSION_CLASSES:
        return ""
    try:
        picture = draw_contact_sheet(split, class_names)
    except DataError:
        return ""
    content = io.BytesIO()
    picture.quantize(64).save(content, format="PNG", optimize=True)
    data = base64.b64encode(content.getvalue()).decode()
    return (
        f'<img alt="ten {escape_html(split.name)} images of each class" '
        f'style="max-width:100%" src="data:image/png;base64,{data}">'
    )


def _frame(page: str, title: str) -> str:
    """Return a page in a frame, in which its scripts can reach nothing of the notebook."""
    return (
        f'<div class="netlet"><iframe title="{escape_html(title)}" sandbox="allow-scripts" '
        f'style="width:100%;height:{_PAGE_HEIGHT}px;border:1px solid currentColor" '
        f'srcdoc="{html.escape(page)}"></iframe>'
        f"<p>{escape_html(title)}: {len(page):,} characters</p></div>"
    )
