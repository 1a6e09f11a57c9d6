"""What the numbers of a tensor have been computed from: labels, and the sources in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from netlet.nets.registered import count_numbers


@dataclass(eq=False)
class Source:
    """Numbers that a net reads.

    Attributes:
        kind: ``parameter``, which counts as one, ``buffer``, ``stored`` anywhere else, ``packed``
            (more numbers than their tensor has), or ``random``.
        tensor: It; None if it is not known.
        numbers: How many it holds.
    """

    kind: str
    tensor: torch.Tensor | None
    numbers: int


@dataclass(frozen=True)
class Label:
    """Where the numbers of a tensor come from.

    Attributes:
        active: Whether they have been computed from the input.
        sources: What else they have been computed from, and how many of its numbers.
    """

    active: bool = False
    sources: Mapping[Source, int] = field(default_factory=dict)


def label_stored(tensor: torch.Tensor, images: int = 0) -> Label:
    """Return the label of numbers that nothing accounts for.

    Args:
        tensor: It has them.
        images: How many run. A tensor with a row for each counts as one row, so that a result of
            what nothing sees does not grow with the batch.
    """
    numbers = count_stored(tensor)
    if not tensor.is_nested and torch._C.TensorBase.size(tensor)[:1] == (images,):
        numbers //= images
    return Label(sources={Source("stored", tensor, numbers): numbers} if numbers else {})


def label_drawn(tensor: torch.Tensor | None, images: int) -> Label:
    """Return the label of random numbers, of which some may be for each of the images."""
    numbers = 0 if tensor is None else count_numbers([tensor])
    if tensor is not None and images in tensor.shape:
        numbers //= images
    return Label(sources={Source("random", tensor, numbers): numbers} if numbers > 1 else {})


def label_registered(tensor: torch.Tensor, kind: str) -> Label:
    """Return the label of a parameter or a buffer of the net; its ``kind`` says which."""
    numbers, own = count_stored(tensor), count_numbers([tensor])
    if kind == "buffer":
        # Zeros are no weights, as first states of a recurrent layer.
        return Label(sources={} if is_zero(tensor) else {Source(kind, tensor, numbers): numbers})
    sources = {Source(kind, tensor, own): own}
    if numbers > own:
        sources[Source("packed", tensor, numbers - own)] = numbers - own
    return Label(sources=sources)


def join_labels(labels: Sequence[Label]) -> Label:
    """Return the label of what has been computed from numbers with these labels."""
    sources: dict[Source, int] = {}
    for label in labels:
        for source, numbers in label.sources.items():
            # Two parts of a tensor may have come together.
            sources[source] = min(source.numbers, numbers + sources.get(source, 0))
    return Label(any(label.active for label in labels), sources)


def capacity(tensor: torch.Tensor) -> int:
    """Return how many numbers a tensor can hold at most; integers may hold one in each byte."""
    numbers = count_numbers([tensor])
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        return numbers
    return numbers * int(tensor.element_size())


def count_stored(tensor: torch.Tensor) -> int:
    """Return how many numbers a tensor holds: integers one in each byte that their values need."""
    most, numbers = capacity(tensor), count_numbers([tensor])
    if most == numbers or tensor.is_complex() or tensor.layout is not torch.strided:
        return most
    try:
        low, high = (int(value) for value in torch.aminmax(tensor.detach()))
    except (RuntimeError, NotImplementedError):  # their values cannot be read
        return most
    for bytes_ in (1, 2, 4):
        half = 1 << (8 * bytes_ - 1)
        if -half <= low and high < (2 * half if low >= 0 else half):
            return min(most, numbers * bytes_)
    return most


def is_one_number(tensor: torch.Tensor) -> bool:
    """Return whether a tensor holds one number, which may be read at no cost."""
    readable = tensor.device.type == "cpu" and tensor.layout is torch.strided
    return readable and count_numbers([tensor]) == 1


def is_zero(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is known to have no number but zeros."""
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        return False
    try:
        return not bool(tensor.detach().count_nonzero())
    except (RuntimeError, NotImplementedError):  # of a rare type
        return False
