"""The figures of a study's report.

Each function draws on a new figure, or on axes that it is given (see ``plots.py``). Curves that may
share their axes with those of other studies have a ``name`` in their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netlet import recipes, stats
from netlet.data.batches import count_steps
from netlet.records import Study
from netlet.report.figures import (
    BLUE,
    GRAY,
    NARROW,
    ORANGE,
    RED,
    SMALL,
    new_figure,
    use_error_axis,
    use_style,
)
from netlet.report.shared_axes import Look, choose_look, find_labels
from netlet.text import escape_controls
from netlet.training.schedules import learning_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 3.0  # inches
_MOST_NAMED_CLASSES = 20
_GALLERY_COLUMNS = 4
_CAPTION = 8  # points: the widest line of a caption fits its column
_LEGEND = "legend of netlet"
_TARGET_LINES = ("--", ":", "-.")


def accuracy_curves(study: Study, axes: Axes | None = None, name: str = "") -> Figure:
    """Draw the accuracy after each epoch, held out and during training."""
    held_out, train = held_out_percents(study), training_percents(study)

    def draw(axes: Axes) -> None:
        look = choose_look(axes, name)
        _draw_curves(axes, study, look, held_out, train, _describe_augmentation(study))
        target = stats.target_percent(study)
        if target is not None and (label := f"target {target:g}%") not in find_labels(axes):
            earlier = sum(one.startswith("target ") for one in find_labels(axes))
            line = _TARGET_LINES[earlier % len(_TARGET_LINES)]
            axes.axhline(target, color=GRAY, linestyle=line, linewidth=1, label=label)
        if study.epochs > 2:
            # The first epoch would squeeze the others together.
            lowest = min(float(held_out[:, 1:].min()), float(train[:, 1:].min()))
            room = max(100 - lowest, 0.1)
            axes.set_ylim(look.widen("y", lowest - 0.15 * room, 100 + 0.03 * room))
        elif not axes.get_autoscaley_on():  # an earlier curve has set the limits
            lowest, highest = min(held_out.min(), train.min()), max(held_out.max(), train.max())
            axes.set_ylim(look.widen("y", float(lowest) - 1, float(highest) + 1))
        label_epochs(axes, cut=min(held_out.min(), train.min()) < axes.get_ylim()[0])
        axes.set_ylabel("accuracy (%)")
        put_legend_below(axes, named=look.shared)

    return _draw_figure(draw, axes)


def style_targets(studies: Sequence[Study]) -> list[tuple[float, str]]:
    """Return the accuracies that the budgets of studies ask for, each with its style of line."""
    targets = sorted({t for study in studies if (t := stats.target_percent(study)) is not None})
    return list(zip(targets, cycle(_TARGET_LINES), strict=False))


def label_epochs(axes: Axes, *, cut: bool) -> None:
    """Label the axis of epochs.

    Args:
        axes: The axes.
        cut: Whether values of the first epoch lie below the plot.
    """
    axes.set_xlabel("epoch (the first has values below the plot)" if cut else "epoch")


def loss_curves(study: Study, axes: Axes | None = None, name: str = "") -> Figure:
    """Draw the cross-entropy after each epoch, held out and during training."""
    held_out = np.array([seed.held_out_losses for seed in study.seeds])
    train = np.array([seed.train_losses for seed in study.seeds])
    smoothing = study.recipe.get("label_smoothing")

    def draw(axes: Axes) -> None:
        look = choose_look(axes, name)
        how = _describe_augmentation(study) + (", with label smoothing" if smoothing else "")
        _draw_curves(axes, study, look, held_out, train, how)
        lowest, highest = min(held_out.min(), train.min()), max(held_out.max(), train.max())
        low, high = 0.9 * max(float(lowest), 1e-5), 1.1 * max(float(highest), 1e-4)
        if axes.get_yscale() == "log":  # of earlier losses
            low, high = look.widen("y", low, high)
        use_error_axis(axes, low, high)
        axes.set_ylabel("cross-entropy")
        put_legend_below(axes, named=look.shared)

    return _draw_figure(draw, axes)


def learning_rate_curve(study: Study, axes: Axes | None = None, name: str = "") -> Figure:
    """Draw the learning rate of every training step."""
    recipe = recipes.recipe_from_json(study.recipe)
    steps = count_steps(study.train_total, recipe.batch_size)
    numbers = np.arange(recipe.epochs * steps)
    rates = [learning_rate(recipe, int(number), steps) for number in numbers]

    def draw(axes: Axes) -> None:
        look = choose_look(axes, name)
        look.plot(axes, numbers / steps, rates, "learning rate")
        xlabel = f"epoch ({steps:,} steps each)"
        if look.limits and axes.get_xlabel() != xlabel:
            xlabel = "epoch"  # of different numbers of steps
        axes.set(xlabel=xlabel, ylabel="learning rate")
        top = look.widen("y", 0, 1.05 * max(rates))[1] if look.limits else None
        axes.set(xlim=look.widen("x", 0, recipe.epochs), ylim=(0, top))
        axes.locator_params(axis="y", nbins=5)
        use_whole_numbers(axes)
        if look.shared:
            put_legend_below(axes, named=True)

    return _draw_figure(draw, axes)


def seed_accuracies(studies: Sequence[Study], axes: Axes | None = None) -> Figure:
    """Draw each seed's accuracy, the mean with its 95% interval over seeds, and its target."""

    def draw(axes: Axes) -> None:
        targets = style_targets(studies)
        for row, study in enumerate(studies):
            for target, line in targets:
                if target == stats.target_percent(study):
                    ends = [row - 0.5, row + 0.5]
                    axes.plot([target] * 2, ends, line, color=GRAY, linewidth=1, zorder=1)
            values = stats.seed_percents(study)
            axes.plot(values, [row - 0.15] * len(values), "o", color=BLUE, alpha=0.7)
            interval = stats.interval_over_seeds(study)
            if interval:
                axes.plot(interval, [row + 0.17] * 2, color=RED, linewidth=2)
            if len(values) > 1:
                axes.plot([stats.mean_percent(study)], [row + 0.17], "D", color=RED)
        names = [escape_controls(study.name) for study in studies]
        axes.set_yticks(range(len(names)), labels=names)
        axes.set(xlabel=f"{studies[0].split} accuracy (%)", ylim=(len(names) - 0.5, -0.5))
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.locator_params(axis="x", nbins=5)
        axes.plot([], [], "o", color=BLUE, label="one seed")
        if any(len(study.seeds) > 1 for study in studies):
            axes.plot([], [], "D-", color=RED, linewidth=2, label="mean, 95% interval")
        for target, line in targets:
            axes.plot([], [], line, color=GRAY, linewidth=1, label=f"target {target:g}%")
        put_legend_below(axes)

    return _draw_figure(draw, axes, height=1.25 + 0.36 * len(studies))


