"""Accuracy against parameters: studies recorded here and results published elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits

from netlet.display import Displayed, Plotted
from netlet.records.study import Study
from netlet.stats.labels import Places, distinguish_names
from netlet.stats.seeds import interval_over_seeds, mean_percent
from netlet.stats.shift_average import SHIFTS, averages_shifts
from netlet.stats.terminal_plot import Mark, draw_plot
from netlet.text import escape_controls, format_table

# Plots end there: a few large or inaccurate nets would squeeze the others together.
PLOTTED_PARAMETERS = 130_000
PLOTTED_PERCENT = 98.8


@dataclass(frozen=True, kw_only=True)
class FrontierPoint(Displayed):
    """A net's size and its accuracy on MNIST's 10,000 test images."""

    name: str
    parameters: int
    epochs: str
    percent: float  # of a study: mean of its seeds after the last epoch; else as published
    interval: tuple[float, float] | None = None  # 95%, over seeds
    seeds: int = 0  # trained here; 0 for a published result
    evidence: str  # what the accuracy is of: "mean of 10 seeds", "one run", ...
    chosen: bool = False  # the best of several runs, chosen on the test images
    author: str = ""
    year: int | None = None
    url: str = ""

    @property
    def measured(self) -> bool:
        """Whether the point is a study recorded here."""
        return self.seeds > 0

    @property
    def source(self) -> str:
        """Author and year as ``A. Author, 2020``; empty for a study or where neither is known."""
        return ", ".join(filter(None, (self.author, str(self.year or ""))))

    @property
    def plotted(self) -> bool:
        """Whether the point lies within the range of the plots."""
        return self.parameters <= PLOTTED_PARAMETERS and self.percent > PLOTTED_PERCENT


class Frontier(list[FrontierPoint], Plotted):
    """Nets by size and accuracy: a list of points that shows and plots itself."""

    def _facts(self) -> Mapping[str, object]:
        measured = sum(point.measured for point in self)
        return {
            "measured": measured,
            "published": len(self) - measured,
            "front": [point.name for point in pareto_front(self)],
        }


# Read in public sources and not trained again; "re-scored" means that the published weights were
# run on the test images here.
PUBLISHED_POINTS = (
    FrontierPoint(
        name="Neural Golfing",
        parameters=575,
        epochs="not stated",
        percent=98.0,
        evidence="claimed: 98% after pruning",
        author="hexhowells",
        year=2025,
        url="https://hexhowells.com/posts/neural-golfing.html",
    ),
    FrontierPoint(
        name="Parameter-Efficient-MNIST",
        parameters=697,
        epochs="up to 2,000",
        percent=99.03,
        evidence="best of about 700 runs, chosen on the test images; weights re-scored: 9,903",
        chosen=True,
        author="JoshWarn",
        url="https://github.com/JoshWarn/Parameter-Efficient-MNIST",
    ),
    FrontierPoint(
        name="mnist-minimal-model",
        parameters=1_936,
        epochs="75",
        percent=99.10,
        evidence="one run; weights re-scored: 9,910",
        author="ruslangrimov",
        url="https://github.com/ruslangrimov/mnist-minimal-model",
    ),
    FrontierPoint(
        name="4-4-4 P 8-8-8 P 8-8-8",
        parameters=3_762,
        epochs="15",
        percent=99.52,
        evidence="one chosen run; weights re-scored: 9,952",
        chosen=True,
        author="woolly-of-cv",
        url="https://github.com/woolly-of-cv",
    ),
    FrontierPoint(
        name="training log A",
        parameters=6_260,
        epochs="15",
        percent=99.44,
        evidence="course log, no public source; one run: momentum 0.98, no dropout",
    ),
    FrontierPoint(
        name="training log B",
        parameters=9_994,
        epochs="15",
        percent=99.60,
        evidence="course log, no public source; one run: batch norm, global pooling, rotation",
    ),
    FrontierPoint(
        name="BitNetMCU",
        parameters=33_088,
        epochs="60 to 120",
        percent=99.55,
        evidence="one run; quantized weights of 11 kB",
        author="cpldcpu",
        url="https://github.com/cpldcpu/BitNetMCU",
    ),
    FrontierPoint(
        name="SimpleNet",
        parameters=310_000,
        epochs="not stated",
        percent=99.72,
        evidence="claimed",
        author="Hasanpour et al.",
        year=2016,
        url="https://arxiv.org/abs/1608.06037",
    ),
    FrontierPoint(
        name="HVC (capsules)",
        parameters=1_514_187,
        epochs="not stated",
        percent=99.83,
        evidence="claimed: best single net",
        chosen=True,
        author="Byerly et al.",
        year=2020,
        url="https://arxiv.org/abs/2001.09136",
    ),
    FrontierPoint(
        name="ttdoucet/mnist",
        parameters=4_700_000,
        epochs="11",
        percent=99.738,
        evidence="mean of ten nets (sd 0.031) in a notebook; about 4.7 million parameters",
        author="ttdoucet",
        url="https://github.com/ttdoucet/mnist",
    ),
)


def measured_points(studies: Sequence[Study], places: Sequence[Places] = ()) -> Frontier:
    """Return a point for each study on MNIST's test images, smallest nets first.

    Studies that were scored on other images are left out, and so are nets that were trained on the
    logits of a teacher: the parameters and epochs of the teacher are not part of theirs. Studies of
    one name are told apart, by their places if need be.

    Args:
        studies: The studies.
        places: The folders of each study; empty if they are not known.
    """
    numbers = [number for number, study in enumerate(studies) if not explain_left_out(study)]
    compared = distinguish_names(
        [studies[number] for number in numbers], [places[number] for number in numbers if places]
    )
    points = [
        FrontierPoint(
            name=study.name,
            parameters=study.cost["parameters"],
            epochs=str(study.total_epochs),
            percent=mean_percent(study),
            interval=interval_over_seeds(study),
            seeds=len(study.seeds),
            evidence=_describe_evidence(study),
        )
        for study in compared
    ]
    return sort_by_size(points)


def _describe_evidence(study: Study) -> str:
    """Return what the accuracy of a study is of."""
    of = f"mean of {len(study.seeds)} seeds" if len(study.seeds) > 1 else "one seed"
    return f"{of}; {SHIFTS}" if averages_shifts(study) else of


def explain_left_out(study: Study) -> str:
    """Return why the frontier has no place for a study; empty if it has one.

    See :func:`measured_points`.
    """
    if (study.data["name"], study.split) != ("mnist", "test"):
        return f"scored on {study.split} of {study.data['name']}"
    return "with a teacher" if "teacher" in study.cost else ""


def sort_by_size(points: Iterable[FrontierPoint]) -> Frontier:
    """Return points with the smallest nets first; of equal size the most accurate first."""
    return Frontier(
        sorted(points, key=lambda point: (point.parameters, -point.percent, point.name))
    )


def pareto_front(points: Iterable[FrontierPoint], *, published: bool = False) -> Frontier:
    """Return the points that no net with as few parameters equals in accuracy, smallest first.

    Args:
        points: Studies and published results.
        published: Whether published results compete too, except those without a public source.
            They are single runs, most of them the best of several, so a front with them is no
            statement about means.
    """
    front = Frontier()
    competing = (point for point in points if point.measured or (published and point.url))
    for point in sort_by_size(competing):
        if not front or point.percent > front[-1].percent:
            front.append(point)
    return front


def select_plotted(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """Return the points that plots show, in the given order.

    They are those within the range of the plots; if no recorded net is among them, all recorded
    nets as well, and if there is nothing then, all points.
    """
    inside = [point for point in points if point.plotted]
    if not any(point.measured for point in inside):
        inside = [point for point in points if point.plotted or point.measured]
    return inside or list(points)


def name_fronts(point: FrontierPoint, points: Sequence[FrontierPoint]) -> str:
    """Return the Pareto fronts that a point is on: ``measured``, ``all``, both or none."""
    fronts = (("measured", pareto_front(points)), ("all", pareto_front(points, published=True)))
    return ", ".join(name for name, front in fronts if point in front)


def frontier_text(points: Sequence[FrontierPoint]) -> str:
    """Return a table of points and, below it, a plot of them for a terminal."""
    points = sort_by_size(points)
    letters = _assign_letters(points)
    rows = [
        [
            letters[id(point)],
            f"{point.name} ({point.source})" if point.source else point.name,
            f"{point.parameters:,}",
            point.epochs,
            f"{point.percent:.3f}%" if point.measured else f"{point.percent:.2f}%",
            f"{point.interval[0]:.3f} to {point.interval[1]:.3f}%" if point.interval else "-",
            name_fronts(point, points) or "-",
            point.evidence,
        ]
        for point in points
    ]
    columns = (
        "mark",
        "net",
        "parameters",
        "epochs",
        "accuracy",
        "95% interval",
        "Pareto front",
        "source of the accuracy",
    )
    text = format_table(columns, rows, "llrrrrll")
    shown = [point for point in select_plotted(points) if point.percent < 100]
    if not shown:
        return text
    marks = [Mark(p.parameters, 100 - p.percent, letters[id(p)]) for p in shown]
    notes = [
        (
            "Marks A, B, ...: recorded here, means of their seeds; "
            "a, b, ...: published, mostly single runs."
        ),
        (
            "Pareto front: measured = more accurate than every other recorded net with no more "
            "parameters;"
        ),
        "              all = the same among recorded nets and published ones with a public source.",
    ]
    if left_out := [point.name for point in points if point not in shown]:
        notes.append(escape_controls(f"Not in the plot: {', '.join(left_out)}."))
    plot = draw_plot(marks, "test error (%)", "parameters")
    return "\n\n".join([text, plot, "\n".join(notes)])


def _assign_letters(points: Sequence[FrontierPoint]) -> dict[int, str]:
    """Return a mark for each point: upper case (then digits) for studies, else lower case."""
    letters = {}
    for measured, marks in ((True, ascii_uppercase + digits), (False, ascii_lowercase)):
        for number, point in enumerate(p for p in points if p.measured is measured):
            letters[id(point)] = marks[number] if number < len(marks) else "?"
    return letters
