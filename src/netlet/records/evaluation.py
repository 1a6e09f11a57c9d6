"""What a net gets wrong and how sure it is: the values that evaluations, runs and studies share.

Both are named tuples, so JSON stores them as compact lists in the order of their fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Mistake(NamedTuple):
    """A held-out image that the net classifies wrongly."""

    image: int  # index in the split
    label: int
    predicted: int
    confidence: float  # probability of the predicted class


class CalibrationBin(NamedTuple):
    """The images whose confidence lies between ``low`` and ``high``.

    A net is well calibrated if ``correct / images`` is close to ``confidence`` in every bin.
    """

    low: float
    high: float
    images: int
    correct: int
    confidence: float  # mean over the images; 0 for an empty bin


def frequent_mistakes(row: Sequence[int], label: int) -> list[tuple[int, int]]:
    """Return the three classes that a label is most often mistaken for, and how often.

    Args:
        row: The label's row of the confusion matrix.
        label: The label.

    Returns:
        The most frequent class first; classes that are as frequent in their order.
    """
    wrong = [(k, times) for k, times in enumerate(row) if k != label and times]
    return sorted(wrong, key=lambda one: -one[1])[:3]
