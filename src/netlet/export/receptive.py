"""The receptive fields of a graph's maps, by the arithmetic that nets are measured with."""

from __future__ import annotations

from dataclasses import replace

from netlet.analysis import fields
from netlet.analysis.fields import Field
from netlet.export.graph import Activation, Concatenation, Convolution, Graph, Layer, Pooling, Shape


def receptive_fields(graph: Graph) -> list[Field]:
    """Of all maps, the image first.

    Args:
        graph: Any. A dense layer sees what its whole map does.

    Returns:
        An axis for rows and one for columns; None where maps are united whose grids do not line up.
    """
    found: list[Field] = [fields.of_input((1, *graph.shape))]
    shapes = graph.shapes
    for layer in graph.layers:
        found.append(
            _field(
                layer, [found[number] for number in layer.inputs], [shapes[n] for n in layer.inputs]
            )
        )
    return found


def _field(layer: Layer, read: list[Field], shapes: list[Shape]) -> Field:
    field = read[0]
    if isinstance(layer, Convolution | Pooling):
        dilation = layer.dilation if isinstance(layer, Convolution) else (1, 1)
        return field and tuple(
            axis.window(
                layer.window[i], layer.stride[i], layer.padding[i], dilation[i], layer.shape[1 + i]
            )
            for i, axis in enumerate(field)
        )
    if isinstance(layer, Activation):
        return field
    if not isinstance(layer, Concatenation):
        read = [
            fields.broadcast(f, (1, *s), (1, *layer.shape))
            for f, s in zip(read, shapes, strict=True)
        ]
    # Where each map has one element, how far off its next would lie does not keep them apart.
    return fields.union(read) or fields.union([_without_idle_jumps(field) for field in read])


def _without_idle_jumps(field: Field) -> Field:
    return field and tuple(replace(axis, jump=1) if axis.length == 1 else axis for axis in field)
