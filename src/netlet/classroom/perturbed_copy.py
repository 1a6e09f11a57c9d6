"""The images that the sandbox gets: changed copies of the test images first, themselves last.

A net that has learned the classes is about as right on the copies; a table of answers is not. The
answers on the copies are outside of the sandbox before the test images enter it, so that code which
recognizes a test image cannot find its copies.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass

import numpy as np
import torch

from netlet.data import Split

_NOISE = 10  # gray levels, of 255
_SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class ShuffledImages:
    """Images in a secret order, so that no place in it tells a label.

    Attributes:
        images: uint8 ``N C H W``.
        order: The number of each in the split, int64 ``N``.
    """

    images: torch.Tensor
    order: torch.Tensor

    def restore(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits ``N K`` in the order of the split.

        Args:
            logits: The logits of ``images``, ``N K``.
        """
        restored = torch.empty_like(logits)
        restored[self.order] = logits
        return restored

    def to_bytes(self) -> bytes:
        """Return the images as the content of an ``.npy`` file."""
        file = io.BytesIO()
        np.save(file, self.images.numpy())
        return file.getvalue()


@dataclass(frozen=True)
class ImageSequence:
    """What a net is scored on, each in an order of its own.

    Attributes:
        noisy: Copies that differ by a gray level.
        moved: Copies that are moved by one pixel.
        clean: The test images themselves, which come last.
    """

    noisy: ShuffledImages
    moved: ShuffledImages
    clean: ShuffledImages

    def to_bytes(self) -> tuple[bytes, ...]:
        """Return the contents in the order in which the sandbox gets them."""
        return tuple(one.to_bytes() for one in (self.noisy, self.moved, self.clean))


def draw_images(split: Split) -> ImageSequence:
    """Return a split's images and changed copies, in orders and with noise that nobody can know."""
    images = split.images
    return ImageSequence(
        _shuffle(change_slightly(images, _new_generator())),
        _shuffle(move(images, _new_generator())),
        _shuffle(images),
    )


def _new_generator() -> np.random.Generator:
    """Return a generator with a seed of its own: what is seen of one tells nothing of others."""
    return np.random.Generator(np.random.SFC64(secrets.randbits(192)))


def _shuffle(images: torch.Tensor) -> ShuffledImages:
    order = torch.from_numpy(_new_generator().permutation(len(images)))
    return ShuffledImages(images[order], order)


def change_slightly(images: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Return images in which pixels with ink differ by at most one gray level.

    Nobody sees the difference, but a hash of the image does.

    Args:
        images: uint8 ``N C H W``.
        generator: The generator of the noise.
    """
    return _add_noise(images, 1, generator)


def move(images: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Return images moved by one pixel, with a little noise where there is ink.

    Args:
        images: uint8 ``N C H W``.
        generator: The generator of the directions and the noise.
    """
    n, _, h, w = images.shape
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    which = torch.from_numpy(generator.integers(len(_SHIFTS), size=n))
    moved = torch.empty_like(images)
    for number, (dy, dx) in enumerate(_SHIFTS):
        chosen = which == number
        moved[chosen] = padded[chosen, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
    return _add_noise(moved, _NOISE, generator)


def _add_noise(images: torch.Tensor, most: int, generator: np.random.Generator) -> torch.Tensor:
    limits = (-most, most + 1)
    noise = torch.from_numpy(generator.integers(*limits, images.shape, dtype=np.int8))
    changed = (images.to(torch.int16) + noise).clamp_(0, 255).to(torch.uint8)
    return torch.where(images > 0, changed, images)
