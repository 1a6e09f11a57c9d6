"""Images of a data set and their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from netlet.display import Displayed
from netlet.errors import DataError


@dataclass(frozen=True)
class Split(Displayed):
    """Images and their labels.

    Args:
        name: ``train``, ``val`` (held out of train) or ``test``; ``test50k`` for QMNIST.
        images: The images, uint8 ``N C H W``.
        labels: Their labels, int64 ``N``, from 0 to ``K - 1``.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        """Check types and shapes.

        Raises:
            DataError: A wrong type or shape, or different numbers of images and labels.
        """
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise DataError(
                f"{self.name} images: expected uint8 N C H W, "
                f"found {self.images.dtype} {tuple(self.images.shape)}; pass gray levels 0 to 255 "
                "as uint8, with an axis for the channels"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"{self.name} labels: expected {len(self.images)} of int64, "
                f"found {self.labels.dtype} {tuple(self.labels.shape)}; pass one for each image, "
                "converted with labels.long()"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_light_background(self) -> bool:
        """Whether the border of most images is light; of many, about 1,000 are looked at."""
        some = self.images[:: max(1, len(self) // 1_000)].float().mean(1)
        border = torch.cat([some[:, 0], some[:, -1], some[:, :, 0], some[:, :, -1]], 1)
        return bool((border.median(1).values > 127).float().mean() > 0.5)

    def _facts(self) -> Mapping[str, object]:
        return {"name": self.name, "images": self.images, "labels": self.labels}

    def to(self, device: torch.device) -> Split:
        """Return the same images on a device."""
        return Split(self.name, self.images.to(device), self.labels.to(device))

    def take(self, index: torch.Tensor, name: str | None = None) -> Split:
        """Return the images at the given indices, in that order."""
        return Split(name or self.name, self.images[index], self.labels[index])

    def sha256(self) -> str:
        """Return the SHA-256 of shape, images and labels."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for values in (self.images, self.labels):
            digest.update(values.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
