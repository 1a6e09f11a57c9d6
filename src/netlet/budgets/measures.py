"""What a budget judges: scores on images, and the cost of a net."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from netlet.budgets.structure import Structure, structure_from_json
from netlet.display import Displayed
from netlet.text import count_noun


@dataclass(frozen=True)
class Score:
    """``correct`` of ``total`` images of a split.

    The split is ``train``, ``val`` (held out of train) or ``test``.
    """

    split: str
    correct: int
    total: int

    @property
    def percent(self) -> float:
        """The accuracy in percent, for display; budgets compare the integers."""
        return 100 * self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the accuracy on other images of this kind, in percent.

        Args:
            confidence: The confidence of the interval, for instance 0.95; see :func:`wilson`.
        """
        return wilson(self.correct / self.total, self.total, confidence)

    def __str__(self) -> str:
        return f"{self.correct:,} of {self.total:,} {self.split} images ({self.percent:.2f}%)"


def wilson(share: float, images: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion, in percent (Wilson 1927, without correction).

    Args:
        share: The proportion that was measured, 0..1.
        images: Number of images that it was measured on.
        confidence: The confidence of the interval, 0..1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = z * z / images
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / images + spread / (4 * images))
    low, high = (
        100 * min(max(edge / (1 + spread), 0), 1) for edge in (middle - half, middle + half)
    )
    return low, high


# The resource under which ``ModelCost.spending`` lists weights that a net reads but has not
# registered as parameters or buffers. A net that has any does not pass.
HIDDEN = "weights outside the net"
# The kind of weights in a buffer, in tables of a net's layers: they have a row, but no output.
FIXED_WEIGHTS = "fixed weights in a buffer"
# Ends the kind of a module that computes with weights alone: its output is no feature map.
OF_WEIGHTS = " (of weights)"
# When a module runs that did not run in evaluation, in notes and tables of a net's layers.
NEVER_RAN = "never ran"
IN_TRAINING_ONLY = "runs in training only"
NOT_ON_BLANK_IMAGES = "did not run on a blank image"  # but may run on others
# The line of a verdict that states the teacher of a net.
TEACHER = "teacher"
# What records of a cost have besides the cost of the net.
_OF_THE_TRAINING = ("training_parameters", "teacher")


@dataclass(frozen=True)
class ModelCost(Displayed):
    """What a net costs, known without training it.

    ``None`` means unknown, for instance the MACs of a net whose path depends on its input.
    """

    parameters: int
    macs: int | None  # multiply-adds for one image; FLOPs are twice that
    weight_bytes: int  # size of parameters and persistent buffers
    activation_bytes: int | None  # peak memory of feature maps for one image in float32
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)  # kind of layer -> its layers
    spending: Mapping[str, Sequence[tuple[str, int]]] = field(
        default_factory=dict
    )  # resource -> (layer, amount)
    epochs: int | None = None  # planned by the recipe, if there is one
    # The shape of the output for a single image, if it is not the row 1 K that training needs.
    one_image: tuple[int, ...] | None = None
    # What rules are judged by, or what finds it out; None: not known.
    structure: Structure | Callable[[], Structure] | None = field(
        default=None, repr=False, compare=False
    )
    # What would make single layers smaller, in words, and the parameters that it saves, most first.
    savings: Sequence[tuple[str, int]] = field(default=(), repr=False, compare=False)
    # What a net was trained on besides the labels, in words; a verdict states it. Empty: nothing.
    teacher: str = field(default="", repr=False)

    def describe(self) -> Structure | None:
        """Return what the net consists of; None if that is not known."""
        return self.structure() if callable(self.structure) else self.structure


def cost_from_json(values: Mapping[str, Any]) -> ModelCost:
    """Return the cost of a net from the values that records store."""
    structure = values.get("structure")
    restored = None if structure is None else structure_from_json(structure)
    own = {name: value for name, value in values.items() if name not in _OF_THE_TRAINING}
    teacher = describe_teacher(values["teacher"]) if "teacher" in values else ""
    return ModelCost(**{**own, "structure": restored, "teacher": teacher})


def describe_teacher(values: Mapping[str, Any]) -> str:
    """Return what a record says of a teacher, in words: ``crest: 19,916 parameters, 19 epochs``."""
    epochs = count_noun(values["epochs"], "epoch")
    return f"{values['net']}: {values['parameters']:,} parameters, {epochs}"


@dataclass(frozen=True)
class Outcome(Displayed):
    """The held-out score of every epoch of a training, and the data set."""

    scores: Sequence[Score]
    dataset: str | None = None
