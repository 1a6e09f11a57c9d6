"""What the page says of the net in HTML: its costs and verdict, and its layers as written."""

from __future__ import annotations

from collections.abc import Iterator

from netlet.analysis import receptive_field
from netlet.budgets import RuleResult
from netlet.export.receptive_field import receptive_fields
from netlet.export.traced_model import TracedModel
from netlet.export.verification import Verification
from netlet.export.written_layers import WrittenNet
from netlet.records import Confidence, Run
from netlet.text import escape_html, format_count, format_shape, format_sizes


def cost_rows(
    model: TracedModel, verification: Verification | None, confidence: Confidence | None
) -> Iterator[str]:
    """Yield what the net costs, how it was trained and its verdict, as rows of a description list.

    Args:
        model: The model.
        verification: Supplies the accuracy; None: that of the run's record.
        confidence: The calibration of the net's confidence; None: it is not calibrated.
    """
    cost, source = model.cost, model.source
    run = source.run
    judged = run.verdict if run else None
    verdict = judged or model.verdict
    results = {result.rule: result for result in verdict.results} if verdict else {}
    if source.budget:
        state = judged.state if judged else None
        below = state and RuleResult("budget", "verdict of the run", "", "", state)
        yield _cost_row("budget", source.budget.name, below)
    if run:
        yield from _training_rows(run, results.pop("epochs", None))
    for name, number in (
        ("parameters", cost.parameters),
        ("MACs", cost.macs),
        ("weight bytes", cost.weight_bytes),
        ("activation bytes", cost.activation_bytes),
    ):
        yield _cost_row(name, format_count(number), results.pop(name, None))
    for rule, result in results.items():
        if rule.endswith(" layers") or result.state in ("FAIL", "UNKNOWN"):
            yield _cost_row(result.title, result.found, result)
    field = receptive_fields(model.graph)[-1]
    sizes = tuple(grid.extent for grid in field) if field else None
    if sizes is None:  # some maps have no grid; analysis follows single elements
        sizes = receptive_field(model.source.net, model.source.shape).size
    yield _cost_row("receptive field", format_sizes(sizes))
    yield from _accuracy_row(model, verification)
    if confidence:
        low = f"{100 * confidence.threshold:.0f}%"
        yield _cost_row("unsure below", low, f"calibrated on {confidence.source}")
    else:
        yield _cost_row("confidence", "not calibrated")
    yield _cost_row("normalization", source.normalization)
    yield _cost_row("digest", model.digest[:12])


def written_rows(written: WrittenNet) -> Iterator[str]:
    """Yield the layers of a net as written, as rows of a table."""
    for layer in written.layers:
        kind = f"{layer.kind}{', global average pooling' if layer.is_gap else ''}"
        cells = (kind, format_shape(layer.shape), f"{layer.parameters:,}", layer.role)
        texts = "".join(f"<td>{escape_html(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape_html(layer.name)}</th>{texts}</tr>'


def _training_rows(run: Run, rule: RuleResult | None) -> Iterator[str]:
    recipe = str(run.recipe["name"])
    yield _cost_row("recipe", recipe, f"seed {run.seed}, {run.data['name']}")
    yield _cost_row("epochs", f"{run.cost['epochs']:,}", rule)


def _accuracy_row(model: TracedModel, verification: Verification | None) -> Iterator[str]:
    if verification and verification.measures_accuracy:
        score, images = verification.export, verification.scored_set
    elif model.source.run:
        score = model.source.run.last_epoch.score
        images = score.split
    else:
        return
    counts = f"{score.correct:,} of {score.total:,}, {images}"
    yield _cost_row("accuracy", f"{score.percent:.2f}%", counts)


def _cost_row(name: str, value: str, below: RuleResult | str | None = None) -> str:
    """Return a name and its value, with a budget rule's result or a short text below."""
    text = ""
    if isinstance(below, RuleResult):
        text = f'{escape_html(below.limit)}: <b class="{below.state}">{below.state}</b>'
    elif below:
        text = escape_html(below)
    small = f"<small>{text}</small>" if text else ""
    return f"<div><dt>{escape_html(name)}</dt><dd>{escape_html(value)}{small}</dd></div>"
