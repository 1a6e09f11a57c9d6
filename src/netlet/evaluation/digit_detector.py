"""A net of netlet's own that tells handwritten digits from other images.

It was trained by ``tools/digit_detector.py`` and is independent of the net whose answers it guards.
"""

from __future__ import annotations

import functools
import math
from importlib import resources
from pathlib import Path

import torch
from torch import nn

from netlet.data import Split
from netlet.evaluation.evaluate import compute_logits
from netlet.nets import build, find_net, load_weights, weights_digest
from netlet.recipes import Recipe

NET = "6 6 P 10 10 P 12"
CLASSES = ("other", "digit")
WEIGHTS = Path(str(resources.files(__package__) / "digit_detector.safetensors"))
SHAPE = (1, 28, 28)
# Of the images that it was trained on, 40 of 78 were digits; of those that it is asked about, 9 of
# 10 are assumed to be. This is added to the logarithm of the odds.
LOG_ODDS_SHIFT = math.log(9 / 1) - math.log(40 / 38)


@functools.cache
def load_detector() -> nn.Module:
    """Return the detector in evaluation mode: from ``N 1 28 28`` to logits ``N 2``."""
    net = build(find_net(NET).builder, 0, SHAPE, len(CLASSES))
    load_weights(net, WEIGHTS)
    return net.eval()


@functools.cache
def detector_digest() -> str:
    """Return the digest of the detector's weights."""
    return weights_digest(load_detector())


def compute_digit_probability(images: torch.Tensor) -> torch.Tensor:
    """Return the probability that an image is a handwritten digit.

    Args:
        images: uint8 ``N C 28 28``, in MNIST's frame.

    Returns:
        float64 ``N``.
    """
    gray = images.float().mean(1, keepdim=True).round().to(torch.uint8)
    split = Split("images", gray, torch.zeros(len(images), dtype=torch.int64))
    other, digit = compute_logits(load_detector(), split, Recipe()).double().unbind(1)
    return (digit - other + LOG_ODDS_SHIFT).sigmoid()
