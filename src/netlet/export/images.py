"""Which images an export is held against its net on, and which an int8 one is calibrated by."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from netlet.data import Dataset, Split, make_scribble
from netlet.errors import ShipError
from netlet.export.agreement import STAND_IN
from netlet.export.trained_model import TrainedModel

_FEWEST = 1_000  # images that an export is held against its net on, if there are so many
_CALIBRATING = 1_000
_DIGITS = ("mnist", "qmnist", "scribble")
_SEED = 7_000  # of their choice


def images_to_compare(origin: TrainedModel, known: Dataset | None) -> tuple[str, Split]:
    """The images to hold an export against its net on, and what they are called.

    Args:
        origin: The net.
        known: What it was taught on, if that is at hand, filled up from ``train`` where it holds
            out fewer than a thousand; else ``scribble``'s digits, as large as the net takes images.

    Raises:
        ShipError: The images are of another shape, or of other classes, than the net's.
    """
    if known is None:
        drawn = _drawn(origin, seed=0)
        if tells_digits(origin):
            return "scribble test", drawn
        return "scribble", Split(STAND_IN, drawn.images, drawn.labels)
    _of_its_kind(origin, known)
    judge = known.held_out
    if len(judge) >= _FEWEST:
        return f"{known.name} {judge.name}", judge
    more = _some_of(known.train, _FEWEST - len(judge))
    whole = Split(
        f"{judge.name} and train",
        torch.cat([judge.images, more.images]),
        torch.cat([judge.labels, more.labels]),
    )
    return f"{known.name} {judge.name} and train", whole


def images_to_calibrate(origin: TrainedModel, known: Dataset | None) -> tuple[str, torch.Tensor]:
    """A thousand training images, uint8 ``N C H W``, and what they are called.

    Args:
        origin: The net.
        known: As above.

    Raises:
        ShipError: As above, or there are none that are like what the net was taught on.
    """
    if known is None and not tells_digits(origin):
        raise ShipError(
            f"{origin.trained.name}: int8 is calibrated and judged by images of what a net was taught on, and these "
            "are not at hand; name them with --dataset"
        )
    if known is None:
        return "scribble train", _drawn(origin, seed=1).images
    _of_its_kind(origin, known)
    return f"{known.name} train", _some_of(known.train, _CALIBRATING).images


def tells_digits(origin: TrainedModel) -> bool:
    """Whether drawn digits are like what a net was taught on; of a net without a record they are taken to be."""
    run = origin.trained.run
    return run is None or run.data["name"] in _DIGITS


def _some_of(split: Split, number: int) -> Split:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(_SEED))
    return split.take(order[:number])


def _of_its_kind(origin: TrainedModel, known: Dataset) -> None:
    if known.shape != origin.graph.shape or known.classes != origin.graph.classes:
        takes, has = ("x".join(map(str, shape)) for shape in (origin.graph.shape, known.shape))
        raise ShipError(
            f"{known.name} has images of {has} in {known.classes} classes, {origin.trained.name} takes {takes} and "
            f"tells {origin.graph.classes}; name what it was taught on with --dataset"
        )


def _drawn(origin: TrainedModel, seed: int) -> Split:
    drawn = make_scribble(_FEWEST, _FEWEST, seed).held_out
    c, h, w = origin.graph.shape
    images = (
        F.interpolate(drawn.images.float(), (h, w)).round().to(torch.uint8).expand(-1, c, -1, -1)
    )
    return Split(drawn.name, images.contiguous(), drawn.labels)
