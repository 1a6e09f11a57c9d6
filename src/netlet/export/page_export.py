"""Export to a web page: one HTML file to draw digits on, which runs the net offline in any browser.

The page's markup, style and scripts are the files of ``page/``; this module adds the net.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from netlet.data import Dataset
from netlet.data.skeletons import STYLES
from netlet.display import Displayed
from netlet.errors import ExportError
from netlet.evaluation.digit_detector import LOG_ODDS_SHIFT, load_detector
from netlet.export import reference
from netlet.export.build_graph import build_inference_graph
from netlet.export.fold import fold_graph
from netlet.export.image_selection import select_verification_images
from netlet.export.inference_graph import Convolution, InferenceGraph, Layer, Pooling
from netlet.export.page_facts import cost_rows, written_rows
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.receptive_field import Field, Grid, receptive_fields
from netlet.export.result import ExportResult, check_float32, write_files
from netlet.export.traced_model import TracedModel
from netlet.export.verification import Verification, compare_with_pytorch
from netlet.export.written_layers import WrittenNet, describe_written_net
from netlet.nets.blocks import MNIST_SHAPE
from netlet.recipes import Recipe
from netlet.records import Confidence
from netlet.text import dump_json, escape_html, format_shape

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
    written = describe_written_net(model.source.net, model.graph)
    script = f'(() => {{\n"use strict";\n{scripts}\n}})();\n'
    text = Template((folder / "page.html").read_text("utf-8")).substitute(
        name=escape_html(model.metadata["net"]),
        style=style,
        style_hash=_policy_hash(style),
        script=script,
        script_hash=_policy_hash(script),
        costs="\n".join(cost_rows(model, verification, confidence)),
        written="\n".join(written_rows(written)),
        net=_to_script_json(
            {
                "classes": model.labels,
                "layers": _layers_to_json(model.graph, written),
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


def _layers_to_json(
    graph: InferenceGraph, written: WrittenNet | None = None
) -> list[dict[str, Any]]:
    """Return the layers without their weights, which :func:`_encode_weights` has in this order.

    Args:
        graph: The graph.
        written: The net as its code has it; None: nobody sees these layers.
    """
    layers, offset, shapes = [], 0, graph.shapes
    fields_after = receptive_fields(graph)[1:]
    folded = written.folded if written else ((),) * len(graph.layers)
    for layer, field, others in zip(graph.layers, fields_after, folded, strict=True):
        values = _layer_to_json(layer) | {"field": _field_to_json(field)}
        if others:
            values["folded"] = others
        if isinstance(layer, Pooling) and layer.is_global(shapes[layer.inputs[0]]):
            values["global"] = True
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
        if field.name not in ("weight", "bias", "sources")
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
