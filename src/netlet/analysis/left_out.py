"""Notes on rows and columns of a map that no window reaches.

An average over part of a map, or over a slice of it, is mostly a slip after a layer was changed. A
stride that does not divide a map rounds down, which is usual and only matters at the last map, of
which it may be a third. So every average is looked at, and of the other windows the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlet.analysis.field_rules import full_shape
from netlet.analysis.map_axes import CROPPED, PLACES, Axes, follow_axes
from netlet.analysis.net_end import name_node
from netlet.analysis.reach import Effect
from netlet.analysis.windows import Window
from netlet.graph import Graph, Node
from netlet.graph.operations import (
    Activation,
    Arithmetic,
    BatchNorm,
    Convolution,
    Dropout,
    Elementwise,
    Padding,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Slice,
)
from netlet.graph.rare_operations import EdgePadding
from netlet.text import format_shape

Sizes = tuple[int, ...]
# What may lie between a slice of a map and an average of it. The first of two means may be a slice.
_KEEP_POSITIONS = (
    *(Activation, Arithmetic, BatchNorm, Dropout, Elementwise),
    *(Permutation, Reduction, Reshape, Slice),
)
_ALL_OF_IT = "; nn.AdaptiveAvgPool2d(1) averages all of it"
_LINES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


@dataclass(frozen=True)
class _Sliding:
    """A convolution or a pooling, its windows, and the padding that was put around its map before.

    Attributes:
        node: The operation.
        window: Its windows.
        added: For each axis, the lines of the map that are padding at its start and at its end.
    """

    node: Node
    window: Window
    added: tuple[tuple[int, int], ...]

    @property
    def is_average(self) -> bool:
        operation = self.node.operation
        return isinstance(operation, Pooling) and operation.mode == "mean"

    @property
    def slides(self) -> bool:
        """Whether there could be a place more, and more to a place than one element."""
        window = self.window
        if max(window.n_out) == 1:  # an average says by itself what it leaves out
            axes = range(len(window.n_in))
            cut_off = any(self.left_out(axis)[0] for axis in axes) and not self.is_average
            return cut_off and _overlap_or_touch(window)
        return max(window.kernel) > 1 or max(window.stride) > 1

    @property
    def size(self) -> Sizes:
        """That of the map without padding."""
        return tuple(n - sum(ends) for n, ends in zip(self.window.n_in, self.added, strict=True))

    def left_out(self, axis: int) -> tuple[int, bool]:
        """Return how many lines along an axis no window reaches, and whether they are the last."""
        w, (before, _) = self.window, self.added[axis]
        starts = [i * w.stride[axis] - w.padding[axis] for i in range(w.n_out[axis])]
        steps = range(0, w.kernel[axis] * w.dilation[axis], w.dilation[axis])
        reached = {start + step - before for start in starts for step in steps}
        left = [i for i in range(self.size[axis]) if i not in reached]
        first_of_last = self.size[axis] - len(left)
        return len(left), not left or left[0] == first_of_last


def write_left_out_notes(graph: Graph, effects: Sequence[Effect]) -> list[str]:
    """Return a note for each average that leaves out lines of its map, and for the last map.

    Args:
        graph: The graph of the net. If it may take another path for another image, there are no
            notes.
        effects: For each of its values, the window that made it.
    """
    if graph.value_dependent:
        return []
    found = list(_list_sliding(graph, effects))
    last = max((number for number, sliding in found if sliding.slides), default=0)
    texts = []
    for number, sliding in found:
        if sliding.is_average:
            one = len(sliding.window.n_in) == 2 and set(sliding.window.n_out) == {1}
            texts.append(_describe(sliding, _ALL_OF_IT if one else ""))
        # The border of an image shows nothing most of the time.
        elif number == last and sliding.node.inputs[0] and _overlap_or_touch(sliding.window):
            texts.append(_describe(sliding, f": its stride rounds down; {_remedy(sliding)}"))
    texts += _describe_crops(graph)
    return [f"note: {text}" for text in dict.fromkeys(texts) if text]


def _list_sliding(graph: Graph, effects: Sequence[Effect]) -> Iterator[tuple[int, _Sliding]]:
    """Yield the windows that the output depends on, with the numbers of their values."""
    for number in graph.needed():
        node, window = graph.nodes[number - 1], effects[number].window
        if window is None or getattr(node.operation, "transposed", False):
            continue  # the windows of a transposed convolution lie on its output
        if isinstance(node.operation, Convolution | Pooling):
            added = _find_padding(graph, node.inputs[0], len(window.n_in))
            yield number, _Sliding(node, window, added)


def _find_padding(graph: Graph, value: int, rank: int) -> tuple[tuple[int, int], ...]:
    """Return for each axis how many lines of a value are padding, at its start and at its end."""
    operation = graph.nodes[value - 1].operation if value else None
    sizes = operation.sizes if isinstance(operation, Padding | EdgePadding) else ()
    # Padding is given from the last dimension backwards.
    ends = [(max(0, a), max(0, b)) for a, b in zip(sizes[::2], sizes[1::2], strict=True)]
    ends += [(0, 0)] * (rank - len(ends))
    return tuple(reversed(ends[:rank]))


def _overlap_or_touch(window: Window) -> bool:
    """Return whether there are no gaps between windows, which are meant to be there."""
    sizes = zip(window.kernel, window.dilation, window.stride, strict=True)
    return all(d == 1 and k >= s for k, d, s in sizes)


def _remedy(sliding: _Sliding) -> str:
    pooling = isinstance(sliding.node.operation, Pooling)
    return f"{'ceil_mode=True' if pooling else 'padding'} would keep them"


def _describe(sliding: _Sliding, advice: str) -> str:
    """Return what windows leave out; empty if that is nothing."""
    rank = len(sliding.size)
    lines = _LINES.get(rank, ("line",) * rank)
    found = [(*sliding.left_out(axis), line) for axis, line in enumerate(lines)]
    found = [one for one in found if one[0]]
    if not found:
        return ""
    text = _join_lines(found)
    if len(found) == 1 and found[0][0] == 1:
        advice = advice.replace("keep them", "keep it")
    name, size = name_node(sliding.node), format_shape(sliding.size)
    return f"{name} leaves out {text} of its {size} input{advice}"


def _join_lines(found: Sequence[tuple[int, bool, str]]) -> str:
    """Return ``the last 2 rows and columns`` or ``the last row and 3 columns``."""
    if len({(n, last) for n, last, _ in found}) == 1:
        names = " and ".join(_plural(line, n) for n, _, line in found)
        return _count(*found[0][:2], names)
    return " and ".join(_count(n, last, _plural(line, n)) for n, last, line in found)


def _plural(line: str, n: int) -> str:
    return line if n == 1 else f"{line}s"


def _count(n: int, last: bool, names: str) -> str:
    """Return ``the last row and column``, ``the last 2 rows`` or ``2 rows``."""
    if last:
        return f"the last {names}" if n == 1 else f"the last {n} {names}"
    return f"{n} {names}"


def _describe_crops(graph: Graph) -> Iterator[str]:
    """Yield what slices leave out of maps before an average, unless something else reads it."""
    needed = graph.needed()
    if not any(isinstance(graph.nodes[number - 1].operation, Slice) for number in needed):
        return
    axes, seen = follow_axes(graph), set[int]()
    for number in needed:
        if (axes[number].near, axes[number].mode) != (CROPPED, "mean"):
            continue
        way = _list_way_to_map(graph, number)
        source = graph.nodes[way[0] - 1].inputs[0] if way else 0
        # The border of an image shows nothing most of the time, and padding never does.
        if not source or source in seen or _is_padded(graph, source):
            continue
        seen.add(source)
        sizes = [size for dim in axes[source].dims for kind, size in dim if kind == PLACES]
        if lines := _list_cropped_lines(graph, way, axes[source], set(needed)):
            name = name_node(graph.nodes[number - 1])
            advice = _ALL_OF_IT if len(sizes) == 2 else ""
            yield (
                f"{name} leaves out {_join_lines(lines)} of a {format_shape(sizes)} map, of which "
                f"it averages a slice{advice}"
            )


def _list_way_to_map(graph: Graph, average: int) -> list[int]:
    """Return the values from the first slice of a map to an average of it, without the latter."""
    way, value = list[int](), graph.nodes[average - 1].inputs[0]
    while value:
        node = graph.nodes[value - 1]
        if len(node.inputs) != 1 or not isinstance(node.operation, _KEEP_POSITIONS):
            break
        way.insert(0, value)
        value = node.inputs[0]
    kinds = [isinstance(graph.nodes[value - 1].operation, Slice) for value in way]
    return way[kinds.index(True) :] if any(kinds) else []


def _list_cropped_lines(
    graph: Graph, way: Sequence[int], axes: Axes, needed: set[int]
) -> list[tuple[int, bool, str]]:
    """Return how many lines of a map slices leave out, whether they are the last, and of which."""
    places = [any(kind == PLACES for kind, _ in dim) for dim in axes.dims]
    titles = iter(_LINES.get(sum(places), ("line",) * sum(places)))
    names = [next(titles) if is_place else "" for is_place in places]
    found = []
    for value in way:
        node = graph.nodes[value - 1]
        operation, read = node.operation, node.inputs[0]
        if isinstance(operation, Permutation):
            names = [names[dim] for dim in operation.order]
        elif isinstance(operation, Slice):
            left = full_shape(graph, read)[operation.dim] - operation.length
            others = needed.intersection(graph.readers(read)) - {value}
            if left and names[operation.dim] and not others:
                at_start = (operation.start, operation.step) == (0, 1)
                found.append((left, at_start, names[operation.dim]))
            if operation.removed:
                del names[operation.dim]
        elif isinstance(operation, Reduction | Reshape):
            break
    return found


def _is_padded(graph: Graph, value: int) -> bool:
    return isinstance(graph.nodes[value - 1].operation, Padding | EdgePadding)
