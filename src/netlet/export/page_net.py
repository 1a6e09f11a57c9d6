"""The net of the web page: its layers as JSON, and its weights as text."""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import fields
from typing import Any

import numpy as np

from netlet.data import frames_characters
from netlet.data.skeletons import STYLES
from netlet.evaluation.digit_detector import LOG_ODDS_SHIFT, load_detector
from netlet.export.build_graph import build_inference_graph
from netlet.export.fold import fold_graph
from netlet.export.inference_graph import Convolution, InferenceGraph, Layer, Pooling
from netlet.export.map_layers import Constant
from netlet.export.page_words import words_of_page
from netlet.export.receptive_field import Field, Grid, receptive_fields
from netlet.export.traced_model import TracedModel
from netlet.export.written_layers import WrittenNet
from netlet.nets.blocks import MNIST_SHAPE
from netlet.recipes import Recipe
from netlet.records import Confidence

_SAMPLE_STYLES = 2  # ways of writing a sample digit: the most frequent ones, in turn


def net_to_json(
    model: TracedModel,
    written: WrittenNet,
    confidence: Confidence | None,
    detector: InferenceGraph | None,
) -> dict[str, Any]:
    """Return what the page's scripts know of a net, without its weights.

    Args:
        model: The net.
        written: It, as its code has it.
        confidence: The calibration of its confidence; None: there is none.
        detector: The digit detector; None if the calibration does not use it.
    """
    whole = sees_whole_pictures(model)
    light = model.source.mean > 0.5 or _has_light_background(model)
    return {
        "shape": model.graph.shape,
        # Whether the input is the whole drawing, and not a character in MNIST's frame.
        "whole": whole,
        "paper": "white" if light else "black",
        "classes": model.labels,
        "words": words_of_page(model, whole=whole).to_json(),
        "layers": _layers_to_json(model.graph, written),
        "samples": {} if whole else _samples_to_json(model.labels),
        "confidence": _confidence_to_json(confidence, detector),
    }


def sees_whole_pictures(model: TracedModel) -> bool:
    """Return whether a net's input is a whole picture, and not a character in MNIST's frame."""
    run = model.source.run
    name, light = (run.data["name"] if run else None), _has_light_background(model)
    return not frames_characters(model.source.shape, name, light_background=light)


def _has_light_background(model: TracedModel) -> bool:
    """Return whether most images that a net was trained on are known to be dark on light."""
    run = model.source.run
    return run is not None and run.data.get("light_background", False)


def has_detector(confidence: Confidence | None) -> bool:
    """Return whether a calibration uses the digit detector."""
    return confidence is not None and bool(confidence.detector_digest)


def detector_graph() -> InferenceGraph:
    """Return the graph of the digit detector."""
    recipe = Recipe()
    return fold_graph(build_inference_graph(load_detector(), MNIST_SHAPE, recipe.mean, recipe.std))


def encode_weights(graph: InferenceGraph) -> str:
    """Return the weights and biases of a graph, layer by layer, as text.

    They are float32, little-endian, and packed: first the lowest bytes of all numbers, then the
    next ones, so that the exponents, which are similar, lie together.
    """
    numbers = [np.concatenate([c.weight.ravel(), c.bias.ravel()]) for c in graph.convolutions()]
    flat = np.concatenate(numbers or [np.empty(0)]).astype("<f4")
    return pack(flat.view(np.uint8).reshape(-1, 4).T.tobytes())


def pack(content: bytes) -> str:
    """Return compressed bytes as text that stays what it is inside a script element.

    They are deflated. The text has five characters for four bytes: base 85, with a comma in place
    of "<", which HTML would interpret.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    return base64.b85encode(packed).decode().replace("<", ",")


def _layers_to_json(
    graph: InferenceGraph, written: WrittenNet | None = None
) -> list[dict[str, Any]]:
    """Return the layers without their weights, which :func:`encode_weights` has in this order.

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


def _confidence_to_json(
    confidence: Confidence | None, detector: InferenceGraph | None
) -> dict[str, Any] | None:
    if confidence is None:
        return None
    return {
        "temperature": confidence.temperature,
        "threshold": confidence.threshold,
        "detector": {
            "shape": detector.shape,
            "layers": _layers_to_json(detector),
            "shift": LOG_ODDS_SHIFT,
        }
        if detector
        else None,
    }


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
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            flat = value.reshape(-1) if isinstance(layer, Constant) else value
            values[name] = _numbers_to_json(flat.astype(np.float32))
    return {"kind": layer.kind, **values}


def _numbers_to_json(values: Any) -> Any:
    """Return an array as lists of the shortest decimals that are the same in float32."""
    return float(str(values)) if not values.ndim else [_numbers_to_json(part) for part in values]


def _field_to_json(field: Field) -> list[dict[str, Any]] | None:
    if field is None or any(grid.is_empty for grid in field):
        return None
    return [_grid_to_json(grid) for grid in field]


def _grid_to_json(grid: Grid) -> dict[str, Any]:
    values: dict[str, Any] = {"extent": grid.extent}
    if grid.size:
        values |= {"start": grid.start, "size": grid.size, "jump": grid.jump}
    if grid.fixed:
        values["fixed"] = grid.fixed
    return values
