"""A net as one HTML file: draw a digit and see what the net makes of it, in any browser, with no network.

The page's text, looks and arithmetic are the files of ``page/``; here they are put together with
the net.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from netlet.analysis.fields import Axis, Field
from netlet.budgets import RuleResult
from netlet.data import Dataset
from netlet.data.skeletons import STYLES
from netlet.errors import ShipError
from netlet.export import reference
from netlet.export.agreement import Agreement, agreement
from netlet.export.exported import Exported, accept_float, write_export
from netlet.export.graph import Convolution, Layer
from netlet.export.images import images_to_compare
from netlet.export.receptive import receptive_fields
from netlet.export.trained_model import TrainedModel
from netlet.nets.blocks import MNIST_SHAPE
from netlet.text import count, per_axis

_SCRIPTS = ("prepare.js", "run.js", "fields.js", "drawing.js", "view.js", "main.js")
_STYLES_OF_A_DIGIT = 2  # the commonest; a sample asked for again is written in the other


def export_page(origin: TrainedModel, path: Path, known: Dataset | None) -> Exported:
    """Write a net as one HTML file, its folded graph held against the net before.

    Args:
        origin: The net; it takes images 1x28x28.
        path: Of the file.
        known: What the net was taught on, to compare with; None: ``scribble``.

    Raises:
        ShipError: It takes other images, its graph is not its equal, or the file cannot be written.
    """
    _takes_drawings(origin)
    found = agreement(
        origin, partial(reference.logits, origin.graph), *images_to_compare(origin, known)
    )
    accept_float(found)
    note = "compared by PyTorch on the page's graph; that a browser computes the same is what netlet's tests hold it to"
    return Exported((path,), write_export({path: page(origin, found)}), found, (note,))


def page(origin: TrainedModel, found: Agreement | None = None) -> str:
    """One HTML file that needs no other and asks for none.

    Args:
        origin: The net; it takes images 1x28x28.
        found: What its accuracy is known from.

    Raises:
        ShipError: It takes other images.
    """
    _takes_drawings(origin)
    folder = resources.files(__package__) / "page"
    style = (folder / "page.css").read_text("utf-8")
    scripts = "\n".join(_lean((folder / name).read_text("utf-8")) for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{scripts}\n}})();\n'
    return Template((folder / "page.html").read_text("utf-8")).substitute(
        name=escape(origin.described["net"]),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        cost="\n".join(_facts(origin, found)),
        net=_json(_net(origin)),
        weights=_weights(origin),
    )


def _takes_drawings(origin: TrainedModel) -> None:
    trained = origin.trained
    if trained.shape != MNIST_SHAPE:
        taken = "x".join(map(str, trained.shape))
        raise ShipError(
            f"{trained.name}: takes images {taken}, a page draws 1x28x28; export it to onnx or c instead"
        )


def _lean(script: str) -> str:
    """Less indentation and the lines that only say why: weights want the room, and who wonders has the files."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/*", "*")))


def _hash(text: str) -> str:
    """By which the page's security policy knows its own style and script, and lets no other in."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: object) -> str:
    # Inside a script element only "<" could end it early.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _weights(origin: TrainedModel) -> str:
    """All weights, layer by layer, biases behind their weights: little-endian float32 in base64."""
    numbers = [
        np.concatenate([c.weight.ravel(), c.bias.ravel()]) for c in origin.graph.convolutions()
    ]
    return (
        base64.b64encode(np.concatenate(numbers).astype("<f4").tobytes()).decode()
        if numbers
        else ""
    )


def _net(origin: TrainedModel) -> dict[str, Any]:
    """The graph but for its weights, and what the page shows with it."""
    graph, names = origin.graph, origin.labels
    layers, at = [], 0
    for layer, field in zip(graph.layers, receptive_fields(graph)[1:], strict=True):
        plain = _plain(layer) | {"field": _plain_field(field)}
        if isinstance(layer, Convolution):
            plain |= {"window": layer.window, "weight": at, "bias": at + layer.weight.size}
            at += layer.weight.size + layer.bias.size
        layers.append(plain)
    samples = {
        names.index(str(digit)): [
            [
                [round(100 * number) for point in stroke for number in point]
                for stroke in style.strokes
            ]
            for style in sorted(styles, key=lambda style: -style.share)[:_STYLES_OF_A_DIGIT]
        ]
        for digit, styles in STYLES.items()
        if str(digit) in names
    }
    return {"classes": names, "layers": layers, "samples": samples}


def _plain(layer: Layer) -> dict[str, Any]:
    """The fields of a layer by their names; an infinite bound is null."""
    values = {
        field.name: getattr(layer, field.name)
        for field in fields(layer)
        if field.name not in ("weight", "bias")
    }
    for name in ("clamp", "bounds"):
        if name in values:
            values[name] = [None if math.isinf(bound) else bound for bound in values[name]]
    return {"kind": layer.kind, **values}


def _plain_field(field: Field) -> list[dict[str, Any]] | None:
    return None if field is None else [_plain_axis(axis) for axis in field]


def _plain_axis(axis: Axis) -> dict[str, Any]:
    slides = (
        {"start": axis.start, "size": axis.size, "jump": axis.jump} if axis.dim is not None else {}
    )
    return slides | ({"fixed": axis.fixed} if axis.fixed else {}) | {"extent": axis.extent}


def _facts(origin: TrainedModel, found: Agreement | None) -> Iterator[str]:
    """What the net costs, and what its budget says of that: the rows of a description list."""
    cost, trained = origin.cost, origin.trained
    rule_results = (
        {rule_result.rule: rule_result for rule_result in origin.verdict.rule_results}
        if origin.verdict
        else {}
    )
    seen = receptive_fields(origin.graph)[-1]
    if trained.budget:
        yield _row("budget", trained.budget.name)
    yield _row("parameters", count(cost.parameters), rule_results.get("parameters"))
    yield _row("MACs", count(cost.macs), rule_results.get("MACs"))
    yield _row("weight bytes", count(cost.weight_bytes), rule_results.get("weight bytes"))
    yield _row(
        "activation bytes", count(cost.activation_bytes), rule_results.get("activation bytes")
    )
    yield from (
        _row(rule, rule_result.found, rule_result)
        for rule, rule_result in rule_results.items()
        if rule.endswith(" layers")
    )
    yield _row("receptive field", per_axis([axis.extent for axis in seen] if seen else None))
    if found and found.judges:
        yield _row(
            "accuracy",
            f"{found.export.percent:.2f} %",
            f"{found.export.correct:,} of {found.images:,}, {found.of}",
        )
    elif trained.run:
        score = trained.run.last_epoch.score
        yield _row(
            "accuracy",
            f"{score.percent:.2f} %",
            f"{score.correct:,} of {score.total:,}, {score.split}",
        )
    yield _row("digest", origin.digest[:12])


def _row(name: str, found: str, beside: RuleResult | str | None = None) -> str:
    """A name and a value; beneath it a budget's rule_result on it, or a few words."""
    if isinstance(beside, RuleResult):
        words = f'{escape(beside.limit)}: <b class="{beside.state}">{beside.state}</b>'
    else:
        words = escape(beside or "")
    beneath = f"<small>{words}</small>" if words else ""
    return f"<div><dt>{escape(name)}</dt><dd>{escape(found)}{beneath}</dd></div>"
