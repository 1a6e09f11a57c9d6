"""A net as a figure: its stages with the shape of their output, and what they see of the input."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netlet.analysis.op_families import ACTIVATIONS
from netlet.records import Study
from netlet.report.figures import BLUE, GRAY, GREEN, INK, ORANGE, WIDE, new_figure, use_style
from netlet.text import escape_controls, format_sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 8  # stages in a row of the figure
_FEW_COLUMNS = 3  # the same for the screen of a phone, where text must not get smaller
_MOST_STAGES = 40
_ROW_HEIGHT = 2.4  # in widths of a stage
_LETTERS = 14  # in a line below a stage
_LETTERS_OF_OPERATION = 20  # such as "transposed 3×3, ×2"
_LINES = 3  # below a stage, above the square of its receptive field
_CONTAINERS = ("Sequential", "Identity", "ModuleList")  # an empty one, as a shortcut, is no layer
_ABBREVIATIONS = {
    "BatchNorm2d": "BN",
    "BatchNorm1d": "BN",
    "UnscaledBatchNorm2d": "BN",
    "GroupNorm": "GN",
    "LogSoftmax": "log-softmax",
    "Dropout": "dropout",
    "Dropout2d": "dropout",
}
# Functions that are drawn like the layers of torch.nn that call them. Others, such as reshapes
# and sums, are not.
_FUNCTIONS = {
    **ACTIVATIONS,
    "_prelu_kernel": "PReLU",
    "hardtanh": "hardtanh",  # also what ReLU6 runs
    "clamp": "clamp",
    "clamp_min": "clamp",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "dropout": "Dropout",
    "batch_norm": "BatchNorm2d",
    "group_norm": "GroupNorm",
    "layer_norm": "LayerNorm",
}

_JOINS = frozenset(
    ("add", "sub", "mul", "div", "maximum", "minimum", "cat", "stack", "where", "matmul", "bmm")
)


@dataclass
class _Stage:
    """An operation that changes the feature map, and what follows it without changing its shape."""

    operation: str
    kind: str  # conv, pool, linear, input, other
    shape: list[int]
    field: Sequence[int] | None
    then: list[str] = dataclasses.field(default_factory=list)


def net_diagram(study: Study, *, narrow: bool = False) -> Figure | None:
    """Draw a study's net: feature maps to scale above, receptive fields in the input below.

    Stages are in the order in which they run. Arrows join them if the net has no branches, which
    are not drawn.

    Args:
        study: The study.
        narrow: Whether the figure is for a narrow screen: fewer stages in a row, of the same size.

    Returns:
        The figure; None for a net with too many stages for one.

    Raises:
        ReportError: matplotlib is not installed.
    """
    stages = _list_stages(study.summary["rows"], study.data["shape"])
    if len(stages) > _MOST_STAGES:
        return None
    in_line = not has_branches(study)
    columns = _FEW_COLUMNS if narrow else _COLUMNS
    rows, width = math.ceil(len(stages) / columns), WIDE / _COLUMNS
    figure = new_figure(width * columns, width * _ROW_HEIGHT * rows)
    with use_style():
        axes = figure.subplots()
        axes.set(xlim=(0, columns), ylim=(-_ROW_HEIGHT * rows, 0), aspect="equal")
        axes.axis("off")
        side = max(study.data["shape"][1:])
        channels = max(_split(stage.shape)[0] for stage in stages)
        for number, stage in enumerate(stages):
            x, y = number % columns + 0.5, -_ROW_HEIGHT * (number // columns)
            _draw_stage(axes, stage, x, y, side, channels)
            _draw_field(axes, stage, x, y - 1.62, study.data["shape"][1:])
            if in_line and number + 1 < len(stages) and (number + 1) % columns:
                _draw_arrow(axes, x + 0.5, y - 0.72)
    return figure


def has_branches(study: Study) -> bool:
    """Return whether a study's net joins maps, such as those of a layer and its shortcut."""
    return any(row["kind"] in _JOINS for row in study.summary["rows"])


