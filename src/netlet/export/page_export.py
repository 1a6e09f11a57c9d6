"""Export to a web page: one HTML file to draw digits on, which runs the net offline in any browser.

The page's markup, style and scripts are the files of ``page/``; this module adds the net.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from netlet.budgets import RuleResult
from netlet.data import Dataset
from netlet.data.skeletons import STYLES
from netlet.display import Displayed
from netlet.errors import ExportError
from netlet.evaluation.digit_detector import LOG_ODDS_SHIFT, load_detector
from netlet.export import reference
from netlet.export.build_graph import build_inference_graph
from netlet.export.fold import fold_graph
from netlet.export.image_selection import select_verification_images
from netlet.export.inference_graph import Convolution, InferenceGraph, Layer
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.receptive_field import Field, Grid, receptive_fields
from netlet.export.result import ExportResult, check_float32, write_files
from netlet.export.traced_model import TracedModel
from netlet.export.verification import Verification, compare_with_pytorch
from netlet.nets.blocks import MNIST_SHAPE
from netlet.recipes import Recipe
from netlet.records import Confidence
from netlet.text import dump_json, escape_html, format_count, format_shape, format_sizes

_SCRIPTS = ("prepare.js", "pieces.js", "run.js", "fields.js", "drawing.js", "view.js", "main.js")
_SAMPLE_STYLES = 2  # ways of writing a sample digit: the most frequent ones, in turn


class WebPage(str, Displayed):
    """The text of an HTML file; a notebook shows the page itself."""

    def _facts(self) -> Mapping[str, object]:
        title = re.search(r"<title>(.*?)</title>", self)
        return {"title": html.unescape(title[1]) if title else "", "characters": len(self)}


def export_page(
    model: TracedModel,
    path: Path,
    dataset: Dataset | None,
    *,
    confidence: Confidence | None = None,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a model as one HTML file, after verifying its graph against PyTorch.

    Args:
        model: The model; it must take images 1x28x28.
        path: The path of the file.
        dataset: The data set that the net was trained on, for verification; None: synthetic digits
            (``scribble``).
        confidence: The calibration of the net's confidence; None: it is not calibrated.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The model takes other images, or the verification fails.
        OutputError: The file cannot be written.
    """
    _check_input_shape(model)
    image_set, split = select_verification_images(model, dataset)
    predict = partial(reference.compute_logits, model.graph)
    verification = compare_with_pytorch(model, predict, image_set, split, on_progress)
    check_float32(verification, "page's graph")
    note = (
        "verified: the page's graph, run by PyTorch (netlet's tests check that a browser computes "
        "the same)"
    )
    size = write_files({path: build_page(model, verification, confidence)})
    return ExportResult((path,), size, verification, (note,))


def build_page(
    model: TracedModel,
    verification: Verification | None = None,
    confidence: Confidence | None = None,
) -> WebPage:
    """Build one HTML file that loads nothing else.

    Args:
        model: The model; it must take images 1x28x28.
        verification: Supplies the accuracy that the page shows; None: that of the run's record.
        confidence: The calibration of the net's confidence; None: the page is never unsure.

    Raises:
        ExportError: The model takes other images.
    """
    _check_input_shape(model)
    folder = resources.files(__package__) / "page"
    style = (folder / "page.css").read_text("utf-8")
    scripts = "\n".join(_strip_comments((folder / name).read_text("utf-8")) for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{scripts}\n}})();\n'
    text = Template((folder / "page.html").read_text("utf-8")).substitute(
        name=escape_html(model.metadata["net"]),
        style=style,
        style_hash=_policy_hash(style),
        script=script,
        script_hash=_policy_hash(script),
        costs="\n".join(_cost_rows(model, verification, confidence)),
        net=_to_script_json(
            {
                "classes": model.labels,
                "layers": _layers_to_json(model.graph),
                "samples": _samples_to_json(model.labels),
                "confidence": _confidence_to_json(confidence),
            }
        ),
        weights=_encode_weights(model.graph),
        detector_weights=_encode_weights(_detector_graph()) if _has_detector(confidence) else "",
    )
    return WebPage(text)


def _check_input_shape(model: TracedModel) -> None:
    if model.source.shape != MNIST_SHAPE:
        raise ExportError(
            f"{model.source.name}: takes images {format_shape(model.source.shape)}, but the page "
            f"draws {format_shape(MNIST_SHAPE)}; export to onnx or c instead"
        )


def _strip_comments(script: str) -> str:
    """Remove indentation and comment lines to keep the file small; page/ has the originals."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/*", "*")))


def _policy_hash(text: str) -> str:
    """Return the hash by which the content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _to_script_json(value: object) -> str:
    # Inside a script element only "<" could end the element early.
    return dump_json(value, compact=True).replace("<", "\\u003c")


def _encode_weights(graph: InferenceGraph) -> str:
    """Return weights and biases, layer by layer, as little-endian float32 in base64."""
    weights = [np.concatenate([c.weight.ravel(), c.bias.ravel()]) for c in graph.convolutions()]
    if not weights:
        return ""
    return base64.b64encode(np.concatenate(weights).astype("<f4").tobytes()).decode()


