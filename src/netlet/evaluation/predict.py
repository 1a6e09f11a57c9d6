"""What a net answers for single images: the likeliest class, the next, and how likely each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from netlet.data.batches import normalize
from netlet.errors import NetError
from netlet.evaluation.evaluate import IMAGES_AT_ONCE, to_probabilities
from netlet.nets.eval_mode import eval_mode
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe


@dataclass(frozen=True)
class Prediction:
    """A net's answer for one image."""

    to_probabilities: tuple[float, ...]  # of each class; they sum to 1

    def __post_init__(self) -> None:
        """Refuse what leaves no runner-up.

        Raises:
            NetError: There are fewer than two classes.
        """
        if len(self.probabilities) < 2:
            raise NetError(
                f"the net knows {len(self.probabilities)} class; it needs at least 2 to tell apart"
            )

    @property
    def best(self) -> int:
        """The likeliest class."""
        return self._order[0]

    @property
    def confidence(self) -> float:
        """The probability of the likeliest class."""
        return self.probabilities[self.best]

    @property
    def runner_up(self) -> int:
        """The second likeliest class."""
        return self._order[1]

    @property
    def runner_up_confidence(self) -> float:
        """The probability of the second likeliest class."""
        return self.probabilities[self.runner_up]

    @property
    def _order(self) -> list[int]:
        return sorted(range(len(self.probabilities)), key=lambda k: -self.probabilities[k])


def predict(
    net: nn.Module,
    images: Sequence[NDArray[np.uint8]],
    recipe: Recipe | None = None,
    channels: int = 1,
) -> list[Prediction]:
    """Put images to a net, all as one batch (in parts of 500).

    Args:
        net: ``N C H W`` to logits, log-probabilities or probabilities ``N K``, on the CPU; its
            training flags are left as they were.
        images: uint8 ``H W`` each, of one size, light on dark, as :func:`netlet.data.prepared`
            gives them.
        recipe: Gives mean and std of the input; MNIST's if not given.
        channels: ``C``; the gray image is repeated for nets that take color.

    Returns:
        One answer for each image, in their order.

    Raises:
        NetError: The net's output is not ``N K``, or not numbers.
    """
    if not images:
        return []
    batch = torch.from_numpy(np.stack(images)).unsqueeze(1).expand(-1, channels, -1, -1)
    recipe = recipe or Recipe()
    with eval_mode(net), torch.inference_mode():
        logits = torch.cat(
            [extract_logits(net(normalize(some, recipe))) for some in batch.split(IMAGES_AT_ONCE)]
        ).float()
    if logits.dim() != 2 or len(logits) != len(images):
        raise NetError(
            f"the net gives {'x'.join(map(str, logits.shape))} for {len(images)} images; it must give one row of "
            "scores for each"
        )
    if bool(logits.isnan().any()):
        raise NetError(
            "the net gives what is no number; it has diverged, or its weights are broken: train it again"
        )
    return [Prediction(tuple(row)) for row in to_probabilities(logits).tolist()]