def confusion_matrix(study: Study, axes: Axes | None = None) -> Figure:
    """Draw how often each class is predicted for another, all seeds together."""
    counts = np.array(study.confusion())
    np.fill_diagonal(counts, 0)
    names = [*map(escape_controls, study.data["class_names"])]

    def draw(axes: Axes) -> None:
        axes.imshow(counts, cmap=transparent_to_red(), vmin=0, vmax=max(int(counts.max()), 1))
        if len(names) <= _MOST_NAMED_CLASSES:
            for row, column in zip(*counts.nonzero(), strict=True):
                number = f"{counts[row, column]:,}"
                axes.text(column, row, number, ha="center", va="center", fontsize=SMALL)
            rotation = 0 if max(map(len, names)) < 3 else 90
            axes.set_xticks(range(len(names)), labels=names, rotation=rotation)
            axes.set_yticks(range(len(names)), labels=names)
        axes.set(xlabel="predicted class", ylabel="label")
        axes.tick_params(length=0)
        axes.spines[["top", "right"]].set_visible(True)

    return _draw_figure(draw, axes, height=4.2)


def calibration_curve(study: Study, axes: Axes | None = None, name: str = "") -> Figure:
    """Draw the accuracy of predictions against their confidence, all seeds together."""
    bins = [one for one in study.calibration() if one.images]

    def draw(axes: Axes) -> None:
        look = choose_look(axes, name)
        color, (ends, label) = look.colors[0], ([0, 100], "perfect calibration")
        if label not in find_labels(axes):
            axes.plot(ends, ends, color=GRAY, linestyle="--", linewidth=1, label=label)
        confidence = [100 * one.confidence for one in bins]
        accuracy = [100 * one.correct / one.images for one in bins]
        look.plot(axes, confidence, accuracy, "predictions", linewidth=1)
        most = max(one.images for one in bins)
        sizes = [24 + 130 * one.images / most for one in bins]
        axes.scatter(
            confidence, accuracy, s=sizes, color=color, alpha=0.85, zorder=3, clip_on=False
        )
        axes.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 100))
        handles, labels = axes.get_legend_handles_labels()
        if not look.shared:  # its only curve needs no label
            handles, labels = handles[:1], labels[:1]
        axes.legend(handles, labels, loc="best" if look.shared else "upper left")

    return _draw_figure(draw, axes)


