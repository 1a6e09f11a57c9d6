"""Score a net on a split, always in float32 and evaluation mode, however it was trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from netlet.budgets import Score, one_image_remedy
from netlet.data.batches import normalize
from netlet.data.split import Split
from netlet.display import Displayed
from netlet.errors import NetError, check_argument, check_order, check_type, shows_call
from netlet.nets.device_errors import explain_device_errors
from netlet.nets.eval_mode import EVALUATION_BATCH, eval_mode
from netlet.nets.isolation import guard_net
from netlet.nets.outputs import extract_logits
from netlet.nets.registered import find_device
from netlet.recipes import Recipe
from netlet.records import CalibrationBin, Mistake
from netlet.text import count_noun, format_shape

_EVALUATE = "netlet.evaluate(net, data.held_out, recipe, data.classes)"
TRAIN_AGAIN = "its training has diverged, or its weights are damaged; train it again"
_CUDA_BATCH = 2_000  # a GPU is busy only with many images
_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Evaluation(Displayed):
    """The result of a net on a split.

    Outputs that are NaN or infinite are no prediction: their images count as mistakes of confidence
    0, in the confusion matrix as class 0, or class 1 where the label is 0.
    """

    score: Score
    loss: float  # mean cross-entropy, without label smoothing
    confusion: tuple[tuple[int, ...], ...]  # [label][predicted]
    calibration: tuple[CalibrationBin, ...]
    mistakes: tuple[Mistake, ...]  # by index
    not_finite: int = 0  # images whose outputs are NaN or infinite

    def _facts(self) -> Mapping[str, object]:
        facts = {
            "score": self.score,
            "loss": round(self.loss, 4),
            "classes": len(self.confusion),
            "mistakes": len(self.mistakes),
        }
        return facts | ({"not_finite": self.not_finite} if self.not_finite else {})


@shows_call(_EVALUATE)
def evaluate(
    net: nn.Module,
    split: Split,
    recipe: Recipe,
    classes: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a net on a split, without augmentation.

    Args:
        net: A net from ``N C H W`` to logits, log-probabilities or probabilities ``N K``. Its
            modules keep their training mode.
        split: The images and labels to score.
        recipe: The recipe, which has mean and std of the input.
        classes: The number of classes ``K``.
        on_progress: A function that is called after each batch with the number of images scored
            so far and in total.

    Raises:
        TypeError: An argument is missing or of another type; the message has the right call.
        NetError: The net's output is not ``N K``, or the device fails or runs out of memory.
    """
    check_order(_EVALUATE, (net, nn.Module), (split, Split), (recipe, Recipe), (classes, int))
    check_argument(net, nn.Module)
    check_argument(split, Split)
    check_argument(recipe, Recipe)
    check_type(classes, int, "the number of classes", "a whole number like 10")
    logits = compute_logits(net, split, recipe, on_progress)
    if logits.shape != (len(split), classes):
        what = f"{count_noun(len(split), 'image')} of {classes} classes"
        raise _wrong_shape(logits, len(split), what, f"{len(split)}x{classes}")
    return score_logits(logits, split, classes)


def refuse_wrong_scores(logits: torch.Tensor, images: int, *, fewest: int = 1) -> None:
    """Refuse what is not a row of scores for each image.

    Args:
        logits: What a net returned.
        images: The number of images that it got.
        fewest: The smallest number of classes.

    Raises:
        NetError: It has another shape, or holds NaN or infinite numbers.
    """
    if logits.dim() != 2 or len(logits) != images or logits.shape[1] < fewest:
        what = count_noun(images, "image")
        raise _wrong_shape(logits, images, what, "one row of scores for each")
    if bool(find_not_finite(logits).any()):
        raise NetError(f"the net returns NaN or infinite numbers: {TRAIN_AGAIN}")


def find_not_finite(scores: torch.Tensor) -> torch.Tensor:
    """Return which rows of scores are no prediction, since no softmax exists of them.

    A score of minus infinity is one: that of a class of probability 0.

    Args:
        scores: Logits, log-probabilities or probabilities, ``N K``.
    """
    return scores.softmax(1).isnan().any(1)


def _wrong_shape(logits: torch.Tensor, images: int, what: str, expected: str) -> NetError:
    shape = tuple(logits.shape)
    row = logits.dim() == 2 and len(logits) == 1  # of too few or too many classes
    remedy = "" if row or images != 1 else f"; {one_image_remedy(shape)}"
    return NetError(
        f"the net returns {format_shape(logits.shape) or 'a number'} for {what}; it must return "
        f"{expected}{remedy}"
    )