def _list_stages(rows: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> list[_Stage]:
    stages = [_Stage("input", "input", list(shape), [1, 1])]
    for row in rows:
        last = stages[-1]
        output = list(row["output"])
        if not output:  # weights outside of the net, or a layer that never ran
            continue
        if row["kernel"] is None and math.prod(output) == math.prod(last.shape):
            kind = row["kind"]
            layer = _FUNCTIONS.get(kind) or (kind if kind[0].isupper() else "")
            if layer and layer not in _CONTAINERS:
                last.then.append(_ABBREVIATIONS.get(layer, layer))
            last.field = row["field"] or last.field
            continue
        operation, kind = _describe(row, last.shape)
        stages.append(_Stage(operation, kind, output, row["field"]))
    return stages


def _describe(row: Mapping[str, Any], before: Sequence[int]) -> tuple[str, str]:
    """Return the label and the kind of a row of the summary."""
    kind = row["kind"]
    window = "×".join(map(str, row["kernel"])) if row["kernel"] else ""
    stride = row["stride"]
    if "Conv" in kind:
        transposed = "Transpose" in kind
        places = math.prod(row["output"]) * math.prod(row["kernel"] or [0])
        depthwise = not transposed and before[0] > 1 and row["macs"] == places
        word = "transposed" if transposed else "depthwise" if depthwise else "conv"
        sign = "×" if transposed else "/"
        steps = f", {sign}{stride[0]}" if stride and max(stride) > 1 else ""
        return f"{word} {window}".rstrip() + steps, "conv"
    if "Pool" in kind:
        if row["output"][1:] == [1, 1]:
            return f"global {'max' if 'Max' in kind else 'average'}", "pool"
        return f"{'max' if 'Max' in kind else 'average'} pool {window}".rstrip(), "pool"
    return (kind, "linear") if kind == "Linear" else (kind, "other")


def _split(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return channels, height and width of an output, also of a vector."""
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def _draw_stage(axes: Axes, stage: _Stage, x: float, y: float, side: int, most: int) -> None:
    """Draw a feature map as a box: its face is height by width, its depth the channels."""
    from matplotlib.patches import Polygon

    colors = {"conv": BLUE, "pool": ORANGE, "linear": GREEN}
    color = colors.get(stage.kind, GRAY)
    channels, height, width = _split(stage.shape)
    tall, wide = (max(size / side, 0.04) * 0.52 for size in (height, width))
    depth = 0.05 + 0.20 * math.sqrt(channels / most)
    left, bottom = x - (wide + depth) / 2, y - 0.72 - tall / 2
    face = [(0, 0), (wide, 0), (wide, tall), (0, tall)]
    top = [(0, tall), (depth, tall + 0.6 * depth), (wide + depth, tall + 0.6 * depth), (wide, tall)]
    flank = [
        (wide, 0),
        (wide + depth, 0.6 * depth),
        (wide + depth, tall + 0.6 * depth),
        (wide, tall),
    ]
    for corners, opacity in ((face, 0.75), (top, 0.3), (flank, 0.5)):
        points = [(left + dx, bottom + dy) for dx, dy in corners]
        axes.add_patch(Polygon(points, facecolor=color, alpha=opacity, linewidth=0))
        axes.add_patch(Polygon(points, fill=False, edgecolor=INK, linewidth=0.5))
    axes.text(x, y - 0.14, "×".join(map(str, stage.shape)), ha="center", fontsize=7.5)
    lines = "\n".join(_describe_stage(stage))
    axes.text(x, y - 1.1, lines, ha="center", va="top", fontsize=7, linespacing=1.25)


def _describe_stage(stage: _Stage) -> list[str]:
    """Return the lines below a stage: its operation and what follows it, cut to the space."""
    names = ", ".join(_cut(escape_controls(name), _LETTERS - 1) for name in stage.then)
    operation = _cut(escape_controls(stage.operation), _LETTERS_OF_OPERATION)
    lines = [operation, *textwrap.wrap(names, width=_LETTERS)]
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = [f"{lines[_LINES - 1][: _LETTERS - 2].rstrip(', ')} …"]
    return lines


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _draw_field(axes: Axes, stage: _Stage, x: float, y: float, size: Sequence[int]) -> None:
    """Draw the receptive field of one output, centered in the input image."""
    from matplotlib.patches import Rectangle

    height, width = (0.42 * pixels / max(size) for pixels in size)
    axes.add_patch(
        Rectangle(
            (x - width / 2, y - height), width, height, fill=False, edgecolor=INK, linewidth=0.6
        )
    )
    if stage.field:
        tall, wide = (
            min(seen / pixels, 1) * length
            for seen, pixels, length in zip(stage.field, size, (height, width), strict=True)
        )
        middle = y - height / 2
        axes.add_patch(
            Rectangle((x - wide / 2, middle - tall / 2), wide, tall, facecolor=BLUE, linewidth=0)
        )
    axes.text(
        x, y - height - 0.06, f"RF {format_sizes(stage.field)}", ha="center", va="top", fontsize=7
    )


def _draw_arrow(axes: Axes, x: float, y: float) -> None:
    axes.annotate(
        "",
        (x + 0.07, y),
        (x - 0.07, y),
        arrowprops={
            "arrowstyle": "->",
            "color": GRAY,
            "linewidth": 0.8,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
