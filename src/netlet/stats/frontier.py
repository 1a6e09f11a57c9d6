"""Accuracy against parameters: what is measured here, and what is published elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netlet.records.study import Study
from netlet.stats.seeds import interval_over_seeds, mean_percent
from netlet.text import table

PLOTTED_PARAMETERS = 25_000  # plots end there
_COLUMNS, _ROWS = 66, 18


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """A net: what it costs, and how often it is right on MNIST's test images."""

    name: str
    parameters: int
    epochs: str
    # the mean of a study's seeds after their last epoch; as published, of somebody else's
    percent: float
    interval: tuple[float, float] | None = None  # 95 %, over seeds
    seeds: int = 0  # 0: not measured here
    standing: str  # how the figure came about

    @property
    def measured(self) -> bool:
        """Whether it is a study's."""
        return self.seeds > 0


def _published(name: str, parameters: int, epochs: str, percent: float, standing: str) -> FrontierPoint:
    return FrontierPoint(
        name=name, parameters=parameters, epochs=epochs, percent=percent, standing=standing
    )


# Read in public sources, not trained again. None is a mean over seeds.
PUBLISHED_POINTS = (
    _published(
        "separable convolutions",
        697,
        "up to 2,000",
        99.03,
        "best of 700 runs on test; its weights give 9,903",
    ),
    _published(
        "a separable convolution shared three times",
        1_936,
        "75",
        99.10,
        "one run; its weights give 9,910",
    ),
    _published(
        "4-4-4 P 8-8-8 P 8-8-8", 3_762, "15", 99.52, "one chosen run; its weights give 9,952"
    ),
    _published("dropout left out, momentum .98", 6_260, "15", 99.44, "one run's log"),
    _published("batch norm, global pooling, rotation", 9_994, "15", 99.60, "one run's log"),
    _published("SimpleNet", 310_000, "not said", 99.72, "claimed"),
    _published("capsules", 1_514_187, "not said", 99.83, "claimed"),
)


def measured_points(studies: Iterable[Study]) -> list[FrontierPoint]:
    """The studies on MNIST's test images, smallest nets first; those on other images are left out."""
    points = [
        FrontierPoint(
            name=study.name,
            parameters=study.cost["parameters"],
            epochs=str(study.epochs),
            percent=mean_percent(study),
            interval=interval_over_seeds(study),
            seeds=len(study.seeds),
            standing=f"mean of {len(study.seeds)} seeds" if len(study.seeds) > 1 else "one seed",
        )
        for study in studies
        if (study.data["name"], study.split) == ("mnist", "test")
    ]
    return sorted(points, key=lambda point: (point.parameters, -point.percent, point.name))


def pareto_front(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """Of measured points, those that no net with as few parameters equals: the frontier, smallest first."""
    front: list[FrontierPoint] = []
    for point in sorted(
        (p for p in points if p.measured), key=lambda point: (point.parameters, -point.percent)
    ):
        if not front or point.percent > front[-1].percent:
            front.append(point)
    return front


def frontier_text(points: Sequence[FrontierPoint]) -> str:
    """A table of points, and a plot of them for a terminal."""
    front = pareto_front(points)
    ours, theirs = ([p for p in points if p.measured is kind] for kind in (True, False))
    marks = {
        id(p): _letter(i, first)
        for some, first in ((ours, "A"), (theirs, "a"))
        for i, p in enumerate(some)
    }
    rows = [
        [
            marks[id(point)],
            point.name,
            f"{point.parameters:,}",
            point.epochs,
            f"{point.percent:.3f}" if point.measured else f"{point.percent:.2f}",
            f"{point.interval[0]:.3f} to {point.interval[1]:.3f}" if point.interval else "-",
            "yes" if point in front else "",
            point.standing,
        ]
        for point in points
    ]
    head = ("", "net", "parameters", "epochs", "% right", "95 % interval", "leads", "standing")
    shown = [
        point for point in points if point.parameters <= PLOTTED_PARAMETERS and point.percent < 100
    ]
    return (
        f"{table(head, rows, 'llrrrrll')}\n\n{_plot(shown, marks)}"
        if shown
        else table(head, rows, "llrrrrll")
    )


def _letter(number: int, first: str) -> str:
    return chr(ord(first) + number) if number < 26 else "?"


def _plot(points: Sequence[FrontierPoint], marks: dict[int, str]) -> str:
    """Errors against parameters, both on logarithmic axes; ``+`` where several lie."""
    x, y = [math.log(p.parameters) for p in points], [math.log(100 - p.percent) for p in points]
    canvas = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for point, across, up in zip(points, _spread(x, _COLUMNS), _spread(y, _ROWS), strict=True):
        place = canvas[_ROWS - 1 - up]
        place[across] = marks[id(point)] if place[across] == " " else "+"
    edge = {0: max(y), _ROWS - 1: min(y)}
    lines = [f"{math.exp(edge[i]):5.2f} |" if i in edge else "      |" for i in range(_ROWS)]
    plot = [line + "".join(row).rstrip() for line, row in zip(lines, canvas, strict=True)]
    left, right = (f"{round(math.exp(value)):,}" for value in (min(x), max(x)))
    below = f"       {left}{'parameters':^{_COLUMNS - len(left) - len(right)}}{right}"
    return "\n".join(["% wrong", *plot, "      +" + "-" * _COLUMNS, below])


def _spread(values: Sequence[float], places: int) -> list[int]:
    low, high = min(values), max(values)
    return [
        round((value - low) / (high - low) * (places - 1)) if high > low else 0 for value in values
    ]
