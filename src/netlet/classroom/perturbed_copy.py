"""The images that the sandbox gets: the test images and slightly changed copies, shuffled."""

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
        images: The test images and their copies, uint8 ``2N C H W``.
        order: Where each is from: below N a test image, else a copy.
    """

    images: torch.Tensor
    order: torch.Tensor

    def restore(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits ``N K`` of the test images and those of the copies, in their order.

        Args:
            logits: For ``images``, ``2N K``.
        """
        restored = torch.empty_like(logits)
        restored[self.order] = logits
        return restored[: len(logits) // 2], restored[len(logits) // 2 :]


def shuffle_images(split: Split) -> ShuffledImages:
    """Return a split's images and their changed copies in an order that nobody can know."""
    generator = torch.Generator().manual_seed(secrets.randbits(60))
    both = torch.cat([split.images, perturb(split.images, generator)])
    order = torch.randperm(len(both), generator=generator)
    return ShuffledImages(both[order], order)


def perturb(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images moved by one pixel, with a little noise where there is ink.

    Args:
        images: uint8 ``N C H W``.
        generator: For the directions and the noise.
    """
    n, _, h, w = images.shape
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    which = torch.randint(len(_SHIFTS), (n,), generator=generator)
    moved = torch.empty_like(images)
    for number, (dy, dx) in enumerate(_SHIFTS):
        chosen = which == number
        moved[chosen] = padded[chosen, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
    noise = torch.randint(-_NOISE, _NOISE + 1, images.shape, generator=generator)
    changed = (moved.int() + noise).clamp(0, 255).to(torch.uint8)
    return torch.where(moved > 0, changed, moved)
