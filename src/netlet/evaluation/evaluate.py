"""Scoring a net on a split, always in float32 and evaluation mode, however it was trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from netlet.budgets import Score
from netlet.data.batches import normalize
from netlet.data.dataset import Split
from netlet.errors import NetError
from netlet.nets.eval_mode import eval_mode
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe
from netlet.records import CalibrationBin, Mistake

IMAGES_AT_ONCE = 500  # small enough for the maps of a tiny net to stay in the cache
_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Evaluation:
    """A net on a split."""

    score: Score
    loss: float  # mean cross-entropy, no label smoothing
    confusion: tuple[tuple[int, ...], ...]  # [label][predicted]
    calibration: tuple[CalibrationBin, ...]
    mistakes: tuple[Mistake, ...]  # by index


def evaluate(
    net: nn.Module,
    split: Split,
    recipe: Recipe,
    classes: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a net, no augmentation, one pass.

    Args:
        net: ``N C H W`` to logits, log-probabilities or probabilities ``N K``; its training flags
            are left as they were.
        split: On the net's device.
        recipe: Gives mean and std of the input.
        classes: ``K``.
        on_progress: Called after each batch with the images scored so far and their total.

    Raises:
        NetError: The net's output is not ``N K``.
    """
    with eval_mode(net), torch.inference_mode():
        chunks: list[torch.Tensor] = []
        for images in split.images.split(IMAGES_AT_ONCE):
            chunks.append(extract_logits(net(normalize(images, recipe))))
            if on_progress is not None:
                on_progress(min(len(chunks) * IMAGES_AT_ONCE, len(split)), len(split))
        logits = torch.cat(chunks).float()
    if logits.shape != (len(split), classes):
        raise NetError(
            f"the net gives {'x'.join(map(str, logits.shape))} for {len(split)} images of {classes} classes; "
            f"it must give {len(split)}x{classes}"
        )
    if _are_probabilities(logits):
        logits = logits.clamp(min=1e-12).log()
    labels = split.labels
    loss = F.cross_entropy(logits, labels).item()
    # A net that has diverged gives NaN: its loss says so, and it is sure of nothing.
    confidence, predicted = logits.softmax(1).nan_to_num(0).max(1)
    right = predicted == labels
    confusion = torch.bincount(labels * classes + predicted, minlength=classes * classes).view(
        classes, classes
    )
    wrong = (~right).nonzero()[:, 0]
    return Evaluation(
        score=Score(split.name, int(right.sum()), len(split)),
        loss=loss,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=_calibration(confidence, right),
        mistakes=tuple(
            Mistake(*values)
            for values in zip(
                wrong.tolist(),
                labels[wrong].tolist(),
                predicted[wrong].tolist(),
                confidence[wrong].tolist(),
                strict=True,
            )
        ),
    )


def to_probabilities(scores: torch.Tensor) -> torch.Tensor:
    """What a net's scores say of each class.

    Args:
        scores: Logits, log-probabilities or probabilities, ``N K``.

    Returns:
        ``N K``, each row summing to 1; zeros where a net that has diverged gives NaN.
    """
    return scores.nan_to_num(0) if _are_probabilities(scores) else scores.softmax(1).nan_to_num(0)


def _are_probabilities(scores: torch.Tensor) -> bool:
    """Whether a net ends in a softmax: its own scores sum to one, for every image."""
    return bool((scores >= 0).all() and ((scores.sum(1) - 1).abs() < 1e-3).all())


def _calibration(confidence: torch.Tensor, right: torch.Tensor) -> tuple[CalibrationBin, ...]:
    which = (confidence * _CALIBRATION_BINS).long().clamp(max=_CALIBRATION_BINS - 1)
    count = torch.bincount(which, minlength=_CALIBRATION_BINS)
    correct = torch.bincount(which, right.double(), minlength=_CALIBRATION_BINS)
    total = torch.bincount(which, confidence.double(), minlength=_CALIBRATION_BINS)
    return tuple(
        CalibrationBin(
            i / _CALIBRATION_BINS,
            (i + 1) / _CALIBRATION_BINS,
            int(count[i]),
            int(correct[i]),
            float(total[i] / count[i].clamp(min=1)),
        )
        for i in range(_CALIBRATION_BINS)
    )
