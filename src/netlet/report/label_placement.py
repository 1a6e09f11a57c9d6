"""Labels of points in a plot that overlap neither each other nor the points, with leader lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netlet.report.figures import GRAY, INK, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Boxes = NDArray[np.float64]  # each left, bottom, right, top in points (1/72 inch)

_DISTANCES = (4, 8, 13, 19, 26, 34, 43, 54, 66, 80, 96)  # points, from a point to its label
_ANGLES = 24
_ROUNDS = 4
_MARKER_RADIUS = 3.5
_LEADER_FROM = 7.0  # points; closer labels need no leader line
_SAMPLES = 14  # of a leader line, to find what it crosses
# The costs of a placement, in points of distance.
_OVER_LABEL, _OVER_POINT, _OUTSIDE, _LEADER_CROSSES = 900.0, 260.0, 2000.0, 70.0


@dataclass(frozen=True)
class Label:
    """The text of a point, in the coordinates of the data."""

    x: float
    y: float
    text: str
    color: str = INK
    bold: bool = False


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    points: Sequence[tuple[float, float]],
    segments: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> None:
    """Write labels beside their points, at places that a deterministic search finds.

    Each label goes to the place of least cost among several distances and directions: overlaps
    cost most, then leader lines that cross something, then the distance. After all labels have a
    place, each is placed again, a few times over. They stay off texts that the axes already have.

    Args:
        axes: The axes to write in; their limits, scales and the figure's layout have to be final.
        labels: The labels to write.
        points: All points, whether they have a label or not.
        segments: Lines that labels should stay off, such as error bars.
    """
    if not labels:
        return
    figure: Any = axes.figure
    scale = figure.dpi / 72
    figure.canvas.draw()  # the layout gives the axes their place
    frame = np.array(axes.get_window_extent().extents) / scale
    at = axes.transData.transform([(label.x, label.y) for label in labels]) / scale
    obstacles = [
        _around(point) for point in axes.transData.transform(list(points)).reshape(-1, 2) / scale
    ]
    for ends in segments:
        (x1, y1), (x2, y2) = axes.transData.transform(list(ends)) / scale
        obstacles.append(
            np.array([min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1])
        )
    obstacles += [np.array(text.get_window_extent().extents) / scale for text in axes.texts]
    sizes = [_measure(figure, label) for label in labels]
    chosen = _search(at, sizes, np.array(obstacles), frame)
    for label, point, box in zip(labels, at, chosen, strict=True):
        _write(axes, label, point, box, scale)


def _search(
    at: NDArray[np.float64],
    sizes: Sequence[tuple[float, float]],
    obstacles: _Boxes,
    frame: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Return the box of each label."""
    candidates = [_list_candidates(point, size) for point, size in zip(at, sizes, strict=True)]
    chosen: list[NDArray[np.float64] | None] = [None] * len(at)
    # The most crowded points choose first, while there is room around them.
    crowding = [np.sort(np.hypot(*(at - point).T))[: min(4, len(at))].sum() for point in at]
    for _ in range(_ROUNDS):
        for number in np.argsort(crowding, kind="stable"):
            others = [
                (at[i], box) for i, box in enumerate(chosen) if box is not None and i != number
            ]
            costs = _cost(candidates[number], at[number], others, obstacles, frame)
            chosen[number] = candidates[number][int(np.argmin(costs))]
    return [box for box in chosen if box is not None]


def _list_candidates(point: NDArray[np.float64], size: tuple[float, float]) -> _Boxes:
    """Return boxes of a size around a point, at all distances and angles."""
    width, height = size
    boxes = []
    for distance in _DISTANCES:
        for angle in np.arange(_ANGLES) * 2 * np.pi / _ANGLES:
            across, up = np.cos(angle), np.sin(angle)
            x = point[0] + (distance + _MARKER_RADIUS) * across + (across - 1) * width / 2
            y = point[1] + (distance + _MARKER_RADIUS) * up + (up - 1) * height / 2
            boxes.append((x, y, x + width, y + height))
    return np.array(boxes)


