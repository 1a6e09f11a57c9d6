"""The images that the sandbox gets: the test images and changed copies, shuffled.

A net that has learned the classes is about as right on the copies; a table of answers is not.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import torch

from netlet.data import Split

_NOISE = 10  # gray levels, of 255
_SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class ShuffledImages:
    """Images in a secret order, so that neither their place nor their kind can be told.

    Attributes:
        images: The test images, copies that differ by a gray level, and copies that are moved by
            one pixel, uint8 ``3N C H W``.
        order: The origin of each, int64 ``3N``: below N a test image, below 2N one of the first
            copies, else one of the second.
    """

    images: torch.Tensor
    order: torch.Tensor

    def restore(self, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the logits ``N K`` of the test images and of either kind of copy, in their order.

        Args:
            logits: The logits of ``images``, ``3N K``.
        """
        restored = torch.empty_like(logits)
        restored[self.order] = logits
        return tuple(restored.split(len(logits) // 3))


def shuffle_images(split: Split) -> ShuffledImages:
    """Return a split's images and their changed copies in an order that nobody can know."""
    generator = torch.Generator().manual_seed(secrets.randbits(60))
    images = split.images
    every = torch.cat([images, change_slightly(images, generator), move(images, generator)])
    order = torch.randperm(len(every), generator=generator)
    return ShuffledImages(every[order], order)


def change_slightly(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images in which pixels with ink differ by at most one gray level.

    Nobody sees the difference, but a hash of the image does.

    Args:
        images: uint8 ``N C H W``.
        generator: The generator of the noise.
    """
    return _add_noise(images, 1, generator)


def move(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images moved by one pixel, with a little noise where there is ink.

    Args:
        images: uint8 ``N C H W``.
        generator: The generator of the directions and the noise.
    """
    n, _, h, w = images.shape
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    which = torch.randint(len(_SHIFTS), (n,), generator=generator)
    moved = torch.empty_like(images)
    for number, (dy, dx) in enumerate(_SHIFTS):
        chosen = which == number
        moved[chosen] = padded[chosen, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
    return _add_noise(moved, _NOISE, generator)


def _add_noise(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randint(-most, most + 1, images.shape, generator=generator)
    changed = (images.int() + noise).clamp(0, 255).to(torch.uint8)
    return torch.where(images > 0, changed, images)