def mistake_gallery(
    pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], framed: Sequence[bool]
) -> Figure:
    """Draw images in rows of four, each with its caption below it.

    Args:
        pictures: The pictures, gray ``H W`` or color ``H W 3``.
        captions: The caption of each picture.
        framed: Whether each picture has a frame.
    """
    rows = -(-len(pictures) // _GALLERY_COLUMNS)
    lines = max(caption.count("\n") + 1 for caption in captions)
    figure = new_figure(NARROW, (1.18 + 0.13 * lines) * rows)
    with use_style():
        axes = figure.subplots(rows, _GALLERY_COLUMNS, squeeze=False)
        for place in axes.flat:
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
        for place, picture, caption, frame in zip(
            axes.flat, pictures, captions, framed, strict=False
        ):
            place.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            place.set_xlabel(escape_controls(caption, keep="\n"), fontsize=_CAPTION, labelpad=2)
            if frame:
                place.spines[:].set(visible=True, edgecolor=ORANGE, linewidth=2.5)
    return figure


def _draw_figure(
    draw: Callable[[Axes], None], axes: Axes | None, height: float = _HEIGHT
) -> Figure:
    """Return a figure that a function draws on.

    Args:
        draw: The function.
        axes: Where it draws; None: the only axes of a new figure as wide as a column.
        height: The height of the new figure, in inches.
    """
    with use_style():
        axes = new_figure(NARROW, height).subplots() if axes is None else axes
        draw(axes)
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _describe_augmentation(study: Study) -> str:
    return ", augmented" if recipes.recipe_from_json(study.recipe).augment else ""


def _draw_curves(
    axes: Axes,
    study: Study,
    look: Look,
    held_out: NDArray[np.float64],
    train: NDArray[np.float64],
    how: str,
) -> None:
    """Draw two values ``seeds epochs``: the mean over seeds, a band from lowest to highest."""
    epochs = np.arange(1, study.epochs + 1)
    for values, color, label, end, marker in (
        (held_out, look.colors[0], f"{study.split} images", "", "o"),
        (train, look.colors[1], "training images", how, "s"),
    ):
        look.plot(axes, epochs, values.mean(0), label, end, color=color, marker=marker)
        if len(values) > 1:
            low, high = values.min(0), values.max(0)
            axes.fill_between(epochs, low, high, color=color, alpha=0.25, linewidth=0)
    axes.set(xlabel="epoch", xlim=look.widen("x", 0.7, study.epochs + 0.3))
    use_whole_numbers(axes)


def held_out_percents(study: Study) -> NDArray[np.float64]:
    """Return the held-out accuracy ``seeds epochs`` in percent."""
    return np.array([seed.correct_by_epoch for seed in study.seeds]) * 100 / study.total


def training_percents(study: Study) -> NDArray[np.float64]:
    """Return the accuracy while training ``seeds epochs`` in percent."""
    return np.array([seed.train_correct_by_epoch for seed in study.seeds]) * 100 / study.train_total


def put_legend_below(axes: Axes, *, named: bool = False) -> None:
    """Draw the legend below the axes, where it covers no curve, unless others share the figure.

    Args:
        axes: The axes.
        named: Whether the labels have names, so that each needs a line of its own.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    constrained = isinstance(axes.figure.get_layout_engine(), ConstrainedLayoutEngine)
    if constrained and len(axes.figure.axes) == 1:
        for earlier in [one for one in axes.figure.legends if one.get_label() == _LEGEND]:
            earlier.remove()
        columns = 1 if named else 3
        legend = axes.figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2)
        legend.set_label(_LEGEND)  # which a later curve on these axes replaces
    else:
        axes.legend()


def use_whole_numbers(axes: Axes) -> None:
    """Put the ticks of the horizontal axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def transparent_to_red() -> Any:
    """Return a color map from transparent to red, so that zero has the color of the page."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    colors = [(*to_rgb(RED), 0.0), (*to_rgb(RED), 0.75)]
    return LinearSegmentedColormap.from_list("transparent to red", colors)
