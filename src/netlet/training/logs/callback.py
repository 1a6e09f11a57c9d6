"""The callback that logs a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from netlet.files import safe_name
from netlet.records import Epoch, to_json_value
from netlet.training.callbacks import Callback, Plan
from netlet.training.logs.run_log import RunLog, check_logs
from netlet.training.logs.values import LoggedRun, describe_recipe
from netlet.training.recorder import Recorder

FOLDER = Path("logs")  # of runs that are not recorded


class LogCallback(Callback):
    """Logs each epoch of a training, and its recipe.

    A log that fails is given up with a warning; the training goes on.

    Args:
        names: ``tensorboard``, ``wandb`` or ``trackio``, or several of them.
        place: The folder of the run, or what records it there; None: ``logs/NAME-seedN``, or the
            next free name (``-2``, ``-3``).

    Raises:
        TrainingError: There is no such log, its package is not installed, or nobody is logged in.
    """

    def __init__(
        self,
        names: str | Sequence[str],
        place: Path | Recorder | None = None,
    ) -> None:
        self._names = (names,) if isinstance(names, str) else tuple(names)
        check_logs(self._names)
        self._place = place
        self._log: RunLog | None = None

    @property
    def places(self) -> list[str]:
        """Where the numbers go, in words; empty before the first epoch."""
        return self._log.places if self._log is not None else []

    def _facts(self) -> Mapping[str, object]:
        return {"names": self._names}

    def on_start(self, plan: Plan) -> None:
        """Take note of the run; its logs are opened with the first epoch."""
        self._log = RunLog(self._names, lambda: self._describe(plan))

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Write the epoch, after a resume also those before it."""
        assert self._log is not None
        self._log.write(epochs)

    def on_end(self) -> None:
        """Finish the logs."""
        if self._log is not None:
            self._log.close()

    def _describe(self, plan: Plan) -> LoggedRun:
        settings = describe_recipe(
            to_json_value(plan.recipe),
            experiment=plan.name,
            seed=plan.seed,
            data=plan.data,
            device=plan.device,
            precision=plan.precision,
        )
        name = f"{plan.name}-seed{plan.seed}"
        folder = self._place.folder if isinstance(self._place, Recorder) else self._place
        return LoggedRun(name, plan.name, folder or _free_folder(name), settings)


def _free_folder(name: str) -> Path:
    """Return a folder for the log of a run that is not recorded, which does not exist yet."""
    first = FOLDER / (safe_name(name) or "run")
    number, folder = 2, first
    while folder.exists():
        folder = first.with_name(f"{first.name}-{number}")
        number += 1
    return folder
