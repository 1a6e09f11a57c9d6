"""What the input of an export is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlet.data import DATASET_NAMES, public_name

if TYPE_CHECKING:
    from netlet.experiments import TrainedNet


def describe_levels(channels: int, highest: int = 255) -> str:
    """Return what an image consists of: ``gray levels 0 to 255``, or those of each color.

    Args:
        channels: The number of channels.
        highest: The highest level.
    """
    if channels == 1:
        return f"gray levels 0 to {highest}"
    which = "red, then green, then blue" if channels == 3 else f"{channels} channels"
    return f"levels 0 to {highest} of {which}"


def describe_pixels(channels: int, *, bright: bool) -> str:
    """Return the order of the pixels of an image in C, and what they are.

    Args:
        channels: The number of channels.
        bright: Whether gray images are bright on dark.
    """
    if channels == 1:
        return f"{describe_levels(channels)}, {'bright on dark, ' * bright}row by row"
    return f"{describe_levels(channels)}; one channel after the other, each row by row"


def describe_pixels_of(net: TrainedNet) -> str:
    """Return the order of the pixels of a net's images in C, and what they are.

    Gray images are bright on dark if they are those of a public data set or, of weights without a
    record, if their classes are the ten digits.

    Args:
        net: The net.
    """
    digits = set(net.class_names) == set("0123456789")
    bright = is_bright_on_dark(net.run.data["name"]) if net.run else digits
    return describe_pixels(net.shape[0], bright=bright)


def is_bright_on_dark(data: str) -> bool:
    """Return whether the gray images of a data set are known to be bright on dark.

    Args:
        data: The name of the data set.
    """
    return public_name(data) in DATASET_NAMES
