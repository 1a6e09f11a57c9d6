"""Explain failures of the device, such as a CUDA error or exhausted memory, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from netlet.errors import NetError, first_line

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
OUT_OF_MEMORY = "the device ran out of memory"
OTHER_DEVICE = "use a smaller net, smaller batches or another device"
_NO_DEVICE = re.compile(r"device string: '?([^'\n]*)")  # a misspelled name: .to("gpu")
_MIXED_DEVICES = ("same device", "weight type")
_NO_CUDA = (
    "not compiled with cuda",
    "no nvidia driver",
    "no cuda gpus",
    "torch.cuda.is_available() is false",  # weights of another machine
)
_CUDA = ("cuda", "cudnn", "cublas", "nvidia")
_ERRORS = (RuntimeError, AssertionError)  # PyTorch without CUDA raises the latter


def describe_device_error(error: BaseException) -> str | None:
    """Return what went wrong with the device, and the remedy; None for any other error.

    PyTorch reports exhausted memory, a missing driver and failed CUDA calls as errors of several
    types, so the messages are compared. A KeyError or FileNotFoundError may name CUDA as well.

    Args:
        error: The exception that a net raised.
    """
    if not isinstance(error, _ERRORS):
        return None
    reason = first_line(error).rstrip(".")
    text = str(error).lower()
    if name := _NO_DEVICE.search(str(error)):
        return (
            f'there is no device {name[1]!r}; write "cuda" if torch.cuda.is_available() else "cpu"'
        )
    if any(words in text for words in _OUT_OF_MEMORY):
        return f"{OUT_OF_MEMORY} ({reason}); {OTHER_DEVICE}"
    if "cuda" in text and any(words in text for words in _MIXED_DEVICES):
        return f"tensors are on different devices ({reason}); use the device of the net's input"
    if any(words in text for words in _NO_CUDA):
        return f"CUDA is not available ({reason}); use the CPU, also inside the net"
    if isinstance(error, RuntimeError) and any(word in text for word in _CUDA):
        return f"the CUDA device failed ({reason}); set CUDA_VISIBLE_DEVICES= to run on the CPU"
    return None


@contextmanager
def explain_device_errors() -> Iterator[None]:
    """Turn a failure of the device within the block into an error of one line with a remedy.

    Raises:
        NetError: CUDA failed, or the device ran out of memory.
    """
    try:
        yield
    except _ERRORS as error:
        message = describe_device_error(error)
        if message is None:
            raise
        raise NetError(message) from error
