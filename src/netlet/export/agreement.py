"""Whether an export does what its net does: both see the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from netlet.budgets import Score
from netlet.data import Split
from netlet.data.batches import normalized
from netlet.export.trained_model import TrainedModel, comparable
from netlet.nets.outputs import logits_of

Answers = Callable[[torch.Tensor], torch.Tensor]  # images uint8 N C H W to logits N K
_IMAGES_AT_ONCE = 500
STAND_IN = "stand-in"  # the split of images that are not of what the net was taught on
_ROUNDING = 1e-4  # of a logit that is about 1


@dataclass(frozen=True)
class Agreement:
    """A net and its export on the same images."""

    of: str  # the images
    images: int
    same: int  # predictions
    largest: float  # difference between a logit of the one and of the other
    scale: float  # of the net's largest logit
    net: Score
    export: Score
    # whether these are images of what the net was taught on, so that a score means something
    judges: bool = True

    @property
    def faithful(self) -> bool:
        """Whether they are the same function but for the rounding of float32."""
        return self.same == self.images and self.largest <= _ROUNDING * max(1.0, self.scale)

    @property
    def lost_points(self) -> float:
        """By how many points the export's accuracy lies below the net's."""
        return round(100 * (self.net.correct - self.export.correct) / self.images, 6)

    def __str__(self) -> str:
        accuracy = (
            f"; accuracy {self.net.percent:.2f} % before, {self.export.percent:.2f} % after"
            * self.judges
        )
        return (
            f"{self.same:,} of {self.images:,} predictions on {self.of} are the net's, logits differ by at most "
            f"{self.largest:.2g}{accuracy}"
        )


def agreement(origin: TrainedModel, answers: Answers, of: str, split: Split) -> Agreement:
    """Hold an export against the net itself, which computes in float32 by PyTorch.

    Args:
        origin: The net.
        answers: The export.
        of: What the images are called.
        split: At least one image of the net's shape.
    """
    wanted = torch.cat([_of_net(origin, images) for images in split.images.split(_IMAGES_AT_ONCE)])
    found = torch.cat([answers(images) for images in split.images.split(_IMAGES_AT_ONCE)]).to(
        wanted.dtype
    )
    # Log-probabilities are logits less one number for each image: compared as such where the net
    # gives no logits.
    wanted, found = (
        comparable(wanted, origin.graph.ending),
        found.log_softmax(1) if origin.graph.ending else found,
    )
    of_net, of_export = wanted.argmax(1), found.argmax(1)
    return Agreement(
        of=of,
        images=len(split),
        same=int((of_net == of_export).sum()),
        largest=float((wanted - found).abs().max()),
        scale=float(wanted.abs().max()),
        net=Score(split.name, int((of_net == split.labels).sum()), len(split)),
        export=Score(split.name, int((of_export == split.labels).sum()), len(split)),
        judges=split.name != STAND_IN,
    )


def _of_net(origin: TrainedModel, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return logits_of(origin.trained.net(normalized(images, origin.trained.recipe)))
