"""Values that a net computes with outside PyTorch: Python numbers, and values of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

# The limits are for a few images: a net may look at each image by itself.
_FEW_IMAGES = 3
# So many different Python numbers are constants of formulas.
_MAX_NUMBERS = 64
# So many values may be read into Python to choose a path, and so many more numbers used then.
_MAX_VALUES_READ, _MAX_CHOICES, _MAX_NEW_NUMBERS = 16, 64, 8
# Reads (``BULK_READS``) after which other code cannot write into the tensor: the arrays are
# made read-only.
_COPIES = ("__array__", "__format__", "__repr__", "numpy", "tolist")


@dataclass(frozen=True)
class _Taken:
    """Values that a net took out of PyTorch, where it may have computed with them."""

    reason: str
    numbers: int  # Python numbers in arithmetic before


class OutsideValues:
    """What a running net does with numbers that the tracer cannot follow."""

    def __init__(self) -> None:
        self.reasons: dict[str, None] = {}  # why the number of weights is unknown, each once
        self._numbers: set[Any] = set()  # in arithmetic
        self._taken: list[_Taken] = []
        self._values_read = self._choices = 0
        self._factor = 1  # of the limits

    def start(self, images: int) -> None:
        """Note how many images run."""
        self._factor = max(1, images // _FEW_IMAGES)

    def note_arguments(self, func: Any, args: Any, kwargs: Any) -> None:
        """Note the Python numbers that an operation computes with."""
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if type(value) is float or (
                type(value) in (int, complex) and argument.type.kind() == "NumberType"
            ):
                self._numbers.add(value)
        self._numbers.update(v for v in kwargs.values() if type(v) is float)

    def note_number(self, tensor: torch.Tensor) -> None:
        """Note a tensor of one number that nothing accounts for."""
        self._numbers.add(tensor.item())

    def note_value_read(self, tensor: torch.Tensor, place: str) -> None:
        """Note that a value computed from the input is read into Python."""
        if tensor.dtype == torch.bool:
            self._choices += 1
        else:
            self._values_read += 1
        if self._choices > _MAX_CHOICES * self._factor:
            self.reasons[describe_outside("item", place)] = None
        if self._values_read == _MAX_VALUES_READ * self._factor + 1:
            self._taken.append(_Taken(describe_outside("item", place), len(self._numbers)))

    def note_bulk_read(self, method: str, place: str) -> None:
        """Note that values computed from the input are taken out, as ``x.numpy()`` does."""
        reason = describe_outside(method, place)
        if method in _COPIES:
            self._taken.append(_Taken(reason, len(self._numbers)))
        else:  # other code can write into the tensor
            self.reasons[reason] = None

    def finish(self, *, has_sources: bool) -> int:
        """Take everything into account, after the run.

        Args:
            has_sources: Whether the net reads numbers that nothing accounts for.

        Returns:
            How many Python numbers count as weights.
        """
        for taken in self._taken:
            # Values that were only looked at do no harm.
            used = len(self._numbers) > taken.numbers + _MAX_NEW_NUMBERS * self._factor
            if has_sources or used:
                self.reasons[taken.reason] = None
        return len(self._numbers) if len(self._numbers) > _MAX_NUMBERS * self._factor else 0


def describe_outside(method: str, place: str) -> str:
    """Return why the number of weights is unknown if values leave PyTorch."""
    return f"values leave PyTorch by {method}(){in_module(place)}"


def in_module(place: str) -> str:
    """Return `` in conv1`` for a part of the net, and nothing for the net itself."""
    return "" if place == "(net)" else f" in {place}"