def _cost(
    boxes: _Boxes,
    point: NDArray[np.float64],
    others: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    obstacles: _Boxes,
    frame: NDArray[np.float64],
) -> Any:
    """Return the cost of each candidate box of a point's label."""
    nearest = np.clip(point, boxes[:, :2], boxes[:, 2:])
    distance = np.hypot(*(nearest - point).T)
    cost = distance + 3.0 * (boxes[:, 0] + boxes[:, 2] < 2 * point[0])  # rather to the right
    outside = np.maximum(frame[:2] - boxes[:, :2], 0) + np.maximum(boxes[:, 2:] - frame[2:], 0)
    cost = cost + _OUTSIDE * (outside.sum(1) > 0) + outside.sum(1)
    cost = cost + _OVER_POINT * _overlaps(boxes, obstacles).sum(1)
    far = distance > _LEADER_FROM
    leader = _sample(point[None], nearest[far])
    own = np.hypot(*((obstacles[:, :2] + obstacles[:, 2:]) / 2 - point).T) < _MARKER_RADIUS
    cost[far] += _LEADER_CROSSES * _inside(leader, obstacles[~own]).any(1).sum(-1)
    if others:
        placed = np.array([box for _, box in others])
        cost = cost + _OVER_LABEL * _overlaps(boxes, placed, margin=1.5).sum(1)
        cost[far] += 3 * _LEADER_CROSSES * _inside(leader, placed).any(1).sum(-1)
        starts = np.array([other for other, _ in others])
        theirs = _sample(starts, np.clip(starts, placed[:, :2], placed[:, 2:]))
        crossed = _inside(theirs.reshape(1, -1, 2), boxes)[0].reshape(len(others), _SAMPLES, -1)
        cost = cost + 3 * _LEADER_CROSSES * crossed.any(1).sum(0)
        cost[far] += _LEADER_CROSSES * _count_meetings(leader, theirs)
    return cost


def _count_meetings(lines: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return for each line how many other lines come near to it; both are sampled, ``N S 2``."""
    x, y = (np.subtract.outer(lines[..., axis], others[..., axis]) for axis in (0, 1))
    near = x * x + y * y < 2.5**2  # N S M S
    count: NDArray[np.int_] = near.any((1, 3)).sum(1)
    return count


def _overlaps(boxes: _Boxes, others: _Boxes, margin: float = 0.5) -> NDArray[np.bool_]:
    """Return for each box and each other box whether they overlap."""
    a, b = boxes[:, None], others[None]
    return (
        (a[..., 0] < b[..., 2] + margin)
        & (b[..., 0] < a[..., 2] + margin)
        & (a[..., 1] < b[..., 3] + margin)
        & (b[..., 1] < a[..., 3] + margin)
    )


def _inside(points: NDArray[np.float64], boxes: _Boxes) -> NDArray[np.bool_]:
    """Return for each point ``N S 2`` and each box whether the point lies in the box: ``N S M``."""
    p, b = points[:, :, None], boxes[None, None]
    return (
        (p[..., 0] > b[..., 0])
        & (p[..., 0] < b[..., 2])
        & (p[..., 1] > b[..., 1])
        & (p[..., 1] < b[..., 3])
    )


def _sample(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points ``N S 2`` along lines, without the first part, which is in the marker."""
    shares = np.linspace(0.2, 1, _SAMPLES)[None, :, None]
    return starts[:, None] * (1 - shares) + ends[:, None] * shares


def _around(point: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([point - _MARKER_RADIUS, point + _MARKER_RADIUS])


def _measure(figure: Any, label: Label) -> tuple[float, float]:
    """Return width and height of a label in points."""
    text = figure.text(0, 0, label.text, fontsize=SMALL, weight="bold" if label.bold else "normal")
    box = text.get_window_extent(figure.canvas.get_renderer())
    text.remove()
    scale = figure.dpi / 72
    return box.width / scale, 0.85 * SMALL  # without the room for descenders


def _write(
    axes: Axes,
    label: Label,
    point: NDArray[np.float64],
    box: NDArray[np.float64],
    scale: float,
) -> None:
    end = np.clip(point, box[:2], box[2:])
    if np.hypot(*(end - point)) > _LEADER_FROM:
        ends = axes.transData.inverted().transform([point * scale, end * scale])
        line = axes.plot(*ends.T, color=GRAY, linewidth=0.6, zorder=1.5)[0]
        line.set_in_layout(False)
    x, y = axes.transData.inverted().transform((box[:2] + np.array([0, 0.12 * SMALL])) * scale)
    text = axes.text(
        x,
        y,
        label.text,
        fontsize=SMALL,
        color=label.color,
        weight="bold" if label.bold else "normal",
        va="baseline",
        zorder=5,
    )
    text.set_in_layout(False)
