"""Which device trains, and settings under which a CUDA device repeats a training to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def find_device(device: torch.device | str | None = None) -> torch.device:
    """Return a device: the one that is named, else CUDA if available, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def use_repeatable_kernels(device: torch.device) -> Iterator[None]:
    """Let cuDNN choose only kernels that repeat their results, and full float32, within the block.

    TF32 is off: for small maps, the conversions to its memory layout take longer than it saves.

    Args:
        device: Nothing happens on others than CUDA.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled,
        benchmark=False,
        deterministic=True,
        allow_tf32=False,
    ):
        yield
