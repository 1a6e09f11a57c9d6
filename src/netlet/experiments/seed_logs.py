"""Log the seeds of a study, a run for each, while they are trained elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from netlet.experiments.events import WorkerEvent
from netlet.experiments.seeds import run_folder
from netlet.records import Epoch, RunConfig, epochs_from_json
from netlet.training.logs import LoggedRun, RunLog, check_logs, describe_recipe


class SeedLogs:
    """A listener that logs the epochs of each seed, as they arrive with its checkpoints.

    A log that fails is given up with a warning; one that cannot be opened, for all seeds.

    Args:
        names: ``tensorboard``, ``wandb`` or ``trackio``, or several of them.
        config: The run that is trained; its seed is ignored.
        folder: The folder of the study.

    Raises:
        TrainingError: There is no such log, its package is not installed, or nobody is logged in.
    """

    def __init__(self, names: str | Sequence[str], config: RunConfig, folder: Path) -> None:
        self._names = (names,) if isinstance(names, str) else tuple(names)
        check_logs(self._names)
        self._config, self._folder = config, folder
        self._logs: dict[int, RunLog] = {}  # those that are open
        self._not_opened: set[str] = set()

    def __call__(self, event: WorkerEvent) -> None:
        """Write the epochs that an event has brought."""
        if event.lines:
            if event.seed not in self._logs:
                describe = partial(self._describe, event.seed)
                self._logs[event.seed] = RunLog(self._names, describe, self._not_opened)
            self._logs[event.seed].write(_read_epochs(event.lines))
        if (event.finished or event.error) and (log := self._logs.pop(event.seed, None)):
            log.close()

    def close(self) -> None:
        """Finish the logs of all seeds."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def _describe(self, seed: int) -> LoggedRun:
        config = self._config
        settings = describe_recipe(
            config.recipe,
            experiment=config.name,
            net=config.net,
            seed=seed,
            data=config.data["name"],
        )
        place = run_folder(self._folder, seed)
        return LoggedRun(f"{config.name}-seed{seed}", config.name, place, settings)


def _read_epochs(lines: str) -> tuple[Epoch, ...]:
    values = [json.loads(line) for line in lines.splitlines()]
    for one in values:
        del one["data"]  # its name, which is not part of an epoch
    return epochs_from_json(values)
