"""The page that explains a net's answers: Grad-CAM maps and the feature maps of each layer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.data.disputed_labels import DisputedLabel
from netlet.evaluation import ClassMaps, Explanation, LayerMaps
from netlet.report.figures import GRAY, NARROW, new_figure, use_style
from netlet.report.markdown import escape_markdown
from netlet.report.page import Draft, Page
from netlet.report.study_plots import transparent_to_red
from netlet.text import Table, count_noun, escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CHANNELS = 64  # of a layer that are shown
_MOST_COLUMNS = 8
_TITLE_CHARACTERS = 54  # that fit into a line as wide as a figure
_TITLE_HEIGHT = 0.2  # inches of each line
_METHOD = (
    "[Grad-CAM](https://arxiv.org/abs/1610.02391) adds up the feature maps of one layer, each with "
    "the mean gradient of the class's score as its weight, and keeps what is positive: orange is "
    "where the image speaks for the class rather than for others. Each map has its own scale, so "
    "the amounts of two maps cannot be compared."
)


def explain_page(
    explanation: Explanation,
    title: str,
    names: Sequence[str],
    class_names: Sequence[str],
    labels: Sequence[int | None] | None = None,
    disputed: Sequence[DisputedLabel | None] | None = None,
) -> Page:
    """Return the page of an explanation.

    Args:
        explanation: What :func:`netlet.evaluation.explain` returned.
        title: The title of the page, such as the net's name.
        names: A name for each image.
        class_names: The names of the classes.
        labels: The label of each image, None where it is unknown.
        disputed: What annotators said of each image whose label most of them reject, else None.

    Raises:
        ReportError: matplotlib is not installed.
    """
    labels = labels or [None] * len(names)
    known = [*map(escape_controls, class_names)]
    draft = Draft()
    marks = [f"rejected {one}" if one else "" for one in disputed or [None] * len(names)]
    draft.add(draft.table("answers", _answers(explanation, names, known, labels, marks)))
    if any(marks):
        draft.add(
            "*Rejected* counts the annotators who did not choose the label, those of Northcutt, "
            "Athalye and Mueller ([arXiv:2103.14749](https://arxiv.org/abs/2103.14749))."
        )
    maps = next(one.maps for one in explanation.layers if one.name == explanation.layer)
    places = f"{maps.shape[2]}x{maps.shape[3]}"
    draft.add(
        "## Where the net looks",
        f"{_METHOD} The layer is {escape_markdown(explanation.layer)}, with "
        f"{count_noun(maps.shape[1], 'map')} of {places} places.",
    )
    figures = [
        draft.figure(
            f"grad-cam-{i + 1}",
            grad_cam_figure(explanation, i, known),
            f"Grad-CAM maps of {escape_markdown(name)}",
        )
        for i, name in enumerate(names)
    ]
    draft.add("\n".join(figures))
    for i, name in enumerate(names):
        draft.add(f"## Feature maps of {escape_markdown(name)}")
        if i == 0:
            draft.add(
                "Every layer in the order in which it runs, each from its lowest value (black) to "
                "its highest (white). Layers that change nothing when the net classifies, such as "
                "dropout, are left out."
            )
        draft.add(
            "\n".join(
                draft.figure(
                    f"maps-{i + 1}-{number:02}",
                    _draw_maps(layer, i),
                    f"{escape_markdown(layer.name)} of {escape_markdown(name)}",
                )
                for number, layer in enumerate(explanation.layers, start=1)
            )
        )
    return draft.finish(escape_markdown(title))


def _answers(
    explanation: Explanation,
    names: Sequence[str],
    known: Sequence[str],
    labels: Sequence[int | None],
    marks: Sequence[str],
) -> Table:
    rows = []
    for i, (name, label, mark) in enumerate(zip(names, labels, marks, strict=True)):
        best, second = explanation.probabilities[i].topk(2).indices.tolist()
        shares = explanation.probabilities[i]
        rows.append(
            [
                escape_controls(name),
                "" if label is None else f"{known[label]}{f' ({mark})' if mark else ''}",
                known[best],
                f"{100 * float(shares[best]):.1f}%",
                known[second],
                f"{100 * float(shares[second]):.1f}%",
            ]
        )
    head = ["image", "label", "prediction", "confidence", "runner-up", "its confidence"]
    return Table(head, rows, "lllrlr")


def grad_cam_figure(explanation: Explanation, i: int, known: Sequence[str]) -> Figure:
    """Draw an image, and twice with a Grad-CAM map over it."""
    picture = _to_picture(explanation.images[i])
    figure = new_figure(NARROW, 1.9)
    with use_style():
        axes = figure.subplots(1, 3)
        axes[0].set_title("image")
        for place in axes:
            place.set_axis_off()
            place.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for place, found in zip(axes[1:], (explanation.predicted, explanation.other), strict=True):
            title = _describe(explanation, found, i, known)
            place.set_title(textwrap.fill(title, _TITLE_CHARACTERS // 3))
            place.imshow(found.maps[i].numpy(), cmap=transparent_to_red(), vmin=0, vmax=1)
    return figure


def _describe(explanation: Explanation, found: ClassMaps, i: int, known: Sequence[str]) -> str:
    k = int(found.classes[i])
    nothing = "" if bool(found.maps[i].any()) else ": nothing"
    return f"{known[k]} ({100 * float(explanation.probabilities[i, k]):.0f}%){nothing}"


def _draw_maps(layer: LayerMaps, i: int) -> Figure:
    """Draw the maps of a layer for one image as one picture with gaps between them.

    Each map has an outline: white on a light page and black on a dark one would not be seen.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    channels, height, width = layer.maps.shape[1:]
    shown = layer.maps[i, :MOST_CHANNELS].numpy()
    mosaic, corners = _tile(shown)
    across = NARROW * min(1.0, max(0.35, mosaic.shape[1] / (_MOST_COLUMNS * (width + 1))))
    rest = f", first {MOST_CHANNELS}" if channels > MOST_CHANNELS else ""
    title = textwrap.wrap(
        f"{escape_controls(layer.name)} ({escape_controls(layer.kind)}): "
        f"{channels} of {height}x{width}{rest}",
        _TITLE_CHARACTERS,
    )
    picture = min(across * mosaic.shape[0] / mosaic.shape[1], 2 * NARROW)
    figure = new_figure(NARROW, 0.15 + _TITLE_HEIGHT * len(title) + picture)
    with use_style():
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_anchor("W")
        axes.imshow(mosaic, cmap="gray", interpolation="nearest")
        # A pixel's center is at a whole number.
        places = [
            Affine2D().scale(width, height).translate(left - 0.5, top - 0.5)
            for top, left in corners
        ]
        outlines = Path.make_compound_path(*map(Path.unit_rectangle().transformed, places))
        patch = PathPatch(outlines, fill=False, edgecolor=GRAY, linewidth=0.6, clip_on=False)
        axes.add_patch(patch)
        axes.set_title("\n".join(title))
    return figure


def _tile(maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Return maps ``C H W`` beside and below each other, with gaps that are NaN.

    Returns:
        The picture, and the top and left of each map in it.
    """
    channels, height, width = maps.shape
    columns = min(_MOST_COLUMNS, channels)
    rows = -(-channels // columns)
    gap = max(1, width // 14)
    mosaic = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, np.float32
    )
    corners = [
        (k // columns * (height + gap), k % columns * (width + gap)) for k in range(channels)
    ]
    for (top, left), one in zip(corners, maps, strict=True):
        mosaic[top : top + height, left : left + width] = one
    return mosaic, corners


def _to_picture(image: torch.Tensor) -> NDArray[np.uint8]:
    """Return uint8 ``C H W`` as matplotlib expects it: color of three channels, else gray."""
    picture: NDArray[np.uint8] = image.permute(1, 2, 0).numpy()
    return picture if picture.shape[2] == 3 else picture[:, :, 0]
