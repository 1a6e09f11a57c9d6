"""A score that tells nets of nearly the same accuracy apart: the calibrated, clipped NLL."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from netlet.evaluation.evaluate import to_log_scores

_TEMPERATURES = (0.01, 100.0)
CLIP = 3.0  # nats that an image counts at most: a wrong label must not outweigh all others


def calibrated_nll(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the mean negative log-likelihood of images, each clipped at 3 nats.

    Label smoothing and long training change how confident a net is, and with it the loss of nets
    of the same accuracy. So each half of the images is scored with the temperature that fits the
    other half.

    Args:
        scores: A net's output for held-out images: logits, log-probabilities or probabilities,
            ``N K``.
        labels: int64 ``N``; at least two.
    """
    scores, labels = to_log_scores(scores.double()).cpu(), labels.cpu()
    total = 0.0
    for first in (0, 1):
        half, other = slice(first, None, 2), slice(1 - first, None, 2)
        temperature = _fit_temperature(scores[other], labels[other])
        losses = F.cross_entropy(scores[half] / temperature, labels[half], reduction="none")
        total += float(losses.nan_to_num(CLIP).clamp(max=CLIP).sum())
    return total / len(labels)


def _fit_temperature(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the temperature with the smallest cross-entropy, which has no other minimum."""
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        value = float(F.cross_entropy(scores / math.exp(logarithm), labels))
        return value if math.isfinite(value) else math.inf

    low, high = _TEMPERATURES
    found = minimize_scalar(loss, bounds=(math.log(low), math.log(high)), method="bounded")
    return math.exp(found.x)
