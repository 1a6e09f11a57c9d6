"""Scoring a net on a split, always in float32 and evaluation mode, however it was trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from netlet.budgets import Score
from netlet.data.batches import normalized
from netlet.data.dataset import Split
from netlet.errors import NetError
from netlet.nets.modes import evaluating
from netlet.nets.outputs import logits_of
from netlet.recipes import Recipe

IMAGES_AT_ONCE = 500  # small enough for the maps of a tiny net to stay in the cache
_BINS = 10


@dataclass(frozen=True)
class Mistake:
    """An image that the net gets wrong."""

    index: int  # in the split
    label: int
    predicted: int
    confidence: float  # probability given to the prediction


@dataclass(frozen=True)
class Bin:
    """Images whose prediction has a confidence in ``low..high``; calibrated, ``correct / count`` is ``confidence``."""

    low: float
    high: float
    count: int
    correct: int
    confidence: float  # mean over the images; 0 for none


@dataclass(frozen=True)
class Evaluation:
    """A net on a split."""

    score: Score
    loss: float  # mean cross-entropy, no label smoothing
    confusion: tuple[tuple[int, ...], ...]  # [label][predicted]
    calibration: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]  # by index


def evaluate(net: nn.Module, split: Split, recipe: Recipe, classes: int) -> Evaluation:
    """Score a net, no augmentation, one pass.

    Args:
        net: ``N C H W`` to logits, log-probabilities or probabilities ``N K``; its training flags
            are left as they were.
        split: On the net's device.
        recipe: Gives mean and std of the input.
        classes: ``K``.

    Raises:
        NetError: The net's output is not ``N K``.
    """
    with evaluating(net), torch.inference_mode():
        chunks = [
            logits_of(net(normalized(images, recipe)))
            for images in split.images.split(IMAGES_AT_ONCE)
        ]
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


def probabilities(scores: torch.Tensor) -> torch.Tensor:
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


def _calibration(confidence: torch.Tensor, right: torch.Tensor) -> tuple[Bin, ...]:
    which = (confidence * _BINS).long().clamp(max=_BINS - 1)
    count = torch.bincount(which, minlength=_BINS)
    correct = torch.bincount(which, right.double(), minlength=_BINS)
    total = torch.bincount(which, confidence.double(), minlength=_BINS)
    return tuple(
        Bin(
            i / _BINS,
            (i + 1) / _BINS,
            int(count[i]),
            int(correct[i]),
            float(total[i] / count[i].clamp(min=1)),
        )
        for i in range(_BINS)
    )
