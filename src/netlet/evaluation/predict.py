"""Classify single images: the probability of each class, the best class and the runner-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from netlet.data.batches import normalize
from netlet.display import Displayed
from netlet.errors import NetError, check_argument, check_type
from netlet.evaluation.confidence import apply_confidence
from netlet.evaluation.evaluate import refuse_wrong_scores, to_probabilities
from netlet.nets.device_errors import explain_device_errors
from netlet.nets.eval_mode import EVALUATION_BATCH, eval_mode
from netlet.nets.outputs import extract_logits
from netlet.nets.registered import find_device
from netlet.recipes import Recipe
from netlet.records import Confidence
from netlet.text import format_shape


@dataclass(frozen=True)
class Prediction(Displayed):
    """A net's prediction for one image."""

    # Of each class. They sum to 1, or, if a calibration considers it, to the probability that the
    # image is a digit at all.
    probabilities: tuple[float, ...]
    unsure: bool | None = None  # None: the net's confidence is not calibrated

    def __post_init__(self) -> None:
        """Check that there is a runner-up.

        Raises:
            NetError: There are fewer than two classes.
        """
        if len(self.probabilities) < 2:
            raise NetError(
                f"the net has {len(self.probabilities)} class; classification needs at least 2"
            )

    @property
    def best(self) -> int:
        """The most probable class."""
        return self._order[0]

    @property
    def confidence(self) -> float:
        """The probability of the most probable class."""
        return self.probabilities[self.best]

    @property
    def runner_up(self) -> int:
        """The second most probable class."""
        return self._order[1]

    @property
    def runner_up_confidence(self) -> float:
        """The probability of the second most probable class."""
        return self.probabilities[self.runner_up]

    @property
    def _order(self) -> list[int]:
        return sorted(range(len(self.probabilities)), key=lambda k: -self.probabilities[k])

    def _facts(self) -> Mapping[str, object]:
        return {
            "best": self.best,
            "confidence": round(self.confidence, 4),
            "runner_up": self.runner_up,
            "runner_up_confidence": round(self.runner_up_confidence, 4),
            **({} if self.unsure is None else {"unsure": self.unsure}),
        }


class Predictions(list[Prediction], Displayed):
    """The predictions for several images, in their order."""

    def _facts(self) -> Mapping[str, object]:
        return {
            "images": len(self),
            "best": [one.best for one in self],
            "unsure": sum(bool(one.unsure) for one in self),
        }


def predict(
    net: nn.Module,
    images: Sequence[NDArray[np.uint8]],
    recipe: Recipe | None = None,
    channels: int = 1,
    confidence: Confidence | None = None,
) -> Predictions:
    """Classify images in batches of 500.

    Args:
        net: A net from ``N C H W`` to logits, log-probabilities or probabilities ``N K``. Its
            modules keep their training mode.
        images: Images of the same size, uint8 ``H W``, light on dark, or ``C H W``;
            :mod:`netlet.data` prepares pictures in this form.
        recipe: The recipe, which has mean and std of the input; MNIST's by default.
        channels: The number of channels ``C``; images ``H W`` are repeated for nets that expect
            color.
        confidence: The calibration of the net's confidence
            (:func:`netlet.experiments.load_confidence`); None: probabilities are the net's own.

    Returns:
        One prediction for each image, in their order.

    Raises:
        TypeError: The images are not a list of arrays.
        NetError: The net's output is not ``N K``, or contains NaN.
    """
    check_argument(net, nn.Module)
    check_argument(recipe, Recipe, optional=True)
    _check_images(images)
    if not images:
        return Predictions()
    batch = torch.from_numpy(np.stack(images))
    if batch.ndim == 3:
        batch = batch.unsqueeze(1).expand(-1, channels, -1, -1)
    recipe, device = recipe or Recipe(), find_device(net)
    with explain_device_errors(), eval_mode(net), torch.no_grad():
        parts = [
            extract_logits(net(normalize(part.to(device), recipe)))
            for part in batch.split(EVALUATION_BATCH)
        ]
        logits = torch.cat(parts).float().cpu()
    refuse_wrong_scores(logits, len(images))
    if confidence is None:
        return Predictions(Prediction(tuple(row)) for row in to_probabilities(logits).tolist())
    probabilities, unsure = apply_confidence(logits, batch, confidence)
    return Predictions(
        Prediction(tuple(row), flag)
        for row, flag in zip(probabilities.tolist(), unsure.tolist(), strict=True)
    )


def _check_images(images: object) -> None:
    remedy = (
        "a list of uint8 arrays of one size, for example [prepare_digit(ink) for ink in "
        "read_digits(PATH)], both of netlet.data, or list(split.images[:4].numpy())"
    )
    check_type(images, (list, tuple), "the argument images", remedy)
    assert isinstance(images, list | tuple)
    for image in images:
        check_type(image, np.ndarray, "an image", remedy)
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape != images[0].shape:
            found = f"{format_shape(image.shape)} of {image.dtype}"
            raise TypeError(f"an image is an array of {found}; pass {remedy}")
