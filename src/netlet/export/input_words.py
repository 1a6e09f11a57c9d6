"""What the input of an export is, in words."""

from __future__ import annotations


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


def describe_pixels(channels: int) -> str:
    """Return the order of the pixels of an image in C, and what they are."""
    if channels == 1:
        return f"{describe_levels(channels)}, bright on dark, row by row"
    return f"{describe_levels(channels)}; one channel after the other, each row by row"
