"""What a budget judges: scores on images, and what a net costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist


@dataclass(frozen=True)
class Score:
    """``correct`` of ``total`` images of a split: ``train``, ``val`` (held out of train) or ``test``."""

    split: str
    correct: int
    total: int

    @property
    def percent(self) -> float:
        """The accuracy in percent, for reading; judgements use the integers."""
        return 100 * self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Between which percentages the accuracy on images of this kind lies, by :func:`wilson`."""
        return wilson(self.correct / self.total, self.total, confidence)

    def __str__(self) -> str:
        return f"{self.correct:,} of {self.total:,} {self.split} images ({self.percent:.2f} %)"


def wilson(share: float, images: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval, in percent, about a share found on so many images (Wilson 1927, without correction)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = z * z / images
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / images + spread / (4 * images))
    low, high = (
        100 * min(max(edge / (1 + spread), 0), 1) for edge in (middle - half, middle + half)
    )
    return low, high


@dataclass(frozen=True)
class ModelCost:
    """What a net costs, known without training it.

    ``None`` stands for what could not be found out, for instance the MACs of a net whose path
    depends on its input.
    """

    parameters: int
    macs: int | None  # multiply-adds of one image; FLOPs are twice as many
    weight_bytes: int  # what the weight file holds: parameters and persistent buffers
    activation_bytes: int | None  # peak of what is alive at once, one image, float32
    kinds: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # kind of layer -> the layers of that kind
    spending: Mapping[str, Sequence[tuple[str, int]]] = field(
        default_factory=dict
    )  # resource -> (layer, amount)
    epochs: int | None = None  # planned by a recipe, where there is one


@dataclass(frozen=True)
class Outcome:
    """What training decided: the held-out score of every epoch, first to last, and on which data set."""

    scores: Sequence[Score]
    dataset: str | None = None
