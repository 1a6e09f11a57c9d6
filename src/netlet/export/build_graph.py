"""Build the inference graph of a net from its traced graph, or say what cannot be exported.

One run cannot show that a net chooses a path by the values of an image. A net that reads such
values back is refused here; for the others, every export is compared with the net on many images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from netlet.errors import ExportError
from netlet.export import (
    lower_arithmetic,
    lower_layers,
    lower_maps,
    lower_moves,
    lower_norms,
    lower_resampling,
)
from netlet.export.inference_graph import InferenceGraph
from netlet.export.lowering import LOWERINGS, Builder, Value, map_shape, scale_channels
from netlet.export.unsupported import RANDOM, READS_CHANGED_TENSOR, READS_VALUES, unsupported
from netlet.graph import Graph, Node, trace_graph
from netlet.graph.operations import (
    Activation,
    Arithmetic,
    BatchNorm,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Reshape,
)
from netlet.graph.tracer import BATCH
from netlet.nets.eval_mode import eval_mode
from netlet.text import format_shape

# They register their functions when they are imported.
READERS = (
    lower_arithmetic,
    lower_layers,
    lower_maps,
    lower_moves,
    lower_norms,
    lower_resampling,
)
_KEEPS_NUMBERS = (Reshape, Dropout)
# What may read a value whose images are inside another dimension.
_INSIDE: dict[str, tuple[type[Operation], ...]] = {
    "rows": (Activation, Arithmetic, Dropout, Elementwise, Linear),
    "channels": (BatchNorm,),
}


def build_inference_graph(
    net: nn.Module, shape: Sequence[int], mean: float, std: float
) -> InferenceGraph:
    """Return a net as a graph from gray levels 0 to 255 to logits, input normalization included.

    A softmax or log-softmax at the end is left out: log-probabilities differ from logits by a
    constant for each image.

    Args:
        net: Any module. It runs in evaluation mode on the CPU and is left unchanged.
        shape: The shape of one image, ``C H W``.
        mean: The mean of gray levels 0 to 1, as in training; subtracted from the input.
        std: The standard deviation of gray levels 0 to 1; the input is divided by it.

    Raises:
        ExportError: The net uses an operation that no export supports; the message names the layer,
            the operation and an alternative.
        NetError: The net does not run on such an image.
    """
    return lower_graph(trace_evaluation(net, shape), type(net).__name__, mean, std)


def trace_evaluation(net: nn.Module, shape: Sequence[int]) -> Graph:
    """Return the graph of a net in evaluation mode; see :func:`build_inference_graph`."""
    if len(shape) != 3:
        raise ExportError(
            f"{type(net).__name__}: cannot be exported for images of shape {format_shape(shape)}; "
            "use images C H W"
        )
    with eval_mode(net):
        return trace_graph(net, shape)


def lower_graph(graph: Graph, name: str, mean: float, std: float) -> InferenceGraph:
    """Return the graph of a net as an inference graph; see :func:`build_inference_graph`.

    Args:
        graph: Of the net in evaluation mode.
        name: What messages call the net.
        mean: As there.
        std: As there.
    """
    for where, reason in ((graph.value_dependent, READS_VALUES), (graph.random, RANDOM)):
        if where:
            raise unsupported(where, *reason)
    image = map_shape(graph.shape)
    scale, shift = torch.tensor(1 / (255 * std)), torch.tensor(-mean / std)
    normalization = replace(scale_channels("input", 0, image, scale, shift), sources=(0,))
    builder = Builder(name, [normalization], {0: Value(1, image)})
    for number in graph.needed():
        node = graph.nodes[number - 1]
        builder.node, builder.number = node, number
        builder.values[number] = _lower_node(builder, node)
    if graph.stale:  # the layers compute what the tensor was before
        raise unsupported(graph.stale, *READS_CHANGED_TENSOR)
    output = _find_output(graph, builder)
    return InferenceGraph(image, tuple(builder.layers[: output.number]), output.softmax)


def _lower_node(builder: Builder, node: Node) -> Value:
    operation = node.operation
    after_softmax = any(builder.values[number].softmax for number in node.inputs)
    if after_softmax and not isinstance(operation, _KEEPS_NUMBERS):
        builder.refuse(
            "softmax before the net's end", "logits, with the softmax last or in the loss"
        )
    lowering = LOWERINGS.get(type(operation))
    if lowering is None:
        builder.refuse_by_name(operation.why if isinstance(operation, Opaque) else "")
    inside = {builder.values[number].batch_in for number in node.inputs}
    if inside == {""} or isinstance(operation, Reshape):
        return lowering(builder, node, operation)
    kind = inside.pop()
    if inside or not isinstance(operation, _INSIDE.get(kind, ())):
        builder.refuse(
            f"{operation.name} of a map that has the batch inside another dimension",
            "reshaping that leaves the batch its own dimension",
        )
    first, *others = node.shape if kind == "rows" else node.shape[1:]
    builder.node = replace(node, shape=(first // BATCH, *others), batched=True)
    return replace(lowering(builder, builder.node, operation), batch_in=kind)


def _find_output(graph: Graph, builder: Builder) -> Value:
    """Return the net's output.

    Raises:
        ExportError: It is not a vector of logits computed from the image.
    """
    if graph.output is None:
        raise ExportError(
            f"{builder.net}: its output is not logits of shape (N, K) computed from the image; "
            "return logits"
        )
    value = builder.values[graph.output]
    batched = graph.output == 0 or graph.nodes[graph.output - 1].batched
    channels, *ones = value.dims or (0,)
    if not batched or not channels or set(ones) - {1}:
        shape = format_shape(value.dims) if not batched else f"Nx{format_shape(value.dims)}"
        raise ExportError(
            f"{builder.net}: its output has the shape {shape}, not logits (N, K) computed from the "
            "image; return logits"
        )
    if value.places is not None or any(value.padding):
        value = builder.in_order(value)
    if builder.shape_of(value) != (channels, 1, 1):
        raise ExportError(
            f"{builder.net}: its output is a flattened feature map, not K logits for an image; "
            "flatten a 1x1 feature map at its end"
        )
    return value
