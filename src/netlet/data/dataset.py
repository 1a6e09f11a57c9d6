"""A data set in memory: uint8 images, their labels, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import torch

from netlet.data.class_names import match_classes
from netlet.data.selection import choose_fold, choose_stratified, fewest_images
from netlet.data.split import Split
from netlet.display import Displayed
from netlet.errors import DataError, check_type
from netlet.records.data_contradictions import CLASS_NAMES, HELD_OUT, checksum_of_class_names
from netlet.records.values import DataDescription
from netlet.text import count_noun, to_unicode

# Fixed, so that "val" means the same images in every record.
HOLD_OUT_SEED = 5_000
_TAKE_SEED = 6_000
_DRAWS = 10**18  # of either sign: what a record can hold


@dataclass(frozen=True)
class Dataset(Displayed):
    """Images for training and images for scoring.

    ``held_out`` is ``test``, or ``val`` after :meth:`hold_out`. In the latter case the data set no
    longer contains ``test``, so that nothing can look at it by accident.

    Args:
        name: The name shown to people. That of a user's folder ends in a slash, so that it cannot
            be mistaken for a public data set. Bytes of it, or of a class name, that are not UTF-8
            are escaped.
        train: The images to train on.
        held_out: The images that give the score.
        class_names: The names of the classes, in the order of the labels.
        checksums: MD5 of each file's raw content, or SHA-256 of each split if there are no such
            files. If there are none, those of the splits are computed. Another draw than the
            first, or a fold, is added to them when it is held out.
        before_hold_out: The data set from which a validation split was held out, if one was.
        left_out: The entries of a folder besides its images, one text for each kind.
        measured: The splits that the checksums are of; None: ``train`` and ``held_out``.
        original_labels: The labels that its classes have now, in the order of those that the
            checksums are of, if :meth:`with_classes` has renumbered them.
        held_out_on_loading: Whether ``held_out`` is a part of ``train`` for lack of other images to
            score: holding out replaces it.
    """

    name: str
    train: Split
    held_out: Split
    class_names: tuple[str, ...]
    checksums: Mapping[str, str] = field(default_factory=dict)
    before_hold_out: Dataset | None = field(default=None, repr=False, compare=False)
    left_out: tuple[str, ...] = field(default=(), repr=False, compare=False)
    measured: tuple[Split, Split] | None = field(default=None, repr=False, compare=False)
    original_labels: tuple[int, ...] | None = field(default=None, repr=False, compare=False)
    held_out_on_loading: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the names valid Unicode, and check that each label belongs to a class.

        Raises:
            DataError: With the split and the range of its labels.
        """
        if not self.checksums:
            checksums = {split.name: split.sha256() for split in (self.train, self.held_out)}
            object.__setattr__(self, "checksums", checksums)
            object.__setattr__(self, "original_labels", None)
        if self.measured is None:
            object.__setattr__(self, "measured", (self.train, self.held_out))
        object.__setattr__(self, "name", to_unicode(self.name))
        object.__setattr__(self, "class_names", tuple(map(to_unicode, self.class_names)))
        for split in (self.train, self.held_out):
            if (
                len(split)
                and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < self.classes
            ):
                raise DataError(
                    f"{self.name}, {split.name}: expected labels 0 to {self.classes - 1}, "
                    f"found {int(split.labels.min())} to {int(split.labels.max())}; number the "
                    "classes from 0, and name each in class_names"
                )

    @property
    def classes(self) -> int:
        """The number of classes, ``K``."""
        return len(self.class_names)

    @property
    def is_measured(self) -> bool:
        """Whether the checksums are those of its images: ``dataclasses.replace`` keeps them."""
        assert self.measured is not None
        train, held_out = self.measured
        # Whoever must not see the test images may leave them out.
        return self.train is train and (self.held_out is held_out or not len(self.held_out))

    @property
    def digest(self) -> str:
        """The SHA-256 of all checksums, equal for equal data.

        Images held out of ``train`` leave it as it is, unless they are another draw or a fold.
        """
        lines = "".join(f"{name} {checksum}\n" for name, checksum in sorted(self.checksums.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape ``C H W`` of one image."""
        c, h, w = self.train.images.shape[1:]
        return c, h, w

    def describe(self) -> DataDescription:
        """Return what records store about the data set, as plain values for JSON."""
        described: DataDescription = {
            "name": self.name,
            "classes": self.classes,
            "shape": list(self.shape),
            "images": {split.name: len(split) for split in (self.train, self.held_out)},
            "class_names": list(self.class_names),
            "checksums": dict(self.checksums),
            "digest": self.digest,
        }
        if self.train.has_light_background:
            described["light_background"] = True
        return described

    def split(self, name: str) -> Split:
        """Return the split with this name; ``test`` too, where images are held out of ``train``.

        Raises:
            DataError: There is none.
        """
        splits = [self.train, self.held_out]
        splits += [self.before_hold_out.held_out] if self.before_hold_out else []
        for split in splits:
            if split.name == name:
                return split
        *others, last = (split.name for split in splits)
        raise DataError(f"{self.name} has no split {name!r}; it has {', '.join(others)} and {last}")

    def with_channels(self, channels: int) -> Dataset:
        """Repeat gray images for a net with color input.

        Raises:
            DataError: The images have another number of channels, and are not gray.
        """
        if self.shape[0] == channels:
            return self
        if self.shape[0] != 1:
            raise DataError(
                f"{self.name}: its {self.shape[0]} channels cannot become {channels}, only gray "
                f"images can be repeated; use a net for {self.shape[0]} channels, and leave out "
                "--channels if given"
            )

        def repeat(split: Split) -> Split:
            return replace(split, images=split.images.expand(-1, channels, -1, -1).contiguous())

        original = self.before_hold_out and self.before_hold_out.with_channels(channels)
        train, held_out = repeat(self.train), repeat(self.held_out)
        return self._convert(train, held_out, before_hold_out=original)

    def hold_out(self, images: int, draw: int = 0) -> Dataset:
        """Hold a stratified validation split out of ``train``; it replaces ``test``.

        The images do not depend on the order that :meth:`with_classes` gives the classes.

        Args:
            images: Number of images to hold out. Each class keeps at least one image in either
                split.
            draw: A number that selects the images: the same number gives the same images. Scoring
                on several draws makes a comparison more reliable than scoring on one.

        Returns:
            A data set whose ``held_out`` is called ``val`` and that no longer contains ``test``.

        Raises:
            TypeError: A number is not a whole number.
            DataError: A number is out of range, or images have been held out before.
        """
        _check_number(images, "the number of images to hold out", 10_000)
        _check_number(draw, "draw", 1)
        if (original := self._whole().with_original_labels()) is not self:
            return original.hold_out(images, draw).with_classes(self.class_names)
        if not -_DRAWS < draw < _DRAWS:
            raise DataError(f"draw={draw} is out of range; choose a number of at most 18 digits")
        n, classes = len(self.train), self._count_classes()
        if not classes <= images <= n - classes:
            raise DataError(
                f"val={images} of {n:,} training images is out of range; "
                f"choose {classes} to {n - classes:,}, "
                f"for instance {max(classes, n // 12):,}"
            )
        chosen = choose_stratified(self.train.labels, images, HOLD_OUT_SEED + int(draw))
        return self._hold_out(chosen, f"draw {draw:d}" if draw else "")

    def take(self, images: int) -> Dataset:
        """Return a data set with fewer training images, for quick trials.

        Args:
            images: Number of images to keep of ``train``, in the same proportions of the classes.
                The same number keeps the same images.

        Returns:
            It; its name says how many they are, so that no budget for the whole data set judges it.

        Raises:
            TypeError: The number of images is not a whole number.
            DataError: It is out of range.
        """
        _check_number(images, "the number of images to keep", 10_000)
        if (original := self.with_original_labels()) is not self:
            return original.take(images).with_classes(self.class_names)
        n, classes = len(self.train), self._count_classes()
        if not classes <= images < n:
            raise DataError(
                f"{images} of {n:,} training images is out of range; choose {classes} to {n - 1:,}"
            )
        kept = choose_stratified(self.train.labels, images, _TAKE_SEED).sort().values
        name = f"{self.name}, {images:,} training images"
        train = self.train.take(kept)
        return Dataset(name, train, self.held_out, self.class_names, left_out=self.left_out)

    def hold_out_fold(self, fold: int, folds: int) -> Dataset:
        """Hold one of several disjoint parts out of ``train``; it replaces ``test``.

        The parts together are all of ``train``. They differ by at most one image in size, and by
        at most one in each class, and do not depend on the order of the classes.

        Args:
            fold: The part to hold out, from 0 to ``folds - 1``.
            folds: The number of parts.

        Returns:
            A data set whose ``held_out`` is called ``val`` and that no longer contains ``test``.

        Raises:
            TypeError: A number is not a whole number.
            DataError: A number is out of range, or images have been held out before.
        """
        _check_number(fold, "fold", 0)
        _check_number(folds, "folds", 5)
        if (original := self._whole().with_original_labels()) is not self:
            return original.hold_out_fold(fold, folds).with_classes(self.class_names)
        fewest = fewest_images(self.train.labels)
        if not 2 <= folds <= fewest:
            raise DataError(
                f"{folds} folds of {self.name} are out of range: the smallest class has "
                f"{count_noun(fewest, 'image')}; choose 2 to {max(2, fewest):,} folds"
            )
        if not 0 <= fold < folds:
            raise DataError(f"fold {fold} does not exist; choose 0 to {folds - 1}")
        chosen = choose_fold(self.train.labels, fold, folds, HOLD_OUT_SEED)
        return self._hold_out(chosen, f"fold {fold:d} of {folds:d}")

    def _whole(self) -> Dataset:
        """Return the data set whose training images are all that there are to hold out of.

        Raises:
            DataError: Somebody has held images out of it, which must not be trained on.
        """
        if self.before_hold_out is None or self.held_out_on_loading:
            return self.before_hold_out or self
        raise DataError(
            f"{self.name} already holds {count_noun(len(self.held_out), 'training image')} out; "
            "score on these, or hold out of data.before_hold_out"
        )

    def _count_classes(self) -> int:
        """Return the number of classes that have training images."""
        return len(self.train.labels.unique())

    def _hold_out(self, index: torch.Tensor, how: str) -> Dataset:
        """Hold the images with these indices out of ``train``.

        Args:
            index: The indices.
            how: How they were chosen; empty: as :meth:`hold_out` does by default.
        """
        chosen = index.sort().values
        keep = torch.ones(len(self.train), dtype=torch.bool)
        keep[chosen] = False
        train, val = self.train.take(keep.nonzero()[:, 0]), self.train.take(chosen, "val")
        # Earlier records do not say how, so those of the default must not say it either.
        checksums = {**self.checksums, HELD_OUT: how} if how else self.checksums
        return self._convert(train, val, before_hold_out=self, checksums=checksums)

    def _convert(self, train: Split, held_out: Split, **changes: Any) -> Dataset:
        """Return other splits of the same images, unless those are others than were measured."""
        measured = (train, held_out) if self.is_measured else self.measured
        return replace(self, train=train, held_out=held_out, measured=measured, **changes)

    def with_classes(self, names: Sequence[str]) -> Dataset:
        """Renumber the labels to match another list of classes, by name.

        Args:
            names: All classes of the data set; the list may have more.

        Raises:
            DataError: A class is not in the list, or two classes have one name.
        """
        if tuple(names) == self.class_names:
            return self
        places = torch.tensor(match_classes(self.name, self.class_names, names))

        def renumber(split: Split) -> Split:
            return replace(split, labels=places.to(split.labels.device)[split.labels])

        original = self.before_hold_out and self.before_hold_out.with_classes(names)
        train, held_out = renumber(self.train), renumber(self.held_out)
        labels = places[list(self.original_labels or range(self.classes))].tolist()
        changes = {"class_names": tuple(names), "original_labels": tuple(labels)}
        changed = self._convert(train, held_out, before_hold_out=original, **changes)
        return changed.measure_class_names()

    def with_original_labels(self) -> Dataset:
        """Return a data set with the labels that the checksums are of, as before renumbering.

        Images are chosen by these labels: a record has the checksums of them, and must mean the
        same images in whatever order its classes are.
        """
        first = self.original_labels or ()
        order = [*first, *(label for label in range(self.classes) if label not in first)]
        return self.with_classes([self.class_names[label] for label in order])

    def measure_class_names(self) -> Dataset:
        """Return a data set whose checksum of the names of the classes, if any, is of its own."""
        checksum = checksum_of_class_names(self.class_names)
        if self.checksums.get(CLASS_NAMES, checksum) == checksum:
            return self
        return replace(self, checksums={**self.checksums, CLASS_NAMES: checksum})

    def _facts(self) -> Mapping[str, object]:
        return {
            "name": self.name,
            "shape": self.shape,
            "classes": self.classes,
            "images": {split.name: len(split) for split in (self.train, self.held_out)},
        }


def _check_number(value: object, what: str, example: int) -> None:
    check_type(value, Integral, what, f"a whole number, like {example}")
