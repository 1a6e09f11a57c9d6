"""Which dimensions of a value are places of a map, and what has been pooled over all of them.

Every dimension is a list of atoms, each an axis or a part of one: ``N``, ``C`` or a place. A
reshape puts the same atoms into other dimensions, a mean over a dimension removes its atoms. If no
place is left, the map has been averaged as a whole, however many operations it took.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from netlet.analysis.field_rules import full_shape
from netlet.graph import Graph
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Padding,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Slice,
    Softmax,
)
from netlet.graph.rare_operations import Interpolation, OtherNorm, Rearrangement

Shape = tuple[int, ...]
BATCH_AXIS, CHANNELS, PLACES = "N", "C", "P"
Atom = tuple[str, int]  # what it is, and its size
CROPPED = "only a part of the map is pooled"
_MODES = {"mean": "mean", "sum": "mean", "amax": "max", "max": "max"}


@dataclass(frozen=True)
class Axes:
    """What the dimensions of a value are.

    Attributes:
        dims: The atoms of each dimension.
        mode: What the pooling that has begun computes, ``mean`` or ``max``; empty if none has.
        factor: The value divided by the mean: sums and constants change it.
        summed: Whether one of the reductions was a sum.
        part: Why the map is only a part of one; empty if it is a whole one.
        pooled: Whether the last operation finished a pooling over the whole map.
        near: Why the last operation is not such a pooling, though it nearly is; else empty.
        origin: Number of the value in the graph that a pooling began with; -1 if none has.
    """

    dims: tuple[tuple[Atom, ...], ...]
    mode: str = ""
    factor: float = 1.0
    summed: bool = False
    part: str = ""
    pooled: bool = False
    near: str = ""
    origin: int = -1

    @property
    def places(self) -> int:
        """The number of places of the map."""
        return math.prod(size for dim in self.dims for kind, size in dim if kind == PLACES)

    @property
    def over_images(self) -> bool:
        """Whether the images have no dimension of their own, as in an instance norm."""
        return len(self.dims) > 1 and self.has(1, BATCH_AXIS)

    def has(self, dim: int, kind: str) -> bool:
        """Return whether a dimension has an atom of a kind that is larger than 1."""
        return any(name == kind and size > 1 for name, size in self.dims[dim])


def fresh(shape: Shape) -> Axes:
    """Return the axes of a new map, or of a vector, from its shape with all dimensions."""
    kinds = [BATCH_AXIS, CHANNELS, *[PLACES] * len(shape)]
    return Axes(tuple(((kind, size),) for kind, size in zip(kinds, shape, strict=False)))


def _unknown(shape: Shape) -> Axes:
    """Return the axes of a value whose dimensions may be anything, such as those of tokens."""
    return Axes(tuple(((CHANNELS, size),) for size in shape))


def follow_axes(graph: Graph) -> list[Axes]:
    """Return the axes of each value of a graph, by its number."""
    found = [fresh(full_shape(graph, 0))]
    for number, node in enumerate(graph.nodes, start=1):
        inputs = [found[value] for value in node.inputs]
        shapes = [full_shape(graph, value) for value in node.inputs]
        output = full_shape(graph, number)
        axes = follow(node.operation, inputs, shapes, output, batched=node.batched)
        if axes.mode and not inputs[0].mode:
            axes = replace(axes, origin=node.inputs[0])
        found.append(axes)
    return found


def follow(
    operation: Operation, inputs: list[Axes], shapes: list[Shape], output: Shape, *, batched: bool
) -> Axes:
    """Return the axes of an operation's output.

    Args:
        operation: The operation.
        inputs: The axes of the values that it reads.
        shapes: Theirs, with all dimensions.
        output: The shape of its output, with all dimensions.
        batched: Whether the first dimension of that is the batch.
    """
    maps = isinstance(operation, _MAKE_MAPS) or len(output) > 3
    new = fresh(output) if batched and maps else _unknown(output)
    if isinstance(operation, Opaque) and operation.like is not None:
        operation = operation.like
    rule = _RULES.get(type(operation))
    if rule is None or not inputs:
        return new
    before = replace(inputs[0], pooled=False, near="")
    found = rule(operation, before, shapes[0], output)
    if len(inputs) > 1:
        found = _join(inputs, shapes, output) or found
        if isinstance(operation, Concatenation) and found and not all(a.part for a in inputs):
            found = replace(found, part="")  # as of a sum, one whole map is enough
    if found is None or tuple(map(_size, found.dims)) != output:
        return new
    return found


def _size(dim: tuple[Atom, ...]) -> int:
    return math.prod(size for _, size in dim)


def _join(inputs: list[Axes], shapes: list[Shape], output: Shape) -> Axes | None:
    """Return the axes of a sum or product: those of an operand that has its shape."""
    whole = [axes for axes, shape in zip(inputs, shapes, strict=True) if shape == output]
    if not whole:
        return None
    one = max(whole, key=lambda axes: axes.places)
    return Axes(one.dims, part="" if any(not axes.part for axes in whole) else one.part)


def _same(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    """Return the axes after an operation of single elements, which ends a pooling that began."""
    part = axes.part
    if axes.mode and axes.places > 1:
        part = "pools the map along one axis, and along the other after another operation"
    return Axes(axes.dims, part=part)


def _linear(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    if axes.has(len(shape) - 1, PLACES):
        return None
    return Axes((*axes.dims[:-1], ((CHANNELS, output[-1]),)), part=axes.part)


def _arithmetic(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Arithmetic)
    constant = operation.constant
    number = _number(constant)
    divided = operation.function == "div" and not operation.constant_first
    if not number or not (divided or operation.function == "mul"):
        return _same(operation, axes, shape, output)
    scaled = replace(axes, factor=axes.factor / number if divided else axes.factor * number)
    return _finish(scaled, axes) if axes.summed else scaled


def _number(constant: object) -> float | None:
    """Return a constant as a number; None if it has several, or training may change it."""
    if isinstance(constant, int | float):
        return float(constant)
    if getattr(constant, "name", "") or getattr(constant, "source", ""):
        return None
    tensor = getattr(constant, "tensor", None)
    return float(tensor.detach()) if tensor is not None and tensor.numel() == 1 else None


def _reduction(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Reduction)
    mode = _MODES.get(operation.function)
    if mode is None:
        return None
    after = _pool(axes, mode, operation.dims)
    if after is None:
        return None
    if operation.function == "sum":
        times = math.prod(shape[dim] for dim in operation.dims)
        after = replace(after, summed=True, factor=after.factor * times)
    if not operation.keepdim:
        kept = [dim for at, dim in enumerate(after.dims) if at not in operation.dims]
        after = replace(after, dims=tuple(kept))
    return _finish(after, axes)


def _pooling(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Pooling)
    lead = len(shape) - len(operation.window)
    windows = (1,) * lead + operation.window
    strides = (1,) * lead + operation.stride
    if any(operation.padding) or set(operation.dilation) != {1}:
        return _near(output, lead, "its windows reach beyond the map")
    for window, stride, n, after in zip(windows, strides, shape, output, strict=True):
        if not (window == n and after == 1) and not (window == stride == 1):
            text = "x".join(map(str, operation.window))
            places = "x".join(map(str, shape[lead:]))
            return _near(output, lead, f"its windows are {text}, the map is {places}")
    covered = tuple(dim for dim in range(lead, len(shape)) if windows[dim] == shape[dim])
    pooled = _pool(axes, operation.mode, covered)
    if pooled is not None and operation.divisor is not None:
        factor = pooled.factor * math.prod(operation.window) / operation.divisor
        pooled = replace(pooled, summed=True, factor=factor)
    return None if pooled is None else _finish(pooled, axes)


def _adaptive(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, AdaptivePooling)
    lead = len(shape) - len(operation.size)
    if any(after not in (1, n) for n, after in zip(shape, output, strict=True)):
        return _near(output, lead, f"it pools to {'x'.join(map(str, output[lead:]))}")
    covered = tuple(dim for dim in range(lead, len(shape)) if output[dim] == 1)
    pooled = _pool(axes, operation.mode, covered)
    return None if pooled is None else _finish(pooled, axes)


def _near(output: Shape, lead: int, why: str) -> Axes:
    return replace(fresh(output), near=why)


def _pool(axes: Axes, mode: str, covered: Shape) -> Axes | None:
    """Return axes without the atoms of some dimensions; None if these are no places."""
    dims = list(axes.dims)
    if not any(kind == PLACES for dim in covered for kind, _ in dims[dim]):
        return None
    for dim in covered:
        if any(kind != PLACES and size > 1 for kind, size in dims[dim]):
            return None
        dims[dim] = ((PLACES, 1),)
    part = axes.part
    if axes.mode and axes.mode != mode:
        part = "pools the map along one axis by the mean, along the other by the maximum"
    return replace(axes, dims=tuple(dims), mode=mode, part=part)


def _finish(after: Axes, before: Axes) -> Axes:
    """Note whether a pooling has covered the whole map."""
    if before.places == 1 and before.mode and not before.summed:
        return after  # has been pooled before
    if after.part:
        return replace(after, near=after.part)
    if after.places > 1:
        return replace(after, near="it pools one axis of the map only")
    if after.summed and not math.isclose(after.factor, 1, rel_tol=1e-6):
        return replace(after, near="it sums the map without dividing by the number of positions")
    return replace(after, pooled=True, summed=False, factor=1.0)


def _reshape(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    left = [atom for dim in axes.dims for atom in dim if atom[1] > 1]
    dims: list[tuple[Atom, ...]] = []
    for size in output:
        found: list[Atom] = []
        while size > 1:
            if not left:
                return None
            kind, n = left.pop(0)
            if size % n == 0:
                found.append((kind, n))
                size //= n
            elif n % size == 0:
                found.append((kind, size))
                left.insert(0, (kind, n // size))
                size = 1
            else:
                return None
        dims.append(tuple(found) or ((PLACES, 1),))
    return replace(axes, dims=tuple(dims))


def _permutation(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Permutation)
    return replace(axes, dims=tuple(axes.dims[dim] for dim in operation.order))


def _slice(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Slice)
    dim, length = operation.dim, operation.length
    dims, part = list(axes.dims), axes.part
    if length != shape[dim]:
        if axes.has(dim, PLACES):
            part = CROPPED
        if len([size for _, size in dims[dim] if size > 1]) > 1:
            return replace(fresh(output), part=part)
        dims[dim] = ((dims[dim][0][0], length),)
    if operation.removed:
        del dims[dim]
    return replace(axes, dims=tuple(dims), part=part)


def _concatenation(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Concatenation)
    dims = list(axes.dims)
    dims[operation.dim] = ((dims[operation.dim][0][0], output[operation.dim]),)
    return Axes(tuple(dims), part=axes.part)


def _padding(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    return replace(fresh(output), part="the map is padded before it is pooled")


def _rearrangement(operation: Operation, axes: Axes, shape: Shape, output: Shape) -> Axes | None:
    assert isinstance(operation, Rearrangement)
    if shape == output and operation.function in ("flip", "roll"):
        return axes
    return replace(fresh(output), part="only some elements of the map are pooled")


_MAKE_MAPS = (Convolution, Pooling, AdaptivePooling, Interpolation)
_Rule = Callable[[Operation, Axes, Shape, Shape], Axes | None]
_RULES: dict[type[Operation], _Rule] = {
    Reduction: _reduction,
    Pooling: _pooling,
    AdaptivePooling: _adaptive,
    Reshape: _reshape,
    Permutation: _permutation,
    Slice: _slice,
    Concatenation: _concatenation,
    Padding: _padding,
    Rearrangement: _rearrangement,
    Arithmetic: _arithmetic,
    Linear: _linear,
    **dict.fromkeys((Activation, Elementwise, BatchNorm, Dropout, OtherNorm, Softmax), _same),
}
