"""Notes on rows and columns of a map that no window reaches.

An average over part of a map is mostly a slip after a layer was changed, as is a last map that a
stride does not divide. Every average is looked at, and of the other windows the last one: rows that
are cut off in between matter less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netlet.graph import Graph, Node
from netlet.graph.operations import Convolution, Pooling
from netlet.text import format_shape

Sizes = tuple[int, ...]
_LINES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


@dataclass(frozen=True)
class _Windows:
    """The windows of an operation, with sizes for each axis of the map."""

    node: Node
    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    n_in: Sizes
    n_out: Sizes

    @property
    def is_average(self) -> bool:
        operation = self.node.operation
        return isinstance(operation, Pooling) and operation.mode == "mean"

    @property
    def slide(self) -> bool:
        """Whether there is more than one place, and more to a place than one element."""
        return max(self.n_out) > 1 and (max(self.kernel) > 1 or max(self.stride) > 1)

    def left_out(self, axis: int) -> tuple[int, bool]:
        """Return how many lines along an axis no window reaches, and whether they are the last."""
        starts = [i * self.stride[axis] - self.padding[axis] for i in range(self.n_out[axis])]
        steps = range(0, self.kernel[axis] * self.dilation[axis], self.dilation[axis])
        reached = {start + step for start in starts for step in steps}
        left = [i for i in range(self.n_in[axis]) if i not in reached]
        first_of_last = self.n_in[axis] - len(left)
        return len(left), not left or left[0] == first_of_last


def write_left_out_notes(graph: Graph) -> list[str]:
    """Return a note for each average that leaves out lines of its map, and for the last map.

    Args:
        graph: The graph of the net. If it may take another path for another image, there are no
            notes.
    """
    if graph.value_dependent:
        return []
    windows = list(_list_windows(graph))
    sliding = [number for number, found in windows if found.slide]
    texts = []
    for number, found in windows:
        if found.is_average:
            advice = "; nn.AdaptiveAvgPool2d(1) averages all of it"
            one = len(found.n_in) == 2 and set(found.n_out) == {1}
            texts.append(_describe(found, advice if one else ""))
        elif number == max(sliding, default=0) and _overlap_or_touch(found):
            texts.append(_describe(found, ", which its stride cuts off"))
    return [f"note: {text}" for text in dict.fromkeys(texts) if text]


def _list_windows(graph: Graph) -> Iterator[tuple[int, _Windows]]:
    """Yield the windows that the output depends on, with the numbers of their values."""
    for number in graph.needed():
        node = graph.nodes[number - 1]
        operation = node.operation
        if isinstance(operation, Convolution) and not operation.transposed:
            kernel = tuple(operation.weight.tensor.shape[2:])
        elif isinstance(operation, Pooling):
            kernel = operation.window
        else:
            continue
        rank = len(kernel)
        before, after = graph.shape_of(node.inputs[0])[-rank:], node.shape[-rank:]
        sizes = (operation.stride, operation.padding, operation.dilation)
        yield number, _Windows(node, kernel, *sizes, before, after)


def _overlap_or_touch(windows: _Windows) -> bool:
    """Return whether there are no gaps between windows, which are meant to be there."""
    sizes = zip(windows.kernel, windows.dilation, windows.stride, strict=True)
    return all(d == 1 and k >= s for k, d, s in sizes)


def _describe(windows: _Windows, advice: str) -> str:
    """Return what windows leave out; empty if that is nothing."""
    rank = len(windows.n_in)
    lines = _LINES.get(rank, ("line",) * rank)
    found = [(*windows.left_out(axis), line) for axis, line in enumerate(lines)]
    found = [one for one in found if one[0]]
    if not found:
        return ""
    counts = {(n, last) for n, last, _ in found}
    if len(counts) == 1:
        names = " and ".join(_plural(line, n) for n, _, line in found)
        text = _count(*found[0][:2], names)
    else:
        text = " and ".join(_count(n, last, _plural(line, n)) for n, last, line in found)
    size = format_shape(windows.n_in)
    return f"{windows.node.name} leaves out {text} of its {size} input{advice}"


def _plural(line: str, n: int) -> str:
    return line if n == 1 else f"{line}s"


def _count(n: int, last: bool, names: str) -> str:
    """Return ``the last row and column``, ``the last 2 rows`` or ``2 rows``."""
    if last:
        return f"the last {names}" if n == 1 else f"the last {n} {names}"
    return f"{n} {names}"
