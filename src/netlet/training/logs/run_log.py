"""The logs of one run. A log that fails is given up: it never ends or changes a training."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from netlet.errors import TrainingError, did_you_mean, install_hint, warn
from netlet.records import Epoch
from netlet.training.logs.tensorboard import TensorBoardLog
from netlet.training.logs.values import LoggedRun, epoch_values
from netlet.training.logs.wandb_api import WandbLog


class Log(Protocol):
    """A log of one run.

    Attributes:
        place: Where its numbers go, in words.
    """

    place: str

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, counted from 1."""

    def close(self) -> None:
        """Finish the log."""


# Each is made with a run; its name is that of its package, too, and of the extra that has it.
LOGS: Mapping[str, Callable[[LoggedRun], Log]] = {
    "tensorboard": TensorBoardLog,
    "wandb": WandbLog,
    "trackio": partial(WandbLog, package="trackio"),
}


def check_logs(names: Sequence[str]) -> None:
    """Check that logs can be written, before the training whose numbers go there.

    Args:
        names: Keys of ``LOGS``.

    Raises:
        TrainingError: There is no such log, its package is not installed, or nobody is logged in.
    """
    for name in names:
        if name not in LOGS:
            raise TrainingError(
                f"no log {name!r}; {did_you_mean(name, LOGS)}choose one of {', '.join(LOGS)}"
            )
        if importlib.util.find_spec(name) is None:
            raise TrainingError(f"log {name}: {name} is not installed; {install_hint(name)}")
        if name == "wandb" and not _reaches_wandb():
            raise TrainingError(
                "log wandb: there is no API key of Weights & Biases; run 'wandb login', or set "
                "WANDB_MODE=offline"
            )


def _reaches_wandb() -> bool:
    """Return whether wandb can log without asking the person for a key."""
    if os.environ.get("WANDB_MODE", "online") != "online" or os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    try:
        return bool(wandb.api.api_key) or wandb.setup().settings.mode != "online"
    except Exception:  # another version of wandb: it says itself what it lacks
        return True


class RunLog:
    """The logs of one run, opened with its first epoch: only then is its folder there.

    Args:
        names: Keys of ``LOGS``.
        describe: Returns what is known of the run by then.
        not_opened: Names of logs that could not be opened; those are left out, and new ones are
            added. Runs that share it do not all wait for a server that cannot be reached.
    """

    def __init__(
        self,
        names: Sequence[str],
        describe: Callable[[], LoggedRun],
        not_opened: set[str] | None = None,
    ) -> None:
        self._names, self._describe = tuple(dict.fromkeys(names)), describe
        self._not_opened = set[str]() if not_opened is None else not_opened
        self._logs: dict[str, Log] | None = None  # those that have not failed
        self._places: dict[str, str] = {}
        self._written = 0  # epochs

    @property
    def places(self) -> list[str]:
        """Where the numbers go, in words; empty before the first epoch."""
        return list(self._places.values())

    def write(self, epochs: Sequence[Epoch]) -> None:
        """Write the epochs that have not been written.

        Args:
            epochs: All epochs of the run so far.
        """
        for epoch in epochs[self._written :]:
            self.write_values(epoch.epoch, epoch_values(epoch))
        self._written = len(epochs)

    def write_values(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write values of an epoch by their tags."""
        for name, log in list(self._open().items()):
            with self._give_up_on_errors(name):
                log.write(epoch, values)

    def close(self) -> None:
        """Finish all logs."""
        for name, log in list((self._logs or {}).items()):
            with self._give_up_on_errors(name):
                log.close()
        self._logs = {} if self._logs is not None else None

    def _open(self) -> dict[str, Log]:
        if self._logs is None:
            self._logs = {}
            run = self._describe()
            for name in self._names:
                if name in self._not_opened:
                    continue
                with self._give_up_on_errors(name):
                    self._logs[name] = LOGS[name](run)
                    self._places[name] = self._logs[name].place
                if name not in self._logs:
                    self._not_opened.add(name)
        return self._logs

    @contextmanager
    def _give_up_on_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            if self._logs is not None:
                self._logs.pop(name, None)
            self._places.pop(name, None)
            reason = " ".join(str(error).split()) or "no message"
            warn(
                f"logging to {name} has failed ({type(error).__name__}: {reason}); the training "
                "continues without it"
            )
