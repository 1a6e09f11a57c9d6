"""Nets that fill a budget: the widths of a shape are scaled up until nothing more fits."""

from __future__ import annotations

import functools
import re

from netlet.nets import find_net

_WIDTH = re.compile(r"\d+(?:\.\d+)?")


def count_parameters(notation: str) -> int:
    """Return the number of parameters of a net in one line."""
    return sum(parameter.numel() for parameter in find_net(notation).builder().parameters())


@functools.cache
def fit_widths(shape: str, below: int) -> str:
    """Return the widest net of a shape with fewer parameters than a limit.

    All widths are scaled by the same factor. Then layers get one more channel each, from the last
    to the first, as long as the net stays below the limit.

    Args:
        shape: A net in one line with ratios instead of widths: ``"1 1 P 1.5 1.75 2p 2p"``.
        below: Limit on parameters.

    Returns:
        The net in one line.
    """
    words = shape.split()
    ratios = [float(found[0]) if (found := _WIDTH.search(word)) else None for word in words]

    def write(widths: list[int | None]) -> str:
        return " ".join(
            word if width is None else _WIDTH.sub(str(width), word, count=1)
            for word, width in zip(words, widths, strict=True)
        )

    def scale(factor: float) -> list[int | None]:
        return [None if ratio is None else max(1, round(ratio * factor)) for ratio in ratios]

    widest, factor = scale(1), 1.0
    while count_parameters(write(trial := scale(factor))) < below:
        widest, factor = trial, factor + 0.25
    layers = [layer for layer in reversed(range(len(words))) if widest[layer] is not None]
    while layers:  # those that may still be widened
        fitting = []
        for layer in layers:
            wider = [*widest]
            wider[layer] = (widest[layer] or 0) + 1
            if count_parameters(write(wider)) < below:
                widest = wider
                fitting.append(layer)
        layers = fitting
    return write(widest)
