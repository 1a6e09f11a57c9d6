"""Pictures of records, as SVG that reads on light and on dark ground.

Lines have colors of middling brightness; text and axes take the color of the page around them
(``currentColor``). Each picture is small, with one thing in it, so that a phone shows it whole and
its text stays legible.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netlet import stats
from netlet.errors import ReportError
from netlet.records.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#010203"  # stands for the page's own color until the picture is written
_BLUE, _ORANGE, _GREY, _RED = "#3b82d6", "#d9822b", "#888888", "#d64550"
_STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: they take the page's color and can be searched
    "text.parse_math": False,  # a class may be called $5
    "svg.hashsalt": "netlet",  # the same picture is the same file
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **{f"{what}.color": _INK for what in ("text", "xtick", "ytick")},
    **{f"axes.{what}color": _INK for what in ("edge", "label", "title")},
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
# As a file of its own the picture has no page around it: it follows what the reader's screen is set
# to.
_ALONE = "<style>svg{color:#222}@media (prefers-color-scheme:dark){svg{color:#ddd}}</style>"


def learning_curves(study: Study) -> str:
    """Accuracy after each epoch: held out, and while training; the mean of the seeds, a band from lowest to highest."""
    held_out = np.array([seed.correct_by_epoch for seed in study.seeds]) * 100 / study.total
    train = np.array([seed.train_correct_by_epoch for seed in study.seeds]) * 100 / study.train_total

    def dress(axes: Axes) -> None:
        bar = stats.target_percent(study)
        if bar is not None:
            axes.axhline(bar, color=_GREY, linestyle="--", linewidth=1.2, label=f"bar {bar:g} %")
        if study.epochs > 2:
            # The first epochs would flatten all that is of interest.
            lowest = min(float(held_out[:, 1:].min()), float(train[:, 1:].min()))
            axes.set_ylim(bottom=lowest - 0.15 * (100 - lowest), top=100 + 0.03 * (100 - lowest))
        axes.set_ylabel("% right")
        axes.legend(loc="lower right")

    return _curves(study, held_out, train, "while training", dress)


def loss_curves(study: Study) -> str:
    """Cross-entropy after each epoch, held out, and as trained (smoothed labels, augmented, with dropout)."""
    held_out = np.array([seed.held_out_losses for seed in study.seeds])
    train = np.array([seed.train_losses for seed in study.seeds])

    def dress(axes: Axes) -> None:
        _logarithmic(axes)
        axes.set_ylabel("loss")
        axes.legend(loc="upper right")

    return _curves(study, held_out, train, "as trained", dress)


def learning_rates(study: Study) -> str:
    """The learning rate at the end of each epoch."""

    def draw(axes: Axes) -> None:
        axes.plot(range(1, study.epochs + 1), study.lr_by_epoch, color=_BLUE, marker="o", markersize=4)
        axes.set(ylabel="learning rate", ylim=(0, None))
        _by_epoch(axes, study.epochs)

    return _picture(draw, height=2.2)


def seeds_and_bar(studies: Sequence[Study]) -> str:
    """Each seed of each study, the mean with its 95 % interval, and the bar."""

    def draw(axes: Axes) -> None:
        for row, study in enumerate(studies):
            values = stats.seed_percents(study)
            axes.plot(
                values, [row + 0.16] * len(values), "o", color=_BLUE, markersize=4.5, alpha=0.7
            )
            mean, interval = stats.mean_percent(study), stats.interval_over_seeds(study)
            if interval:
                axes.plot(
                    interval, [row - 0.16] * 2, color=_ORANGE, linewidth=3, solid_capstyle="butt"
                )
            axes.plot([mean], [row - 0.16], "D", color=_ORANGE, markersize=6)
        bars = {bar for study in studies if (bar := stats.target_percent(study)) is not None}
        for bar in bars:
            axes.axvline(bar, color=_GREY, linestyle="--", linewidth=1.2)
        names = [study.name for study in studies]
        axes.set_yticks(range(len(names)), labels=names)
        axes.set(xlabel="% right after the last epoch", ylim=(len(names) - 0.5, -0.5))
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.locator_params(axis="x", nbins=4)
        axes.plot([], [], "o", color=_BLUE, label="a seed")
        axes.plot([], [], "D", color=_ORANGE, label="mean, 95 %")
        if bars:
            axes.plot(
                [],
                [],
                "--",
                color=_GREY,
                label=f"bar {', '.join(f'{bar:g}' for bar in sorted(bars))} %",
            )
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.32 / (0.6 + 0.34 * len(names))),
            ncols=3,
            columnspacing=1,
            handletextpad=0.3,
        )

    return _picture(draw, height=1.5 + 0.34 * len(studies))


def confusion(study: Study) -> str:
    """Which label is taken for which, of all seeds together; what is right is left out."""
    counts = np.array(study.confusion())
    np.fill_diagonal(counts, 0)
    names = study.data["class_names"]

    def draw(axes: Axes) -> None:
        axes.imshow(counts, cmap=_fading(), vmin=0, vmax=max(int(counts.max()), 1))
        if len(names) <= 20:
            for row, column in zip(*counts.nonzero(), strict=True):
                axes.text(
                    column, row, str(counts[row, column]), ha="center", va="center", fontsize=8.5
                )
            axes.set_xticks(
                range(len(names)), labels=names, rotation=0 if max(map(len, names)) < 3 else 90
            )
            axes.set_yticks(range(len(names)), labels=names)
        axes.set(xlabel="taken for", ylabel="label")
        axes.tick_params(length=0)

    return _picture(draw, height=4.2)


def calibration(study: Study) -> str:
    """How often the net is right when it says that it is so sure; on the diagonal it is as good as its word."""
    bins = [one for one in study.calibration() if one.images]

    def draw(axes: Axes) -> None:
        axes.plot(
            [0, 100],
            [0, 100],
            color=_GREY,
            linestyle="--",
            linewidth=1.2,
            label="as good as its word",
        )
        said, right = (
            [100 * one.confidence for one in bins],
            [100 * one.correct / one.images for one in bins],
        )
        axes.plot(said, right, color=_BLUE, linewidth=1)
        most = max(one.images for one in bins)
        sizes = [30 + 170 * one.images / most for one in bins]
        axes.scatter(said, right, s=sizes, color=_BLUE, alpha=0.85, zorder=3)
        axes.set(xlabel="confidence, %", ylabel="% right", xlim=(0, 103), ylim=(0, 103))
        axes.legend(loc="upper left")

    return _picture(draw)


def gallery(pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str]) -> str:
    """Images ``H W`` or ``H W 3`` with a caption under each, five in a row."""
    columns = 5
    rows = -(-len(pictures) // columns)
    figure, axes = _figure((4.6, 1.22 * rows), rows, columns)
    with _styled():
        for place in axes.flat:
            place.axis("off")
        for place, picture, caption in zip(axes.flat, pictures, captions, strict=False):
            place.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            place.text(
                0.5, -0.06, caption, ha="center", va="top", fontsize=9, transform=place.transAxes
            )
    return _svg(figure)


def climb(names: Sequence[str], studies: Sequence[Study]) -> str:
    """Held-out and training error of each step, on a logarithmic axis, and the bar."""

    def draw(axes: Axes) -> None:
        at = np.arange(len(studies))
        errors = np.array([100 - stats.mean_percent(study) for study in studies])
        train = np.array([100 - stats.generalization_gap(study).train_percent for study in studies])
        intervals = np.array([stats.interval_over_images(study) for study in studies])
        low, high = 100 - intervals[:, 1], 100 - intervals[:, 0]
        axes.errorbar(
            at,
            errors,
            np.maximum([errors - low, high - errors], 0),
            color=_BLUE,
            marker="o",
            capsize=3,
            label=f"{studies[0].split} images, 95 %",
        )
        axes.plot(
            at,
            np.maximum(train, 1e-3),
            color=_ORANGE,
            marker="s",
            label="training images as they are",
        )
        bars = {bar for study in studies if (bar := stats.target_percent(study)) is not None}
        for bar in bars:
            axes.axhline(
                100 - bar, color=_GREY, linestyle="--", linewidth=1.2, label=f"bar {bar:g} %"
            )
        _logarithmic(axes)
        axes.set(ylabel="% wrong")
        axes.set_xticks(at, labels=names, rotation=35, ha="right")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)

    return _picture(draw, height=4)


def frontier(points: Sequence[stats.FrontierPoint]) -> str:
    """Test error against parameters: studies with their 95 % intervals, a line through those that lead, and others'."""
    # Of a few large or poor nets, the others would fall together.
    shown = [
        point
        for point in points
        if point.parameters <= stats.PLOTTED_PARAMETERS and point.percent > 98.8
    ] or points
    ours, theirs = ([point for point in shown if point.measured is kind] for kind in (True, False))

    def draw(axes: Axes) -> None:
        front = stats.pareto_front(ours)
        axes.plot(
            [p.parameters for p in front],
            [100 - p.percent for p in front],
            color=_ORANGE,
            linewidth=1.2,
        )
        for point in ours:
            by_document = point.name.endswith(".documented")
            low, high = point.interval or (point.percent, point.percent)
            axes.errorbar(
                [point.parameters],
                [100 - point.percent],
                [[high - point.percent], [point.percent - low]],
                fmt="s" if by_document else "o",
                markersize=5,
                capsize=2,
                linewidth=1,
                color=_ORANGE if point in front else _GREY if by_document else _BLUE,
            )
        axes.plot(
            [p.parameters for p in theirs],
            [100 - p.percent for p in theirs],
            "x",
            color=_RED,
            markersize=7,
        )
        for number, point in enumerate(front):
            left = number % 2 == 1  # neighbours' names go to either side
            axes.annotate(
                point.name,
                (point.parameters, 100 - point.percent),
                xytext=(-5, -12) if left else (5, 5),
                textcoords="offset points",
                fontsize=8.5,
                ha="right" if left else "left",
            )
        _logarithmic(axes)
        axes.set_yticks([0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 2, 5, 10])
        axes.set_yticks([], minor=True)
        wrong = [100 - point.percent for point in shown]
        axes.set_ylim(0.85 * min(wrong), 1.15 * max(wrong))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_formatter(
            lambda value, _: f"{value:,.0f}" if f"{value:.0e}"[0] in "25" else ""
        )
        axes.set(xlabel="parameters", ylabel="% of test images wrong")
        axes.plot([], [], "o-", color=_ORANGE, label="measured, leads (mean, 95 %)")
        axes.plot([], [], "o", color=_BLUE, label="measured")
        axes.plot([], [], "s", color=_GREY, label="a document's, by its recipe")
        axes.plot([], [], "x", color=_RED, label="published, single runs")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)

    return _picture(draw, height=4.6)


