"""Log the trials of a search, a run for each, when they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netlet.experiments.search.engine import TrialEvent
from netlet.files import safe_name
from netlet.training.logs import LoggedRun, RunLog, check_logs, describe_recipe


class TrialLogs:
    """A listener that logs the epochs of each trial that has a result.

    A log that fails is given up with a warning; one that cannot be opened, for all trials.

    Args:
        names: ``tensorboard``, ``wandb`` or ``trackio``, or several of them.
        search: The name of the search.
        path: The file of the trials; the folders of the logs lie beside it, in ``NAME-logs``.

    Raises:
        TrainingError: There is no such log, its package is not installed, or nobody is logged in.
    """

    def __init__(self, names: Sequence[str], search: str, path: Path) -> None:
        check_logs(names)
        self._names, self._search = tuple(names), search
        self._folder = path.with_name(f"{path.stem}-logs")
        self._not_opened: set[str] = set()

    def __call__(self, event: TrialEvent) -> None:
        """Log a trial that has ended."""
        line = event.line
        if not self._names or line is None or not line.get("correct_by_epoch"):
            return
        log = RunLog(self._names, lambda: self._describe(line), self._not_opened)
        losses = line.get("loss_by_epoch", ())
        for number, correct in enumerate(line["correct_by_epoch"], start=1):
            values = {"accuracy/val": 100 * correct / line["total"]}
            if len(losses) >= number:
                values["loss/val"] = losses[number - 1]
            log.write_values(number, values)
        log.close()

    def _describe(self, line: Mapping[str, Any]) -> LoggedRun:
        arm = f"{line['arm']}-" if line.get("arm") else ""
        name = safe_name(f"{arm}seed{line['seed']}")
        settings = describe_recipe(
            {"name": line["recipe"], **line["changes"]},
            experiment=self._search,
            net=line["net"],
            parameters=line["parameters"],
            seed=line["seed"],
            state=line["state"],
        )
        group = f"search {self._search}"
        return LoggedRun(f"{self._search}-{name}", group, self._folder / name, settings)
