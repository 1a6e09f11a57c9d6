"""Selection of the images that exports are verified and calibrated on."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from netlet.data import Dataset, Split, make_scribble, public_name
from netlet.errors import ExportError
from netlet.export.traced_model import TracedModel
from netlet.export.verification import FILLED_UP, STAND_IN, FilledSplit
from netlet.text import count_noun, format_shape

_VERIFICATION_IMAGES = 1_000  # at least, if the data set has as many
_CALIBRATION_IMAGES = 1_000
_DIGIT_DATASETS = ("mnist", "qmnist", "scribble")
_DIGITS = 10
_LEAST_CLASSES = 2
_SEED = 7_000  # of the random selection


def select_verification_images(model: TracedModel, dataset: Dataset | None) -> tuple[str, Split]:
    """Select the images to verify an export on.

    Args:
        model: The model.
        dataset: The data set that the net was trained on: its test split, filled up with training
            images to a thousand, on which no accuracy is measured. None if it is not available:
            1,000 synthetic digits (``scribble``), resized to the net's input.

    Returns:
        Name of the images, and the images.

    Raises:
        DataError: The data set has other classes than the run of the net.
        ExportError: The data set's image shape or number of classes is not that of the net, or it
            has a single output.
    """
    _refuse_one_output(model, dataset)
    if dataset is None:
        digits = _make_digits(model, seed=0)
        if was_trained_on_digits(model):
            return "scribble test", digits
        return "scribble", Split(STAND_IN, digits.images, digits.labels)
    dataset = _match_dataset(model, dataset)
    held_out = dataset.held_out
    if len(held_out) >= _VERIFICATION_IMAGES:
        return f"{dataset.name} {held_out.name}", held_out
    more = _sample(dataset.train, _VERIFICATION_IMAGES - len(held_out))
    name = f"{held_out.name}{FILLED_UP}"
    images = torch.cat([held_out.images, more.images])
    labels = torch.cat([held_out.labels, more.labels])
    return f"{dataset.name} {name}", FilledSplit(name, images, labels, held_out)


def select_calibration_images(
    model: TracedModel, dataset: Dataset | None
) -> tuple[str, torch.Tensor]:
    """Select a thousand training images to calibrate an int8 export.

    Args:
        model: The model.
        dataset: The data set that the net was trained on; None: synthetic digits.

    Returns:
        Name of the images, and the images, uint8 ``N C H W``.

    Raises:
        DataError: The data set has other classes than the run of the net.
        ExportError: The data set does not fit the net, or there are no images like those that the
            net was trained on, or it has a single output.
    """
    _refuse_one_output(model, dataset)
    if dataset is None:
        require_digits(model, model.source.name)
        return "scribble train", _make_digits(model, seed=1).images
    dataset = _match_dataset(model, dataset)
    return f"{dataset.name} train", _sample(dataset.train, _CALIBRATION_IMAGES).images


def require_digits(model: TracedModel, name: str) -> None:
    """Check that digits can calibrate an int8 export.

    Args:
        model: The model.
        name: What the message calls the net.

    Raises:
        ExportError: It was trained on other images.
    """
    if not was_trained_on_digits(model):
        raise ExportError(
            f"{name}: int8 needs images of the data set that the net was trained on, for "
            "calibration and verification; pass its name or path with --dataset (dataset in Python)"
        )


def was_trained_on_digits(model: TracedModel) -> bool:
    """Return whether a net was trained on digits; without a run record, ten classes are digits."""
    run = model.source.run
    if run is None:
        return model.graph.classes == _DIGITS
    return public_name(run.data["name"]) in _DIGIT_DATASETS


def _sample(split: Split, number: int) -> Split:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(_SEED))
    return split.take(order[:number])


def _refuse_one_output(model: TracedModel, dataset: Dataset | None) -> None:
    """Refuse a net whose predictions are all the same, so that they show nothing."""
    if model.graph.classes != 1:
        return
    other = ""
    if dataset is not None and dataset.classes != _LEAST_CLASSES:
        other = (
            f"; {dataset.name} has {dataset.classes} classes, so pass the data set with 2 with "
            "--dataset (dataset in Python)"
        )
    raise ExportError(
        f"{model.source.name} has 1 output, but a net for 2 classes needs 2; replace its last "
        f"layer, Linear(n, 1), by Linear(n, 2), and train it again{other}"
    )


def _match_dataset(model: TracedModel, dataset: Dataset) -> Dataset:
    """Return a data set with the classes of a net, matched by name, unless it does not fit."""
    names = model.source.class_names
    # The names of a net without a run may be those of digits, which nobody has chosen.
    if model.source.run or set(names) == set(dataset.class_names):
        dataset = dataset.with_classes(names)
    graph, differs = model.graph, ""
    if dataset.classes != graph.classes:
        differs = (
            f"{dataset.classes} classes, but {model.source.name} has "
            f"{count_noun(graph.classes, 'output')}"
        )
    elif dataset.shape != graph.shape:
        differs = (
            f"images of {format_shape(dataset.shape)}, but {model.source.name} takes "
            f"{format_shape(graph.shape)}"
        )
    if differs:
        raise ExportError(
            f"{dataset.name} has {differs}; pass the data set that it was trained on with "
            "--dataset (dataset in Python)"
        )
    return dataset


def _make_digits(model: TracedModel, seed: int) -> Split:
    digits = make_scribble(_VERIFICATION_IMAGES, _VERIFICATION_IMAGES, seed).held_out
    c, h, w = model.graph.shape
    images = F.interpolate(digits.images.float(), (h, w)).round().to(torch.uint8)
    return Split(digits.name, images.expand(-1, c, -1, -1).contiguous(), digits.labels)
