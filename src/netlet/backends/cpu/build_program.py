"""Build the program of a net from its graph, or say which operation the compiled backend lacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import nn

from netlet.backends.cpu import lower_maps, lower_moves, lower_stages
from netlet.backends.cpu.errors import UnsupportedNetError
from netlet.backends.cpu.lowering import LOWERINGS, Builder, Value
from netlet.backends.cpu.parts.base import IMAGE, MapShape, Part
from netlet.backends.cpu.parts.pooling import Pool
from netlet.backends.cpu.parts.stage import Stage
from netlet.backends.cpu.program import End, Program
from netlet.backends.cpu.training_graph import trace_training
from netlet.graph import Graph
from netlet.graph.operations import BatchNorm, Convolution, Linear, Reshape, Softmax

# They register their functions when they are imported.
READERS = (lower_maps, lower_moves, lower_stages)


def read_program(net: nn.Module, shape: Sequence[int]) -> Program:
    """Return a net as a program.

    Args:
        net: With its final dropout rates. It is not changed.
        shape: The shape of one image, ``C H W``.

    Raises:
        UnsupportedNetError: The compiled backend does not support it; the message says why.
    """
    graph = trace_training(net, shape)
    if len(shape) != 3:
        raise UnsupportedNetError("its images are not C H W")
    channels = shape[0]
    builder = Builder(
        graph,
        dict((*net.named_parameters(), *net.named_buffers())),
        needed=frozenset(graph.needed()),
        statistics=frozenset(
            weight.name
            for node in graph.nodes
            if isinstance(node.operation, BatchNorm)
            for weight in (node.operation.mean, node.operation.var)
            if weight is not None
        ),
    )
    size = MapShape(*shape)
    builder.values[0] = Value(
        IMAGE, size, tuple(shape), scale=(1.0,) * channels, shift=(0.0,) * channels
    )
    head, softmax = _find_head(graph)
    for number, node in enumerate(graph.nodes, start=1):
        if isinstance(node.operation, BatchNorm) and number not in builder.needed:
            builder.node = node
            builder.refuse("updates its statistics, though the output does not depend on it")
    for number in sorted(builder.needed):
        if number in (head, softmax):
            break
        node = builder.node = graph.nodes[number - 1]
        if not node.batched:
            builder.refuse("mixes the images of a batch")
        if 0 in node.shape:
            builder.refuse("returns a map without elements")
        lowering = LOWERINGS.get(type(node.operation))
        if lowering is None:
            why = getattr(node.operation, "why", "")  # of a known operation
            called = f" as it is called here ({why})" if why else ""
            builder.refuse(f"is not supported{called}")
        builder.values[number] = lowering(builder, node, node.operation)
    end = _make_end(builder, head, softmax)
    if not any(part.tensors.parameters for part in builder.parts) and end.weight is None:
        raise UnsupportedNetError("the net has nothing to train")
    return Program(size, tuple(map(_without_first_relu, builder.parts)), end)


def _without_first_relu(part: Part) -> Part:
    """Return a stage with the ReLU in one place only, unless a norm is between the two places."""
    if isinstance(part, Stage) and part.relu_first and not part.norm:
        return dataclasses.replace(part, relu=True, relu_first=False)
    return part


def _find_head(graph: Graph) -> tuple[int, int]:
    """Return the values of the last linear layer, if the net ends in one, and of a last softmax.

    Each is 0 if there is none.
    """
    number, softmax = graph.output or 0, 0
    while number:
        node = graph.nodes[number - 1]
        operation = node.operation
        if isinstance(operation, Softmax) and not softmax:
            softmax = number
        elif not isinstance(operation, Reshape):
            break
        number = node.inputs[0]
        if len(graph.readers(number)) != 1:
            return 0, softmax
    if not number:
        return 0, softmax
    operation, before = graph.nodes[number - 1].operation, graph.nodes[number - 1].inputs[0]
    pixel = graph.shape_of(before)[1:] == (1, 1)
    is_head = isinstance(operation, Linear) or (
        isinstance(operation, Convolution)
        and pixel
        and set(operation.weight.tensor.shape[2:]) == {1}
        and operation.groups == 1
        and set(operation.stride) == {1}
        and set(operation.padding) == {0}
    )
    return (number if is_head and before else 0), softmax


def _make_end(builder: Builder, head: int, softmax: int) -> End:
    """Return the end of a program, whose parts before the head are complete.

    Raises:
        UnsupportedNetError: The net ends in another way.
    """
    graph = builder.graph
    weight = bias = None
    function = ""
    if softmax:
        ending = graph.nodes[softmax - 1].operation
        assert isinstance(ending, Softmax)
        if ending.dim != 1:
            builder.node = graph.nodes[softmax - 1]
            builder.refuse("is not over the classes")
        function = ending.function
    if head:
        node = builder.node = graph.nodes[head - 1]
        operation = node.operation
        assert isinstance(operation, Linear | Convolution)
        weight, bias = builder.parameter(operation.weight), builder.parameter(operation.bias)
        value = builder.map()
        tied = [t for part in builder.parts for t in part.tensors.parameters]
        if any(t is weight or t is bias for t in tied):
            builder.refuse("shares its weights with another layer")
        numbers = value.shape.channels * value.shape.h * value.shape.w
        if weight is not None and weight[0].numel() != numbers:
            builder.refuse("reads a part of each map only")
    else:
        last = softmax or graph.output or 0
        builder.node = graph.nodes[last - 1]
        value = builder.values[builder.node.inputs[0] if softmax else last]
    part, shape, averaged = value.part, value.shape, False
    pool = builder.parts[part] if part != IMAGE else None
    if isinstance(pool, Pool) and pool.is_global_mean and part == len(builder.parts) - 1:
        alone = not any(part in other.inputs for other in builder.parts)
        if alone and value.exclusive:
            builder.parts.pop()
            part, averaged = pool.inputs[0], True
            shape = builder.parts[part].shape
    if part == IMAGE or (weight is None and not averaged and shape.h * shape.w > 1):
        raise UnsupportedNetError("the net does not end in one number for each class")
    return End(part, shape, averaged or shape.h * shape.w == 1, weight, bias, function)
