"""Say what to write where PyTorch refuses an operation because of a size."""

from __future__ import annotations

import re

_VIEW = re.compile(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)")
_WINDOW = re.compile(
    r"Given input size: \(\d+x(\d+)x(\d+)\)\. Calculated output size: .* too small"
)
_KERNEL = re.compile(
    r"input size per channel: \(([\d x]+)\)\. Kernel size: \(([\d x]+)\)\. "
    r"Kernel size can't be greater"
)
_SUM = re.compile(r"size of tensor a \((\d+)\) must match .* b \((\d+)\) at .* dimension (\d)")
_JOINED = re.compile(r"must match except in dimension 1\. Expected size (\d+) but got size (\d+)")
_AXES = {1: "numbers of channels", 2: "heights", 3: "widths"}
_ROW = 2  # axes: N, features
_SAME_SIZE = (
    "give both the same size: padding=1 keeps it in a 3x3 convolution, and a pooling or stride "
    "reduces it"
)
_WIDER = "remove a pooling or stride before it"


def explain_operation(reason: str, batch: int) -> str:
    """Return why an operation does not fit its input, and what to write; else nothing.

    Args:
        reason: The first line of PyTorch's message.
        batch: The number of images; 0 if it is not known.
    """
    if found := _VIEW.search(reason):
        return _explain_view(found[1], int(found[2]), batch)
    if found := _WINDOW.search(reason):
        return _explain_window(int(found[1]), int(found[2]))
    if found := _KERNEL.search(reason):
        there, kernel = (sizes.replace(" ", "") for sizes in found.groups())
        return (
            f"the kernel of {kernel} is larger than the map of {there} (with padding); use a "
            f"smaller kernel or more padding, or {_WIDER}"
        )
    if found := _SUM.search(reason):
        return _explain_pair("combined", _AXES.get(int(found[3]), "sizes"), found[1], found[2])
    if found := _JOINED.search(reason):
        return _explain_pair("joined", "sizes", found[1], found[2])
    return ""


def joins_values(reason: str) -> bool:
    """Return whether PyTorch's message is about two values that do not fit each other."""
    return bool(_SUM.search(reason) or _JOINED.search(reason))


def _explain_view(shape: str, values: int, batch: int) -> str:
    """Return how many values of an image a view or a reshape has to take.

    Args:
        shape: What the view asks for, such as ``-1, 400``.
        values: The values of all images.
        batch: The number of images.
    """
    sizes = [int(size) for size in shape.split(",")]
    if not batch or values % batch or len(sizes) != _ROW:
        return ""
    each = values // batch
    return (
        f"view or reshape asks for {sizes[1]:,} values of each image, which has {each:,} there; "
        f"write x.flatten(1), and give the layer after it {each:,} input features"
    )


def _explain_window(height: int, width: int) -> str:
    text = f"the window is larger than the map of {height}x{width}; "
    if height == width == 1:
        return f"{text}{_WIDER}"
    return (
        f"{text}use a smaller window, or {_WIDER}; nn.AdaptiveAvgPool2d(1) and "
        "nn.AdaptiveMaxPool2d(1) pool the whole map"
    )


def _explain_pair(verb: str, axes: str, one: str, other: str) -> str:
    remedy = "give both the same number of output channels" if axes == _AXES[1] else _SAME_SIZE
    return f"two values with different {axes} ({one} and {other}) are {verb}; {remedy}"
