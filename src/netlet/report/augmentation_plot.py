"""Training images beside what the augmentation of a recipe makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from netlet import recipes
from netlet.data import Dataset, augment_images
from netlet.records import Study
from netlet.report.figures import NARROW, SMALL, new_figure, use_style
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EPOCHS = 3  # shown of each image
_MOST_CLASSES = 10


def augmentation_samples(study: Study, images: Dataset) -> Figure | None:
    """Draw a training image of each class, and below it what the net sees in three epochs.

    Args:
        study: The study, whose recipe has the augmentation.
        images: The data set that it was trained on.

    Returns:
        The figure; None if the recipe does not augment.

    Raises:
        ReportError: matplotlib is not installed.
    """
    ops = recipes.recipe_from_json(study.recipe).augment
    if not ops:
        return None
    labels = images.train.labels
    chosen = [
        int(places[0])
        for k in range(min(images.classes, _MOST_CLASSES))
        if len(places := (labels == k).nonzero().flatten())
    ]
    plain = images.train.images[chosen].float()
    random = torch.Generator().manual_seed(0)
    rows = [plain, *(augment_images(plain, ops, random) for _ in range(_EPOCHS))]
    figure = new_figure(NARROW, 0.5 * len(rows) + 0.2)
    with use_style():
        grid = figure.subplots(len(rows), len(chosen), squeeze=False)
        for row, batch in zip(grid, rows, strict=True):
            for axes, image in zip(row, batch.round().clamp(0, 255).byte(), strict=True):
                shown = image.permute(1, 2, 0).numpy()
                shown = shown if shown.shape[2] == 3 else shown[:, :, 0]
                axes.imshow(np.asarray(shown), cmap="gray", vmin=0, vmax=255)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, number in zip(grid[0], chosen, strict=True):
            name = escape_controls(images.class_names[int(labels[number])])
            axes.set_title(name if len(name) < 9 else f"{name[:7]}…", fontsize=SMALL, loc="center")
    return figure
