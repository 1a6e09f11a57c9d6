"""Receptive fields of a graph's feature maps, with the arithmetic of ``netlet.analysis``."""

from __future__ import annotations

from dataclasses import replace

from netlet.analysis import fields
from netlet.analysis.fields import Field
from netlet.export.inference_graph import (
    Activation,
    Concatenation,
    Convolution,
    InferenceGraph,
    Layer,
    Pooling,
    Shape,
)


def receptive_fields(graph: InferenceGraph) -> list[Field]:
    """Return the receptive field of each feature map, the image first.

    Args:
        graph: The graph. A linear layer sees the whole receptive field of its input.

    Returns:
        For each feature map an axis for rows and one for columns; None where a layer combines
        feature maps whose grids do not line up.
    """
    found: list[Field] = [fields.input_field((1, *graph.shape))]
    shapes = graph.shapes
    for layer in graph.layers:
        inputs = [found[number] for number in layer.inputs]
        found.append(_field_after(layer, inputs, [shapes[number] for number in layer.inputs]))
    return found


def _field_after(layer: Layer, inputs: list[Field], shapes: list[Shape]) -> Field:
    field = inputs[0]
    if isinstance(layer, Convolution | Pooling):
        dilation = layer.dilation if isinstance(layer, Convolution) else (1, 1)
        return field and tuple(
            axis.slide_window(
                layer.window[i], layer.stride[i], layer.padding[i], dilation[i], layer.shape[1 + i]
            )
            for i, axis in enumerate(field)
        )
    if isinstance(layer, Activation):
        return field
    if not isinstance(layer, Concatenation):
        inputs = [
            fields.broadcast_field(read, (1, *shape), (1, *layer.shape))
            for read, shape in zip(inputs, shapes, strict=True)
        ]
    # Along an axis of length 1 the jump has no meaning and may differ.
    return fields.join_fields(inputs) or fields.join_fields(
        [_without_idle_jumps(read) for read in inputs]
    )


def _without_idle_jumps(field: Field) -> Field:
    return field and tuple(replace(axis, jump=1) if axis.length == 1 else axis for axis in field)
