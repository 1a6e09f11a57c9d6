"""The loss of a training step, as all backends compute it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F


class SoftTarget(NamedTuple):
    """What a teacher says of a batch, and how much that counts.

    Attributes:
        logits: The teacher's logits, float32 ``N K``, contiguous.
        share: The weight of the teacher in the loss, 0 to 1; the labels have the rest.
        temperature: By which the logits of both are divided.
    """

    logits: torch.Tensor
    share: float
    temperature: float


def batch_loss(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float, soft: SoftTarget | None = None
) -> torch.Tensor:
    """Return the mean loss of a batch.

    With a teacher it is a mixture of the cross-entropy with the labels and of the Kullback-Leibler
    divergence from the teacher's probabilities at a temperature, times its square, so that the
    gradients do not become smaller with it (Hinton and others, arXiv:1503.02531).

    Args:
        logits: float32 ``N K``.
        labels: int64 ``N``.
        smoothing: The share of a label that is spread over all classes.
        soft: What the teacher says of the same images.
    """
    hard = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if soft is None:
        return hard
    divergence = F.kl_div(
        (logits / soft.temperature).log_softmax(1),
        (soft.logits / soft.temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - soft.share) * hard + soft.share * soft.temperature**2 * divergence
