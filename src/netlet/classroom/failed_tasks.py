"""Why a submission cannot be graded, and how often its task is tried."""

from __future__ import annotations

from pathlib import Path

from netlet.classroom.stated_files import leave_out_folder
from netlet.errors import NetletError, SandboxError
from netlet.sandbox import Limits

_TRIES = 3  # of a submission whose worker died, or that was stopped because memory was short
_TRIES_IN_TIME = 2  # of one that was too slow: most of these have an infinite loop


def count_tries(error: BaseException) -> int:
    """Return how often a submission that ended like this is tried: others may have caused it."""
    if not isinstance(error, SandboxError) or error.reason == "machine":
        return _TRIES
    return _TRIES_IN_TIME if error.reason == "time" else 1


def was_too_slow(error: BaseException | None) -> bool:
    """Return whether a task was stopped because of its time."""
    return isinstance(error, SandboxError) and error.reason == "time"


def explain_failure(error: BaseException, limits: Limits) -> str:
    """Return why a task that is not tried again has no answer.

    Args:
        error: How its last try ended.
        limits: The limits of the sandbox.
    """
    if was_too_slow(error):
        return (
            f"grading took more than {limits.wall_s:g} s even with no other submission running; "
            "look for an infinite loop or slow code; without one, the teacher's machine may have "
            "been busy: grade again there, or raise --time-limit"
        )
    if isinstance(error, SandboxError):
        return str(error)
    reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
    return f"the worker failed {_TRIES} times ({reason}); grade again"


def explain_error(error: Exception, folder: Path) -> str:
    """Return why a submission has no task, with its files named relative to its folder.

    Args:
        error: What reading its files raised.
        folder: The folder with the copy of its files.
    """
    if isinstance(error, NetletError | OSError):
        return leave_out_folder(str(error), folder)
    return f"netlet failed ({type(error).__name__}: {error}); report this"