def score_logits(logits: torch.Tensor, split: Split, classes: int) -> Evaluation:
    """Return the evaluation of a net whose output is known.

    Args:
        logits: Logits, log-probabilities or probabilities, float32 ``N K``.
        split: The images that they are for, and their labels.
        classes: The number of classes ``K``.
    """
    # On the CPU: some of the counts below have no repeatable form on CUDA devices.
    logits, labels = to_log_scores(logits.cpu()), split.labels.cpu()
    loss = F.cross_entropy(logits, labels).item()
    confidence, predicted = logits.softmax(1).nan_to_num(0).max(1)
    broken = find_not_finite(logits)
    confidence = torch.where(broken, 0, confidence)
    predicted = torch.where(broken, (labels == 0).long(), predicted)
    correct = predicted == labels
    pairs = torch.bincount(labels * classes + predicted, minlength=classes * classes)
    return Evaluation(
        score=Score(split.name, int(correct.sum()), len(split)),
        loss=loss,
        confusion=tuple(tuple(row) for row in pairs.view(classes, classes).tolist()),
        calibration=_calibrate(confidence, correct),
        mistakes=_list_mistakes(labels, predicted, confidence),
        not_finite=int(broken.sum()),
    )


def to_probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Convert a net's output to probabilities.

    Args:
        scores: Logits, log-probabilities or probabilities, ``N K``.

    Returns:
        ``N K``, each row summing to 1; zeros where the output of a net that has diverged is NaN.
    """
    return scores.nan_to_num(0) if _are_probabilities(scores) else scores.softmax(1).nan_to_num(0)


def to_log_scores(scores: torch.Tensor) -> torch.Tensor:
    """Return logits and log-probabilities unchanged, and probabilities as their logarithms.

    A probability that has become 0 counts as the smallest normal number of float32, about 1e-38.
    """
    least = torch.finfo(torch.float32).tiny
    return scores.clamp(min=least).log() if _are_probabilities(scores) else scores


def compute_logits(
    net: nn.Module,
    split: Split,
    recipe: Recipe,
    on_progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Return the output of a net in evaluation mode, float32 ``N K``; see :func:`evaluate`."""
    guard, device = guard_net(type(net).__name__), find_device(net)
    with guard, explain_device_errors(), eval_mode(net), torch.no_grad():
        chunks: list[torch.Tensor] = []
        batch = EVALUATION_BATCH if device.type == "cpu" else _CUDA_BATCH
        for first, images in enumerate(split.images.split(batch)):
            chunks.append(extract_logits(net(normalize(images.to(device), recipe))))
            if chunks[0].dim() == 0:  # no rows; whoever checks the shape says so
                return chunks[0].float()
            if on_progress is not None:
                on_progress(min((first + 1) * batch, len(split)), len(split))
        return torch.cat(chunks).float()


def _are_probabilities(scores: torch.Tensor) -> bool:
    """Return whether a net ends in a softmax: its outputs sum to 1 for every image."""
    return bool((scores >= 0).all() and ((scores.sum(1) - 1).abs() < 1e-3).all())


def _list_mistakes(
    labels: torch.Tensor, predicted: torch.Tensor, confidence: torch.Tensor
) -> tuple[Mistake, ...]:
    wrong = (predicted != labels).nonzero()[:, 0]
    columns = (wrong, labels[wrong], predicted[wrong], confidence[wrong])
    return tuple(
        Mistake(*values) for values in zip(*(column.tolist() for column in columns), strict=True)
    )


def _calibrate(confidence: torch.Tensor, correct: torch.Tensor) -> tuple[CalibrationBin, ...]:
    """Count images and correct predictions in equal bins of the confidence."""
    bins = _CALIBRATION_BINS
    which = (confidence * bins).long().clamp(max=bins - 1)
    images = torch.bincount(which, minlength=bins)
    correct_images = torch.bincount(which, correct.double(), minlength=bins)
    total = torch.bincount(which, confidence.double(), minlength=bins)
    return tuple(
        CalibrationBin(
            low=i / bins,
            high=(i + 1) / bins,
            images=int(images[i]),
            correct=int(correct_images[i]),
            confidence=float(total[i] / images[i].clamp(min=1)),
        )
        for i in range(bins)
    )
