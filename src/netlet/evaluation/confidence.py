"""Calibrated confidence: how probable an answer is, and below which confidence a net is unsure.

The confidence in a class is the product of two probabilities: that the image is a handwritten digit
at all, by the digit detector, and that it is this digit, by the net's logits divided by a
temperature (Guo et al. 2017, On Calibration of Modern Neural Networks). Nets for other images than
digits use the second alone.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from netlet.evaluation.digit_detector import compute_digit_probability
from netlet.evaluation.evaluate import to_log_scores
from netlet.records import Confidence

MAX_UNSURE = 0.01  # share of the calibration images that may be called unsure
_TEMPERATURES = torch.logspace(-2, 2, 401, dtype=torch.float64)  # 2.3% apart


def fit_temperature(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the temperature with the smallest cross-entropy, or 1 if no image is wrong.

    Without a wrong image, the cross-entropy falls with the temperature, and the smallest one would
    call each answer certain.

    Args:
        scores: A net's output for held-out images: logits, log-probabilities or probabilities,
            ``N K``.
        labels: int64 ``N``.
    """
    scores = to_log_scores(scores.double())
    if bool((scores.argmax(1) == labels).all()):
        return 1.0
    losses = [float(F.cross_entropy(scores / t, labels)) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(torch.tensor(losses).nan_to_num(torch.inf).argmin())])


def choose_threshold(digits: torch.Tensor, others: torch.Tensor) -> float:
    """Return the confidence below which a net is unsure.

    At most 1% of the digits are below it. Of such thresholds, it is the one with the largest
    difference between the share of other images below it and the share of digits below it; without
    other images it is the highest.

    Args:
        digits: Confidences of images that the net knows, at least one.
        others: Confidences of images that belong to no class; may be empty.
    """
    ordered = digits.double().sort().values
    candidates = ordered[: int(MAX_UNSURE * len(ordered)) + 1]
    if not len(others):
        return float(candidates[-1])
    gains = [
        float((others < t).double().mean() - (ordered < t).double().mean()) for t in candidates
    ]
    return float(candidates[int(torch.tensor(gains).argmax())])


def compute_probabilities(
    scores: torch.Tensor, temperature: float, digit_probability: torch.Tensor | None
) -> torch.Tensor:
    """Return the calibrated probability of each class.

    Args:
        scores: A net's output, ``N K``.
        temperature: The temperature to divide logits by.
        digit_probability: The probability that each image is a digit, ``N``; None: not considered.

    Returns:
        float64 ``N K``; the rows sum to ``digit_probability``, or to 1.
    """
    probabilities = (to_log_scores(scores.double()) / temperature).softmax(1).nan_to_num(0)
    return (
        probabilities if digit_probability is None else probabilities * digit_probability[:, None]
    )


def apply_confidence(
    scores: torch.Tensor, images: torch.Tensor, confidence: Confidence
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a net's calibrated answers.

    Args:
        scores: Its output, ``N K``.
        images: The images, uint8 ``N C 28 28``.
        confidence: The calibration.

    Returns:
        The probabilities ``N K``, and whether the net is unsure, ``N``.
    """
    digit = compute_digit_probability(images) if confidence.detector_digest else None
    probabilities = compute_probabilities(scores, confidence.temperature, digit)
    return probabilities, probabilities.amax(1) < confidence.threshold
