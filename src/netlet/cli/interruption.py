"""Ctrl-C: every command that it ends says so in one line and exits with 130."""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from netlet.cli.results import say

INTERRUPTED = 130  # the exit code
_AGAIN_S = 0.01
# Their C code loses an exception that is raised while it is loaded, or ends the process by it.
_HELD = ("numpy", "torch")
_said = False  # by the command that runs


def begin_command() -> None:
    """Forget what an earlier command in this process has said."""
    global _said
    _said = False


def say_interrupted(text: str) -> None:
    """Print what an interrupted command keeps, and how to go on.

    Args:
        text: One line that begins with ``interrupted``.
    """
    global _said
    _said = True
    say(text)


def end_interrupted() -> None:
    """Print that a command was interrupted, unless it has said so itself."""
    if not _said:
        say("netlet: interrupted")


def catch_every_interrupt() -> None:
    """Let Ctrl-C end this process also where Python or C code would lose it.

    Python drops exceptions that are raised in callbacks, such as those of its import locks; the
    interrupt is then raised again. While PyTorch is imported, it waits.
    """
    dropped = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            dropped(unraisable)
            return
        # Not at once: the callback would lose it again.
        again = threading.Timer(_AGAIN_S, _thread.interrupt_main)
        again.daemon = True
        with contextlib.suppress(RuntimeError):  # the process ends anyway
            again.start()

    sys.unraisablehook = hook
    sys.meta_path.insert(0, _HoldingFinder())


class _HoldingFinder:
    """Finds the modules of ``_HELD`` like the other finders, and lets Ctrl-C wait for their end."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module is imported; None for all others."""
        if name not in _HELD:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)):
                loader: Any = spec.loader
                if loader is not None:  # a folder without code has none
                    loader.exec_module = _hold_interrupt(loader.exec_module)
                return spec
        return None


def _hold_interrupt(load: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    """Return a function that loads a module and only then raises a Ctrl-C that came meanwhile."""

    def held(module: ModuleType) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler) or threading.current_thread() is not threading.main_thread():
            load(module)
            return
        noted: list[FrameType | None] = []
        signal.signal(signal.SIGINT, lambda _, frame: noted.append(frame))
        try:
            load(module)
        finally:
            signal.signal(signal.SIGINT, handler)
        if noted:
            handler(signal.SIGINT, noted[0])

    return held