def _layers_to_json(graph: InferenceGraph) -> list[dict[str, Any]]:
    """Return the layers without their weights, which :func:`_encode_weights` has in this order."""
    layers, offset = [], 0
    fields_after = receptive_fields(graph)[1:]
    for layer, field in zip(graph.layers, fields_after, strict=True):
        values = _layer_to_json(layer) | {"field": _field_to_json(field)}
        if isinstance(layer, Convolution):
            bias = offset + layer.weight.size
            values |= {"window": layer.window, "weight": offset, "bias": bias}
            offset = bias + layer.bias.size
        layers.append(values)
    return layers


def _confidence_to_json(confidence: Confidence | None) -> dict[str, Any] | None:
    if confidence is None:
        return None
    detector = None
    if _has_detector(confidence):
        detector = {"layers": _layers_to_json(_detector_graph()), "shift": LOG_ODDS_SHIFT}
    return {
        "temperature": confidence.temperature,
        "threshold": confidence.threshold,
        "detector": detector,
    }


def _has_detector(confidence: Confidence | None) -> bool:
    return confidence is not None and bool(confidence.detector_digest)


def _detector_graph() -> InferenceGraph:
    recipe = Recipe()
    return fold_graph(build_inference_graph(load_detector(), MNIST_SHAPE, recipe.mean, recipe.std))


def _samples_to_json(labels: tuple[str, ...]) -> dict[int, list[list[list[int]]]]:
    """Return, by class index, the most frequent styles of a digit as strokes ``x, y, x, y, ...``.

    Coordinates are in hundredths of the unit square.
    """
    samples = {}
    for digit, styles in STYLES.items():
        if str(digit) in labels:
            frequent = sorted(styles, key=lambda style: -style.share)[:_SAMPLE_STYLES]
            samples[labels.index(str(digit))] = [
                [
                    [round(100 * coordinate) for point in stroke for coordinate in point]
                    for stroke in style.strokes
                ]
                for style in frequent
            ]
    return samples


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    """Return the fields of a layer without its weights; an infinite bound is null."""
    values = {
        field.name: getattr(layer, field.name)
        for field in fields(layer)
        if field.name not in ("weight", "bias")
    }
    for name in ("clamp", "bounds"):
        if name in values:
            values[name] = [None if math.isinf(bound) else bound for bound in values[name]]
    return {"kind": layer.kind, **values}


def _field_to_json(field: Field) -> list[dict[str, Any]] | None:
    return None if field is None else [_grid_to_json(grid) for grid in field]


def _grid_to_json(grid: Grid) -> dict[str, Any]:
    values: dict[str, Any] = {"extent": grid.extent}
    if grid.size:
        values |= {"start": grid.start, "size": grid.size, "jump": grid.jump}
    if grid.fixed:
        values["fixed"] = grid.fixed
    return values


def _cost_rows(
    model: TracedModel, verification: Verification | None, confidence: Confidence | None
) -> Iterator[str]:
    """Yield what the net costs and its budget's verdict, as rows of a description list."""
    cost, source, verdict = model.cost, model.source, model.verdict
    results = {result.rule: result for result in verdict.results} if verdict else {}
    if source.budget:
        yield _cost_row("budget", source.budget.name)
    for name, number in (
        ("parameters", cost.parameters),
        ("MACs", cost.macs),
        ("weight bytes", cost.weight_bytes),
        ("activation bytes", cost.activation_bytes),
    ):
        yield _cost_row(name, format_count(number), results.get(name))
    for rule, result in results.items():
        if rule.endswith(" layers"):
            yield _cost_row(result.title, result.found, result)
    field = receptive_fields(model.graph)[-1]
    yield _cost_row(
        "receptive field", format_sizes([grid.extent for grid in field] if field else None)
    )
    if verification and verification.measures_accuracy:
        score, image_set = verification.export, verification.image_set
        yield _cost_row(
            "accuracy",
            f"{score.percent:.2f}%",
            f"{score.correct:,} of {score.total:,}, {image_set}",
        )
    elif source.run:
        score = source.run.last_epoch.score
        yield _cost_row(
            "accuracy",
            f"{score.percent:.2f}%",
            f"{score.correct:,} of {score.total:,}, {score.split}",
        )
    if confidence:
        low = f"{100 * confidence.threshold:.0f}%"
        yield _cost_row("unsure below", low, f"calibrated on {confidence.source}")
    else:
        yield _cost_row("confidence", "not calibrated")
    yield _cost_row("normalization", source.normalization)
    yield _cost_row("digest", model.digest[:12])


def _cost_row(name: str, value: str, below: RuleResult | str | None = None) -> str:
    """Return a name and its value, with a budget rule's result or a short text below."""
    text = ""
    if isinstance(below, RuleResult):
        text = f'{escape_html(below.limit)}: <b class="{below.state}">{below.state}</b>'
    elif below:
        text = escape_html(below)
    small = f"<small>{text}</small>" if text else ""
    return f"<div><dt>{escape_html(name)}</dt><dd>{escape_html(value)}{small}</dd></div>"
