"""Ctrl-C: every command that it ends says so in one line and exits with 130."""

from __future__ import annotations

from netlet.cli.results import say

INTERRUPTED = 130  # the exit code
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
