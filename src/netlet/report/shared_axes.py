"""Curves of several runs on one axes: each has its own color and name, and all stay in view.

A run that is alone on its axes needs no name; when another one is drawn there, both get theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from netlet.report.figures import BLUE, GREEN, ORANGE, RED
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = [
    (colors, line)
    for line in ("-", "--", ":")
    for colors in ((BLUE, ORANGE), (GREEN, "#cc79a7"), (RED, "#56b4e9"))
]


_NAMED = "_label_with_name"  # attribute of a line


@dataclass(frozen=True)
class Look:
    """How one run is drawn on axes that may have curves already.

    Attributes:
        of: What its name adds to its labels, such as ``" of Net"``; empty if it has none.
        shared: Whether other curves are there, so that the labels have names.
        colors: Its colors, for two curves.
        line: The style of its lines.
        limits: The limits that earlier curves need, by axis, ``x`` and ``y``.
    """

    of: str
    shared: bool
    colors: tuple[str, str]
    line: str
    limits: dict[str, tuple[float, float]]

    def plot(
        self, axes: Axes, x: ArrayLike, y: ArrayLike, label: str, how: str = "", **style: Any
    ) -> None:
        """Draw a line with its label: that of a single run, or with the name before ``how``."""
        style = {"color": self.colors[0], "linestyle": self.line, **style}
        named = f"{label}{self.of}{how}"
        (line,) = axes.plot(x, y, label=named if self.shared else f"{label}{how}", **style)
        setattr(line, _NAMED, named)

    def widen(self, axis: str, low: float, high: float) -> tuple[float, float]:
        """Return limits between which the earlier curves lie, too."""
        before = self.limits.get(axis, (low, high))
        return min(low, before[0]), max(high, before[1])


def choose_look(axes: Axes, name: str) -> Look:
    """Return how a run is drawn, as it differs from the curves that the axes have.

    Args:
        axes: The axes, before the run is drawn.
        name: The name of the run; empty if it is the only one.
    """
    for line in axes.lines if name else ():
        if label := getattr(line, _NAMED, ""):
            line.set_label(label)
    used = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    free = (look for look in _LOOKS if (look[0][0], look[1]) not in used)
    colors, style = next(free, _LOOKS[0])
    limits = {"x": axes.get_xlim(), "y": axes.get_ylim()} if used else {}
    of = _find_end(axes, name) if name else ""
    return Look(of, bool(name and used), colors, style, limits)


def find_labels(axes: Axes) -> set[str]:
    """Return the labels of the lines on some axes."""
    return {str(line.get_label()) for line in axes.lines}


def _find_end(axes: Axes, name: str) -> str:
    # At the end: matplotlib leaves out of a legend what begins with an underscore.
    own = f" of {escape_controls(name)}"
    ends = (own if number == 1 else f"{own} ({number})" for number in count(1))
    # Labels go on with a comma, if at all.
    labels = [f"{label}," for label in find_labels(axes)]
    return next(end for end in ends if not any(f"{end}," in label for label in labels))
