"""The warnings that a net's run raises, each with the run of the module that raised it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from netlet.errors import NetletWarning
from netlet.graph.module_runs import ModuleRun

_SHOWN_LETTERS = 300
# Where in PyTorch's C++ code a warning was raised.
_ORIGIN = re.compile(r"\s*\(Triggered internally at [^)]*\)")
# Of a warning about the hooks of the tracer.
_ABOUT_HOOKS = "when there are global hooks on modules"
RaisedWarning = tuple[ModuleRun, str]


@contextmanager
def collect_warnings(current: Callable[[], ModuleRun]) -> Iterator[list[RaisedWarning]]:
    """Collect warnings within the block instead of showing them; netlet's own are shown.

    Args:
        current: Returns the run of the module that runs.
    """
    found: dict[tuple[int, str], RaisedWarning] = {}
    collected: list[RaisedWarning] = []
    always = torch.is_warn_always_enabled()
    with warnings.catch_warnings():
        otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if issubclass(category, NetletWarning):
                otherwise(message, category, *rest)
                return
            if _ABOUT_HOOKS in str(message):
                return
            run, text = current(), _shorten(str(message))
            found.setdefault((id(run.module), text), (run, text))

        for category in (UserWarning, FutureWarning):
            warnings.simplefilter("always", category)
        warnings.showwarning = show  # type: ignore[assignment]
        torch.set_warn_always(True)  # PyTorch raises some only once in a process
        try:
            yield collected
        finally:
            torch.set_warn_always(always)
            collected += found.values()


def _shorten(message: str) -> str:
    """Return a warning in one line, without the place in PyTorch's own code."""
    text = " ".join(_ORIGIN.sub("", message).split())
    return text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}..."
