"""A data set in memory: uint8 images, labels, and where they are from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from netlet.errors import DataError

# Fixed, so that "val" means the same images in every record.
HOLD_OUT_SEED = 5_000


@dataclass(frozen=True)
class Split:
    """Some images and their labels.

    Args:
        name: ``train``, ``val`` (held out of train) or ``test``; ``test50k`` for QMNIST's.
        images: uint8, ``N C H W``.
        labels: int64, ``N``, each at least 0 and below the number of classes.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        """Refuse images and labels that do not belong together.

        Raises:
            DataError: Wrong type or shape, or a different number of each.
        """
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise DataError(
                f"{self.name} images: expected uint8 N C H W, found {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"{self.name} labels: expected {len(self.images)} of int64, found {self.labels.dtype} "
                f"{tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Split:
        """The same images on a device."""
        return Split(self.name, self.images.to(device), self.labels.to(device))

    def take(self, index: torch.Tensor, name: str | None = None) -> Split:
        """Those images that ``index`` names, in its order."""
        return Split(name or self.name, self.images[index], self.labels[index])

    def sha256(self) -> str:
        """SHA-256 over shape, images and labels."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for values in (self.images, self.labels):
            digest.update(values.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """What is trained on, and what scores it.

    ``held_out`` is ``test``, or ``val`` after :meth:`hold_out`; then nothing can look at ``test``
    by accident.

    Args:
        name: As a person would name it; a folder of one's own ends in a slash, so that it never
            passes for ours.
        train: What is trained on.
        held_out: What scores it.
        class_names: In the order of the labels.
        checksums: MD5 of each file's raw content, or SHA-256 of each split where there are no such
            files.
        before_hold_out: What it was before some of it was held out.
    """

    name: str
    train: Split
    held_out: Split
    class_names: tuple[str, ...]
    checksums: Mapping[str, str] = field(default_factory=dict)
    before_hold_out: Dataset | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse labels without a class.

        Raises:
            DataError: Names the split and the label.
        """
        for split in (self.train, self.held_out):
            if (
                len(split)
                and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < self.classes
            ):
                raise DataError(
                    f"{self.name}, {split.name}: expected labels 0 to {self.classes - 1}, "
                    f"found {int(split.labels.min())} to {int(split.labels.max())}"
                )

    @property
    def classes(self) -> int:
        """``K``."""
        return len(self.class_names)

    @property
    def digest(self) -> str:
        """SHA-256 over all checksums: equal for equal data."""
        lines = "".join(f"{name} {checksum}\n" for name, checksum in sorted(self.checksums.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def shape(self) -> tuple[int, int, int]:
        """``C H W`` of one image."""
        c, h, w = self.train.images.shape[1:]
        return c, h, w

    def describe(self) -> dict[str, Any]:
        """Return what records say about the data set, as JSON stores it."""
        return {
            "name": self.name,
            "classes": self.classes,
            "shape": list(self.shape),
            "images": {split.name: len(split) for split in (self.train, self.held_out)},
            "class_names": list(self.class_names),
            "checksums": dict(self.checksums),
            "digest": self.digest,
        }

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            DataError: There is none.
        """
        for split in (self.train, self.held_out):
            if split.name == name:
                return split
        raise DataError(
            f"{self.name} has no split {name!r}; it has {self.train.name} and {self.held_out.name}"
        )

    def with_channels(self, channels: int) -> Dataset:
        """Gray images repeated for nets that take color.

        Raises:
            DataError: The images have another number of channels, and not one.
        """
        if self.shape[0] == channels:
            return self
        if self.shape[0] != 1:
            raise DataError(
                f"{self.name}: has {self.shape[0]} channels and cannot be given {channels}; only gray can"
            )

        def spread(split: Split) -> Split:
            return replace(split, images=split.images.expand(-1, channels, -1, -1).contiguous())

        before_hold_out = self.before_hold_out and self.before_hold_out.with_channels(channels)
        return replace(self, train=spread(self.train), held_out=spread(self.held_out), before_hold_out=before_hold_out)

    def hold_out(self, images: int, draw: int = 0) -> Dataset:
        """Part of ``train`` becomes the judge, every class in proportion, for the same draw always the same images.

        Args:
            images: How many; at least one of each class is taken, and one stays.
            draw: Another number takes others: several draws judge a choice more surely than one.

        Returns:
            A data set whose ``held_out`` is called ``val`` and that no longer holds ``test``.

        Raises:
            DataError: The number is out of range.
        """
        if self.before_hold_out is not None:
            return self.before_hold_out.hold_out(images, draw)
        n = len(self.train)
        if not self.classes <= images <= n - self.classes:
            raise DataError(
                f"val={images} of {n:,} training images is out of range; "
                f"give {self.classes} to {n - self.classes:,}, for instance {max(self.classes, n // 12):,}"
            )
        generator = torch.Generator().manual_seed(HOLD_OUT_SEED + draw)
        shuffled = torch.randperm(n, generator=generator)
        labels = self.train.labels[shuffled]
        # Largest remainders: shares that add up to exactly `images`.
        exact = torch.bincount(labels, minlength=self.classes).double() * images / n
        share = exact.floor().long()
        for k in (exact - share).argsort(descending=True, stable=True)[: images - int(share.sum())]:
            share[k] += 1
        _spare_small_classes(share, torch.bincount(labels, minlength=self.classes))
        chosen = (
            torch.cat([shuffled[labels == k][: share[k]] for k in range(self.classes)])
            .sort()
            .values
        )
        keep = torch.ones(n, dtype=torch.bool)
        keep[chosen] = False
        train, val = self.train.take(keep.nonzero()[:, 0]), self.train.take(chosen, "val")
        return replace(self, train=train, held_out=val, before_hold_out=self)

    def with_classes(self, names: Sequence[str]) -> Dataset:
        """The same images with the labels of another list of classes, matched by name.

        Raises:
            DataError: A class is not in the list.
        """
        if tuple(names) == self.class_names:
            return self
        if unknown := [name for name in self.class_names if name not in names]:
            raise DataError(
                f"{self.name}: has a class {unknown[0]!r}, but what is asked for knows {', '.join(names)}"
            )
        places = torch.tensor([list(names).index(name) for name in self.class_names])

        def renumbered(split: Split) -> Split:
            return replace(split, labels=places[split.labels])

        return replace(
            self,
            train=renumbered(self.train),
            held_out=renumbered(self.held_out),
            class_names=tuple(names),
            before_hold_out=self.before_hold_out and self.before_hold_out.with_classes(names),
        )


def _spare_small_classes(share: torch.Tensor, count: torch.Tensor) -> None:
    """Move single images between the shares until none is empty and none is a before_hold_out class."""
    for k in range(len(share)):
        if share[k] == 0:
            share[k] += 1
            share[(share - 1).clamp(min=0).argmax()] -= 1
        if share[k] == count[k] and count[k] > 1:
            share[k] -= 1
            share[(count - share).argmax()] += 1
