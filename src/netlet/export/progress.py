"""The progress callback of the exports."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str], None]
"""Called with a short text when a phase begins, such as ``compiling``."""


def ignore_progress(phase: str) -> None:
    """Do nothing: the callback if none is given.

    Args:
        phase: What begins.
    """
