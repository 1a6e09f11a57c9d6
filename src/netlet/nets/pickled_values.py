"""Stand-ins for what training scripts store beside the weights, so that it is read as data.

``torch.load(..., weights_only=True)`` refuses what it does not know: a NumPy number, the options
of the script, a path. In its place these classes are made. They are netlet's own and do nothing, so
no code of the file, of NumPy or of another package runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Self

import numpy as np

_NUMBER = re.compile(r"[biufc]\d{1,2}")  # a dtype of numbers, as NumPy stores its name


class StandIn:
    """An object of another class, without its content."""

    def __new__(cls, *_: object) -> Self:
        """Return a new one, whatever it was made with."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        """Ignore what it was made with."""

    def __setstate__(self, state: object) -> None:
        """Ignore what it held."""


class StandInDtype(StandIn):
    """A NumPy dtype: its name and byte order."""

    def __init__(self, name: object = "", *_: object) -> None:
        """Keep the name."""
        self.name, self.order = str(name), "="

    def __setstate__(self, state: object) -> None:
        """Keep the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = str(state[1])


def read_number(dtype: object = None, content: object = b"") -> Any:
    """Return a NumPy scalar as a Python number; None for one of another kind, such as text."""
    if not isinstance(dtype, StandInDtype) or not isinstance(content, bytes):
        return None
    if not _NUMBER.fullmatch(dtype.name):
        return None
    try:
        return np.frombuffer(content, np.dtype(dtype.order + dtype.name), count=1)[0].item()
    except (TypeError, ValueError):  # no such dtype, or too few bytes
        return None


def make_dict(*_: object) -> dict[Any, Any]:
    """Return a dict in place of a ``defaultdict``; its items follow in the file."""
    return {}


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_NUMPY_TYPES = (
    *("bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "ndarray"),
)
_STAND_INS = (
    *("argparse.Namespace", "types.SimpleNamespace"),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"numpy.{name}" for name in _NUMPY_TYPES),
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")),
)

# What ``torch.serialization.safe_globals`` takes: what is made, and in place of what.
READ_AS_DATA: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((StandIn, name) for name in _STAND_INS),
    (StandInDtype, "numpy.dtype"),
    (make_dict, "collections.defaultdict"),
    *((read_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((StandIn, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
