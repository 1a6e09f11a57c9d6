"""Verification of an export: it and the PyTorch model run on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from netlet.budgets import Score
from netlet.data import Split
from netlet.data.batches import normalize
from netlet.display import Displayed
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.traced_model import TracedModel, logits_to_compare, outputs_to_compare
from netlet.nets.outputs import extract_logits

LogitsFunction = Callable[[torch.Tensor], torch.Tensor]  # images uint8 N C H W to logits N K
_IMAGES_AT_ONCE = 500
FILLED_UP = " and train"  # ends the names of images that training images are added to
STAND_IN = "stand-in"  # name of a split whose images are not like those the net was trained on
# Absolute; relative to the largest logit where that is above 1.
ROUNDING_TOLERANCE = 1e-4
TIE_TOLERANCE = 1e-6  # two logits this close are in the order that rounding gives them


@dataclass(frozen=True)
class FilledSplit(Split):
    """The images of a split, then further ones, on which no accuracy is measured.

    Attributes:
        scored: The images of the split.
    """

    scored: Split


@dataclass(frozen=True)
class Verification(Displayed):
    """How an export and its PyTorch model compare on the same images."""

    image_set: str
    images: int  # that the predictions are compared on; the scores may be of the first of them only
    same_predictions: int
    max_logit_diff: float
    max_logit: float  # the largest absolute logit of the PyTorch model
    pytorch: Score
    export: Score
    # False if the images are not like those the net was trained on: a score then means nothing.
    measures_accuracy: bool = True
    compared: str = "logits"  # log-probabilities for a net that ends in a softmax
    ties: int = 0  # other predictions whose two logits are equal in PyTorch, but for rounding

    @property
    def limit(self) -> float:
        """The largest logit difference that float32 rounding explains."""
        return ROUNDING_TOLERANCE * max(1.0, self.max_logit)

    @property
    def matches(self) -> bool:
        """Whether both are the same function up to float32 rounding."""
        explained = self.same_predictions + self.ties
        return explained == self.images and self.max_logit_diff <= self.limit

    @property
    def accuracy_drop(self) -> float:
        """Accuracy of the PyTorch model minus that of the export, in percentage points."""
        return round(100 * (self.pytorch.correct - self.export.correct) / self.pytorch.total, 6)

    @property
    def scored_set(self) -> str:
        """The name of the images that the accuracies are of."""
        return self.image_set.removesuffix(FILLED_UP) if self.is_filled_up else self.image_set

    @property
    def is_filled_up(self) -> bool:
        """Whether the predictions are compared on more images than the accuracies are of."""
        return self.pytorch.total < self.images

    def __str__(self) -> str:
        accuracy = ""
        if self.measures_accuracy:
            only = f" on {self.scored_set} ({self.pytorch.total:,})" if self.is_filled_up else ""
            accuracy = (
                f"; accuracy{only} {self.pytorch.percent:.2f}% in PyTorch, "
                f"{self.export.percent:.2f}% exported"
            )
        ties = f" ({self.ties:,} of the others tied)" if self.ties else ""
        return (
            f"verified on {self.image_set}: {self.same_predictions:,} of {self.images:,} "
            f"predictions match PyTorch{ties}, {self.compared} differ by at most "
            f"{self.max_logit_diff:.2g}{accuracy}"
        )


def compare_with_pytorch(
    model: TracedModel,
    predict: LogitsFunction,
    image_set: str,
    split: Split,
    on_progress: OnProgress = ignore_progress,
) -> Verification:
    """Run the PyTorch model (float32) and its export on the same images.

    Args:
        model: The model.
        predict: Runs the export.
        image_set: Name of the images.
        split: At least one image of the net's shape; if it is filled up, the accuracies are those
            on the images that it began with.
        on_progress: Called when a phase begins.
    """
    on_progress(f"running PyTorch on {len(split):,} images")
    batches = split.images.split(_IMAGES_AT_ONCE)
    expected = torch.cat([_net_outputs(model, images) for images in batches])
    on_progress(f"running the export on {len(split):,} images")
    actual = torch.cat([predict(images) for images in batches]).to(expected.dtype)
    # A net that ends in a softmax has no logits. Log-probabilities differ from logits by a constant
    # for each image.
    softmax = model.graph.final_softmax
    expected = outputs_to_compare(expected, softmax)
    actual = logits_to_compare(actual, softmax)
    predicted, exported = expected.argmax(1), actual.argmax(1)
    scored = split.scored if isinstance(split, FilledSplit) else split
    correct, kept = (
        int((side[: len(scored)] == scored.labels).sum()) for side in (predicted, exported)
    )
    max_logit = float(expected.abs().max())
    gaps = (expected.amax(1) - expected.gather(1, exported[:, None])[:, 0])[predicted != exported]
    return Verification(
        image_set=image_set,
        images=len(split),
        same_predictions=int((predicted == exported).sum()),
        ties=int((gaps <= TIE_TOLERANCE * max(1.0, max_logit)).sum()),
        max_logit_diff=float((expected - actual).abs().max()),
        max_logit=max_logit,
        pytorch=Score(scored.name, correct, len(scored)),
        export=Score(scored.name, kept, len(scored)),
        measures_accuracy=split.name != STAND_IN,
        compared="log-probabilities" if softmax else "logits",
    )


def _net_outputs(model: TracedModel, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return extract_logits(model.source.net(normalize(images, model.source.recipe)))
