"""Nets built to fit a budget: a shape is stretched until it is full."""

from __future__ import annotations

import functools
import re

from netlet.nets import find_net

_WIDTH = re.compile(r"\d+(?:\.\d+)?")


def parameters(notation: str) -> int:
    """How many a net has that is written in one line."""
    return sum(parameter.numel() for parameter in find_net(notation).builder().parameters())


@functools.cache
def fitted(shape: str, below: int) -> str:
    """The widest net of a shape with fewer parameters than a budget allows.

    Args:
        shape: A net in one line with ratios for widths: ``"1 1 P 1.5 1.75 2p 2p"``.
        below: Parameters that it must stay below.

    Returns:
        The net in one line: all widths the same multiple of their ratios, then one channel more,
        from the last layer to the first, again and again wherever that still fits.
    """
    words = shape.split()
    ratios = [float(found[0]) if (found := _WIDTH.search(word)) else None for word in words]

    def line(widths: list[int | None]) -> str:
        return " ".join(
            word if width is None else _WIDTH.sub(str(width), word, count=1)
            for word, width in zip(words, widths, strict=True)
        )

    def scaled(multiple: float) -> list[int | None]:
        return [None if ratio is None else max(1, round(ratio * multiple)) for ratio in ratios]

    widest, multiple = scaled(1), 1.0
    while parameters(line(trial := scaled(multiple))) < below:
        widest, multiple = trial, multiple + 0.25
    layers = [layer for layer in reversed(range(len(words))) if widest[layer] is not None]
    while layers:  # those that may still be widened
        fitting = []
        for layer in layers:
            wider = [*widest]
            wider[layer] = (widest[layer] or 0) + 1
            if parameters(line(wider)) < below:
                widest = wider
                fitting.append(layer)
        layers = fitting
    return line(widest)
