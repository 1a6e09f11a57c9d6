"""The layers of a net as its code has them, and by which layers of the folded graph they are done.

A folded graph has fewer layers than the net: batch norm and ReLU are part of a convolution, and
dropout is gone. Who has written the net looks for each of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from netlet.analysis.module_rows import is_atomic
from netlet.display import Displayed
from netlet.export.inference_graph import InferenceGraph, Layer, Pooling
from netlet.export.traced_model import TracedModel
from netlet.graph import Node, Weight
from netlet.graph.operations import (
    Dropout,
    Operation,
    Padding,
    Permutation,
    Reshape,
    Slice,
    Softmax,
)
from netlet.graph.rare_operations import EdgePadding, Interpolation, Rearrangement
from netlet.nets.registered import list_modules, list_parameters

NORMALIZATION = "input normalization"
_WITHOUT_LAYER: Mapping[type[Operation], str] = {
    Dropout: "inactive after training",
    Reshape: "the same numbers in another shape",
    Softmax: "left out: the page computes probabilities from the logits",
    Padding: "padding of the next layer",
    **dict.fromkeys(
        (EdgePadding, Interpolation, Permutation, Rearrangement, Slice),
        "the layers that read it find its elements where they are",
    ),
}


@dataclass(frozen=True)
class WrittenLayer(Displayed):
    """A layer or function of a net's code.

    Attributes:
        name: The path of its module; ``(net)`` for a function in the net's own ``forward``.
        kind: The class of the module, or the name of the function.
        shape: The shape of its output for one image.
        parameters: The number of parameters that no layer above has.
        role: What has become of it in the folded graph, in words.
        is_gap: Whether it is global average pooling, however it is written.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    role: str
    is_gap: bool = False

    def __str__(self) -> str:
        """Name and kind: ``norm1 (BatchNorm2d)``."""
        return f"{self.name} ({self.kind})"


@dataclass(frozen=True)
class WrittenNet(Displayed):
    """A net as its code has it.

    Attributes:
        layers: In the order in which they run.
        folded: For each layer of the folded graph, what else it does: written layers by name.
    """

    layers: tuple[WrittenLayer, ...]
    folded: tuple[tuple[str, ...], ...]


def describe_written_net(model: TracedModel) -> WrittenNet:
    """Return the layers of a net as written, and how its folded graph does them."""
    net, nodes, graph = model.source.net, model.traced.nodes, model.graph
    parameters = {name: tensor.numel() for name, tensor in list_parameters(net)}
    own, parts = _list_parts(graph)
    layers: list[WrittenLayer] = []
    of_node: dict[int, WrittenLayer] = {}
    for numbers in _group_nodes(net, nodes):
        last = nodes[numbers[-1] - 1]
        counted = {name for number in numbers for name in _list_weights(nodes[number - 1])}
        layer = WrittenLayer(
            name=last.path or "(net)",
            kind=_name_kind(net, last),
            shape=last.shape,
            parameters=sum(parameters.pop(name, 0) for name in counted),
            role=_describe_role(numbers, nodes, graph, own, parts),
            is_gap=any(_is_gap(graph, own[number]) for number in numbers if number in own),
        )
        layers.append(layer)
        of_node |= dict.fromkeys(numbers, layer)
    return WrittenNet(tuple(layers), tuple(_name_folded(one, of_node) for one in graph.layers))


def _name_folded(layer: Layer, written: Mapping[int, WrittenLayer]) -> tuple[str, ...]:
    """Return what a layer of the folded graph does beside its own written layer."""
    if not layer.sources:
        return ()
    mine, *others = layer.sources
    names = [str(written[number]) for number in others if number]
    normalizes = [NORMALIZATION] if 0 in others else []
    known = str(written[mine]) if mine else NORMALIZATION
    return tuple(dict.fromkeys(name for name in (*normalizes, *names) if name != known))


def _list_parts(graph: InferenceGraph) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Return which layer of a graph each node has become, and those that it is folded into."""
    own: dict[int, int] = {}
    parts: dict[int, list[int]] = {}
    for index, layer in enumerate(graph.layers):
        for place, number in enumerate(layer.sources):
            if place:
                parts.setdefault(number, []).append(index)
            else:
                own[number] = index
    return own, parts


def _group_nodes(net: nn.Module, nodes: Sequence[Node]) -> Iterator[list[int]]:
    """Yield the numbers of nodes that are one written layer: all of a module without children."""
    whole = {
        path
        for path, module in list_modules(net)
        if path and (is_atomic(module) or not any(True for _ in module.children()))
    }
    group: list[int] = []
    for number, node in enumerate(nodes, start=1):
        if group and (node.path not in whole or nodes[group[-1] - 1].path != node.path):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _name_kind(net: nn.Module, node: Node) -> str:
    module = dict(list_modules(net)).get(node.path)
    alone = module is not None and (is_atomic(module) or not any(True for _ in module.children()))
    return type(module).__name__ if alone and node.path else node.operation.name


def _list_weights(node: Node) -> set[str]:
    """Return the names of the tensors that a node's operation reads."""
    values = [getattr(node.operation, field.name) for field in dataclasses.fields(node.operation)]
    return {value.name for value in values if isinstance(value, Weight)}


def _describe_role(
    numbers: Sequence[int],
    nodes: Sequence[Node],
    graph: InferenceGraph,
    own: dict[int, int],
    parts: dict[int, list[int]],
) -> str:
    """Return what has become of a written layer."""
    if any(number in own for number in numbers):
        return "feature maps above"
    indices = {index: None for number in numbers for index in parts.get(number, ())}
    if indices:
        return f"part of {' and '.join(_shown_name(graph.layers[index]) for index in indices)}"
    kind = type(nodes[numbers[-1] - 1].operation)
    return _WITHOUT_LAYER.get(kind, "not needed for the output")


def _shown_name(layer: Layer) -> str:
    return layer.name or "(net)"


def _is_gap(graph: InferenceGraph, index: int) -> bool:
    layer = graph.layers[index]
    return isinstance(layer, Pooling) and layer.is_global(graph.shapes[layer.inputs[0]])