def _curves(
    study: Study,
    held_out: NDArray[np.float64],
    train: NDArray[np.float64],
    trained: str,
    dress: Callable[[Axes], None],
) -> str:
    def draw(axes: Axes) -> None:
        for values, color, label, marker in (
            (held_out, _BLUE, f"{study.split} images", "o"),
            (train, _ORANGE, trained, "s"),
        ):
            epochs = np.arange(1, study.epochs + 1)
            axes.plot(epochs, values.mean(0), color=color, label=label, marker=marker, markersize=4)
            if len(values) > 1:
                axes.fill_between(
                    epochs, values.min(0), values.max(0), color=color, alpha=0.25, linewidth=0
                )
        _by_epoch(axes, study.epochs)
        dress(axes)

    return _picture(draw)


def _picture(draw: Callable[[Axes], None], height: float = 3.1) -> str:
    figure, axes = _figure((4.6, height))
    with _styled():
        draw(axes)
    return _svg(figure)


def _styled() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ReportError(
            "pictures need matplotlib, which is not installed; pip install 'netlet[report]'"
        ) from error
    return matplotlib.rc_context(_STYLE)


def _figure(inches: tuple[float, float], rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    with _styled():
        from matplotlib.figure import Figure  # no pyplot: nothing global, no window system

        figure = Figure(figsize=inches, layout="constrained")
        return figure, figure.subplots(rows, columns)


def _svg(figure: Figure) -> str:
    with _styled():
        content = io.StringIO()
        figure.savefig(
            content, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    svg = content.getvalue().replace(_INK, "currentColor")
    svg = svg[svg.index("<svg") :]
    head = svg.index(">") + 1
    return svg[:head] + _ALONE + svg[head:]


def _by_epoch(axes: Axes, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epoch", xlim=(0.7, epochs + 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(
        lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else ""
    )


def _fading() -> Any:
    """From nothing to red, so that an empty place has the color of the page."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    return LinearSegmentedColormap.from_list(
        "fading", [(*to_rgb(_RED), 0.0), (*to_rgb(_RED), 0.75)]
    )
