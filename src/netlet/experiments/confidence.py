"""Calibrate the confidence of trained nets, and keep the result beside their weights."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from netlet import evaluation, records
from netlet.data import Dataset, Split
from netlet.data.non_digits import draw_non_digits
from netlet.data.recorded_data import hold_out_as_recorded
from netlet.errors import DataError, RecordError, TooFewImagesError
from netlet.evaluation.digit_detector import detector_digest
from netlet.experiments.trained import TrainedNet
from netlet.files import write_atomic
from netlet.nets import weights_digest
from netlet.nets.shipped_weights import WEIGHTS_FOLDER
from netlet.records import CONFIDENCE, Confidence
from netlet.text import format_shape

HELD_OUT_IMAGES = 5_000  # to calibrate on; if a run has no val split, it has seen them in training
_MIN_IMAGES = 200  # fewer do not show what 1% of them are
_NON_DIGITS = 400  # of each kind
_SEED = 1
_DIGITS = frozenset("0123456789")
_TRAINED_ON = (
    "calibrate with the data set that it was trained on (--dataset in predict, export and publish)"
)


def load_confidence(trained: TrainedNet) -> Confidence | None:
    """Return the calibration that lies beside a net's weights; None if there is none for them."""
    path = find_confidence_file(trained)
    if path is None or not path.is_file():
        return None
    try:
        stored = records.load_confidence(path)
    except RecordError:  # damaged, or of another version: calibrated again
        return None
    return stored if _key(trained).items() <= stored.to_dict().items() else None


def calibrate_confidence(trained: TrainedNet, dataset: Dataset) -> Confidence:
    """Calibrate a net's confidence, and keep the result beside the weights of a run.

    Args:
        trained: A net for images of 28x28.
        dataset: The data set that the net was trained on, or another one with the same classes.

    Returns:
        The calibration, on the run's val split, or else on training images; never on test images.

    Raises:
        TooFewImagesError: The data set has too few images.
        DataError: It has other images or classes than the net, or is not what it was when the run
            was trained.
    """
    split = _select_images(trained, dataset)
    scores = _compute_scores(trained, split.images)
    if scores.shape[1] < dataset.classes:
        raise DataError(
            f"{dataset.name} has {dataset.classes} classes, but the net has {scores.shape[1]} "
            f"outputs; {_TRAINED_ON}"
        )
    temperature = evaluation.fit_temperature(scores, split.labels)
    digits = _compute_confidences(trained, split.images, scores, temperature)
    others = torch.empty(0, dtype=torch.float64)
    if _is_guarded(trained):
        gray = dataset.train.images.float().mean(1).round().to(torch.uint8)
        drawn = torch.cat(list(draw_non_digits(_NON_DIGITS, _SEED, gray).values())).unsqueeze(1)
        drawn = drawn.expand(-1, trained.shape[0], -1, -1)
        others = _compute_confidences(trained, drawn, _compute_scores(trained, drawn), temperature)
    threshold = evaluation.choose_threshold(digits, others)
    confidence = Confidence(
        **_key(trained),
        data=dataset.name,
        data_digest=dataset.digest,
        split=split.name,
        images=len(split),
        unsure_images=int((digits < threshold).sum()),
        non_digits=len(others),
        unsure_non_digits=int((others < threshold).sum()),
        temperature=temperature,
        threshold=threshold,
    )
    path = find_confidence_file(trained)
    if path is not None and _is_as_trained(trained, dataset):
        with contextlib.suppress(OSError):  # then it is calibrated each time
            write_atomic(path, confidence.to_json())
    return confidence


def find_confidence_file(trained: TrainedNet) -> Path | None:
    """Return where a net's calibration is kept: in its run's folder, or with netlet's own weights.

    None if it is kept nowhere, as that of weights that a person named.
    """
    file = trained.file
    if file is None:
        return None
    if file.parent == WEIGHTS_FOLDER:
        return file.with_suffix(f".{CONFIDENCE}")
    is_run = trained.run is not None and file.name == records.WEIGHTS
    return file.with_name(CONFIDENCE) if is_run else None


def _is_as_trained(trained: TrainedNet, dataset: Dataset) -> bool:
    """Return whether data and normalization are those that a run was trained with."""
    run = trained.run
    return (
        run is not None
        and hold_out_as_recorded(run.data, dataset) is not None
        and (run.recipe["mean"], run.recipe["std"]) == (trained.mean, trained.std)
    )


def _key(trained: TrainedNet) -> dict[str, Any]:
    """Return what a calibration holds for: weights, normalization and digit detector."""
    return {
        "weights_digest": weights_digest(trained.net),
        "mean": trained.mean,
        "std": trained.std,
        "detector_digest": detector_digest() if _is_guarded(trained) else "",
    }


def _is_guarded(trained: TrainedNet) -> bool:
    """Return whether the digit detector applies: whether the classes are the ten digits."""
    return set(trained.class_names) == _DIGITS and tuple(trained.shape[1:]) == (28, 28)


def _select_images(trained: TrainedNet, dataset: Dataset) -> Split:
    """Return images to calibrate on, held out of training if there are such, and none of test."""
    run = trained.run
    if dataset.shape[0] == 1:
        dataset = dataset.with_channels(trained.shape[0])
    if dataset.shape != tuple(trained.shape):
        raise DataError(
            f"{dataset.name} has images of {format_shape(dataset.shape)}, but the net takes "
            f"{format_shape(trained.shape)}; {_TRAINED_ON}"
        )
    if run:
        dataset = dataset.with_classes(run.data["class_names"])
    own = None
    if run and run.data["name"] == dataset.name:
        own = hold_out_as_recorded(run.data, dataset)
        if own is None:
            raise DataError(
                f"{dataset.name} has changed since this run, which may have been trained on what "
                "is now held out; restore the old images"
            )
    if own is not None and own.held_out.name == "val":
        split = own.held_out
    elif dataset.held_out.name == "val" and dataset.before_hold_out is None:
        split = dataset.held_out
    else:
        whole = dataset.before_hold_out or dataset
        split = whole.hold_out(min(HELD_OUT_IMAGES, len(whole.train) // 2)).held_out
        split = Split("train", split.images, split.labels)
    split = split.take(torch.arange(0, len(split), -(-len(split) // HELD_OUT_IMAGES) or 1))
    if len(split) < _MIN_IMAGES:
        which = " (half of train)" if split.name == "train" else ""
        raise TooFewImagesError(
            f"{dataset.name} has {len(split)} images to calibrate on{which}, and at least "
            f"{_MIN_IMAGES} are needed; use a larger data set"
        )
    return split


def _compute_scores(trained: TrainedNet, images: torch.Tensor) -> torch.Tensor:
    split = Split("images", images, torch.zeros(len(images), dtype=torch.int64))
    return evaluation.compute_logits(trained.net, split, trained.recipe)


def _compute_confidences(
    trained: TrainedNet, images: torch.Tensor, scores: torch.Tensor, temperature: float
) -> torch.Tensor:
    digit = evaluation.compute_digit_probability(images) if _is_guarded(trained) else None
    return evaluation.compute_probabilities(scores, temperature, digit).amax(1)
