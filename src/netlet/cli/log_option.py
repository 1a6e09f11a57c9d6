"""The option ``--log``: where the numbers of each epoch go as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.results import say

if TYPE_CHECKING:
    from netlet.training import LogCallback, Recorder

_NAMES = ("tensorboard", "wandb", "trackio")
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="NAME",
        help="Log each epoch to tensorboard, wandb or trackio as well; may be given several times "
        "(docs/logging.md).",
        autocompletion=lambda: list(_NAMES),
    ),
]


def check_log(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of logs after checking that they can be written.

    Raises:
        TrainingError: There is no such log, its package is not installed, or nobody is logged in.
    """
    if not names:
        return ()
    from netlet.training.logs import check_logs

    check_logs(names)
    return tuple(names)


def log_callbacks(names: Sequence[str] | None, recorder: Recorder) -> list[LogCallback]:
    """Return the callback that logs a run in the folder where it is recorded, if any is asked for.

    Args:
        names: The names that were given.
        recorder: What records the run.
    """
    if not names:
        return []
    from netlet.training import LogCallback

    return [LogCallback(names, recorder)]


def say_logs(callbacks: Sequence[LogCallback]) -> None:
    """Print where a run was logged."""
    for callback in callbacks:
        for place in callback.places:
            say(f"logged to {place}")
