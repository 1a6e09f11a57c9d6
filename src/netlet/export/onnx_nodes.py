"""ONNX nodes of layers that move, resample or normalize the elements of feature maps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netlet.export.inference_graph import Layer, Shape
from netlet.export.map_layers import (
    ChannelSlope,
    Normalization,
    Places,
    Rearrangement,
    Resampling,
)

_LARGEST_BLOCK = 8  # of a pixel shuffle that becomes one node


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX node that a layer becomes.

    Attributes:
        op_type: ONNX's name of the operation.
        attributes: Its attributes.
        constants: What it reads besides the layer's input, by a part of the names.
        constants_first: Whether it reads them before the input.
    """

    op_type: str
    attributes: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    constants_first: bool = False


def map_layer_nodes(layer: Layer, shape: Shape) -> Iterator[OnnxNode]:
    """Yield the nodes that a layer of ``map_layers`` becomes, in order.

    Args:
        layer: The layer.
        shape: The shape of its input.
    """
    if isinstance(layer, Rearrangement):
        yield from _rearrangement_nodes(layer, shape)
    elif isinstance(layer, Resampling):
        yield OnnxNode("MatMul", {}, {"rows": layer.down}, constants_first=True)
        yield OnnxNode("MatMul", {}, {"columns": np.ascontiguousarray(layer.across.T)})
    elif isinstance(layer, ChannelSlope):
        yield OnnxNode("PRelu", {}, {"slopes": layer.slopes.reshape(-1, 1, 1)})
    else:
        assert isinstance(layer, Normalization)
        yield from _normalization_nodes(layer, shape)


def _normalization_nodes(layer: Normalization, shape: Shape) -> Iterator[OnnxNode]:
    width, attributes = layer.groups, {"epsilon": layer.eps}
    if layer.per_pixel:
        ones = np.ones(shape[0], np.float32)
        yield OnnxNode("Transpose", {"perm": (0, 2, 3, 1)})
        yield OnnxNode("LayerNormalization", attributes | {"axis": -1}, {"ones": ones})
        yield OnnxNode("Transpose", {"perm": (0, 3, 1, 2)})
        return
    numbers = {"ones": np.ones(width, np.float32), "zeros": np.zeros(width, np.float32)}
    if width != shape[0]:
        yield _reshape(width, -1)
    yield OnnxNode("InstanceNormalization", attributes, numbers)
    if width != shape[0]:
        yield _reshape(*shape)


def _rearrangement_nodes(layer: Rearrangement, shape: Shape) -> Iterator[OnnxNode]:
    """Yield nodes whose names say what the layer does, and where there are none, a gather."""
    places = layer.places(shape)
    whole = np.arange(np.prod(shape)).reshape(shape)
    if np.array_equal(places.reshape(-1), whole.reshape(-1)):
        yield _reshape(*layer.shape)
        return
    for before, known in _known_moves(whole):
        if nodes := _nodes_along_axes(layer, places, known):
            yield from before
            yield from nodes[1:]
            return
    pixels = whole.reshape(shape[0], -1).T
    if min(shape[1:]) > 1 and np.array_equal(places.reshape(-1), pixels.reshape(-1)):
        yield _reshape(*pixels.shape[::-1])
        yield OnnxNode("Transpose", {"perm": (0, 2, 1)})
        yield _reshape(*layer.shape)
        return
    yield from _gather_nodes(layer, places)


def _known_moves(whole: Places) -> Iterator[tuple[list[OnnxNode], Places]]:
    """Yield moves of a whole map that ONNX has nodes for, and where they put its elements."""
    c, h, w = whole.shape
    yield [], whole
    for order in list(itertools.permutations(range(3)))[1:]:
        perm = (0, *(1 + axis for axis in order))
        yield [OnnxNode("Transpose", {"perm": perm})], whole.transpose(order)
    for block in range(2, _LARGEST_BLOCK + 1):
        if c % block**2 == 0:
            parts = whole.reshape(-1, block, block, h, w).transpose(0, 3, 1, 4, 2)
            node = OnnxNode("DepthToSpace", {"blocksize": block, "mode": "CRD"})
            yield [node], parts.reshape(-1, h * block, w * block)
        if h % block == w % block == 0:
            parts = whole.reshape(c, h // block, block, w // block, block).transpose(2, 4, 0, 1, 3)
            node = OnnxNode("SpaceToDepth", {"blocksize": block})
            yield [node], parts.reshape(-1, h // block, w // block)


def _nodes_along_axes(layer: Rearrangement, places: Places, whole: Places) -> list[OnnxNode]:
    """Return nodes that choose channels, rows and columns of a map, and pad them.

    Args:
        layer: The layer.
        places: Where its elements come from.
        whole: The places of the elements of the map that they are chosen from.

    Returns:
        A node that does nothing before the others; none at all if these do not do it.
    """
    known = [np.flatnonzero(np.array(n) >= 0) for n in (layer.channels, layer.rows, layer.columns)]
    if any(len(n) == 0 or n[-1] - n[0] != len(n) - 1 for n in known):
        return []
    inner = places[np.ix_(*known)]
    at = np.empty((whole.size, 3), np.int64)
    at[whole.reshape(-1)] = np.indices(whole.shape).reshape(3, -1).T
    chosen = [at[inner[:, 0, 0], 0], at[inner[0, :, 0], 1], at[inner[0, 0, :], 2]]
    if not np.array_equal(inner, whole[np.ix_(*chosen)]):
        return []
    nodes = [OnnxNode("Identity")]
    nodes += [
        _choose(index, 1 + axis)
        for axis, index in enumerate(chosen)
        if not np.array_equal(index, np.arange(whole.shape[axis]))
    ]
    before = [int(n[0]) for n in known]
    after = [size - 1 - int(n[-1]) for n, size in zip(known, places.shape, strict=True)]
    if any((*before, *after)):
        pads = np.array([0, *before, 0, *after], np.int64)
        nodes.append(OnnxNode("Pad", {}, {"pads": pads, "fill": np.float32(layer.fill)}))
    return nodes


def _choose(index: Places, axis: int) -> OnnxNode:
    steps = set(np.diff(index).tolist())
    if len(steps) > 1 or (steps and min(steps) <= 0):
        return OnnxNode("Gather", {"axis": axis}, {"index": index})
    (step,) = steps or {1}
    numbers = {"starts": index[0], "ends": index[-1] + 1, "axes": axis, "steps": step}
    return OnnxNode("Slice", {}, {key: np.array([n], np.int64) for key, n in numbers.items()})


def _gather_nodes(layer: Rearrangement, places: Places) -> Iterator[OnnxNode]:
    """Yield nodes that gather single elements; a constant is one more behind them."""
    yield _reshape(-1)
    if layer.has_constants:
        pads = np.array([0, 0, 0, 1], np.int64)
        yield OnnxNode("Pad", {}, {"pads": pads, "fill": np.float32(layer.fill)})
    yield OnnxNode("Gather", {"axis": 1}, {"index": places})


def _reshape(*sizes: int) -> OnnxNode:
    """Return a reshape that leaves the batch, for which ONNX has 0, as it is."""
    return OnnxNode("Reshape", {}, {"shape": np.array([0, *sizes], np.int64)})
