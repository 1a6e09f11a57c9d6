"""Run the trials of a search: start them, stop the worst at a rung, write a line for each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from netlet.data import Dataset
from netlet.errors import NetletError, SearchError, warn
from netlet.experiments.execution import DataReference, Message, open_channel
from netlet.experiments.execution.net_files import NetFiles
from netlet.experiments.execution.runner import RESTARTED, TaskEnd, TaskRunner, find_remedy
from netlet.experiments.search.leg import Leg, LegResult, run_leg
from netlet.experiments.search.trials import FAILED, FINISHED, STOPPED, Trial, append_result

_MAX_FAILURES = 5  # trials in a row, after which a search ends: the next would fail, too


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial to run.

    Attributes:
        trial: The trial.
        epochs: The number of its epochs if it is not stopped.
        rungs: The epochs after which it may be stopped, ascending.
    """

    trial: Trial
    epochs: int
    rungs: tuple[int, ...] = ()


class Policy(Protocol):
    """Decides which trials a search runs, and which go on."""

    def propose(self) -> Proposal | None:
        """Return a trial to start now, or None if there is none as long as no other one ends."""

    def goes_on(self, trial: Trial, result: LegResult) -> bool:
        """Return whether a trial that has reached a rung goes on."""

    def tell(self, trial: Trial, line: Mapping[str, Any]) -> None:
        """Take note of a trial that has ended; its line is in the file."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all trials of a search share.

    Attributes:
        name: The name of the search, for its lines.
        path: The file to which a line is added for each trial.
        workers: The number of trials that run at the same time.
        data: The data set, without test images.
        data_folder: The folder with the files of a public data set, if one was given.
        codes: The code of each net that does not come with netlet, by its name.
        trust: Whether to run that code.
    """

    name: str
    path: Path
    workers: int
    data: Dataset
    data_folder: str | None = None
    codes: Mapping[str, NetFiles | None] = field(default_factory=dict)
    trust: bool = False


@dataclass(frozen=True, kw_only=True)
class TrialEvent:
    """Something that happened to a trial.

    Attributes:
        trial: The trial.
        epochs: The number of epochs that it has trained, of ``total_epochs``.
        total_epochs: The number of its epochs if it is not stopped.
        correct: Held-out images that are classified correctly after the last epoch, of ``total``.
        total: The number of held-out images; 0 before the first epoch.
        line: The line of the file, once the trial has ended.
    """

    trial: Trial
    epochs: int
    total_epochs: int
    correct: int = 0
    total: int = 0
    line: Mapping[str, Any] | None = None


OnTrialEvent = Callable[[TrialEvent], None]


@dataclass
class _Running:
    proposal: Proposal
    restarts: int = 0

    def next_rung(self, epochs: int) -> int:
        """Return the epoch after which the next leg ends."""
        proposal = self.proposal
        return next((rung for rung in proposal.rungs if rung > epochs), proposal.epochs)


def run_trials(
    policy: Policy, setting: Setting, executor: Executor, on_event: OnTrialEvent
) -> None:
    """Run trials until the policy proposes none.

    A trial whose worker has died goes on in another one, from its last checkpoint.

    Args:
        policy: Decides which trials run, and which go on.
        setting: What all trials share; its file is locked.
        executor: Runs them.
        on_event: A function that is called for each event of each trial.

    Raises:
        SearchError: Several trials in a row have failed.
        OutputError: A line cannot be written.
    """
    with open_channel(executor) as channel, TaskRunner(executor, channel, run_leg) as runner:
        _TrialRuns(policy, setting, runner, channel.share(setting.data), on_event).run()


class _TrialRuns:
    """The trials that are running.

    Args:
        policy: Decides which trials run, and which go on.
        setting: What all trials share.
        runner: Runs the legs.
        data: Where workers find the training images.
        on_event: A function that is called for each event of each trial.
    """

    def __init__(
        self,
        policy: Policy,
        setting: Setting,
        runner: TaskRunner[Leg, LegResult],
        data: DataReference,
        on_event: OnTrialEvent,
    ) -> None:
        self._policy, self._setting = policy, setting
        self._runner, self._data, self._on_event = runner, data, on_event
        self._numbers = itertools.count()
        self._running: dict[int, _Running] = {}  # by the number of its leg
        self._failures = 0  # in a row
        self._warnings: set[str] = set()

    def run(self) -> None:
        """Run trials until there is none to start and none is left."""
        while True:
            while len(self._running) < self._setting.workers:
                proposal = self._policy.propose()
                if proposal is None:
                    break
                self._submit(_Running(proposal), 0)
                self._tell(proposal, 0)
            if not self._running:
                return
            for event in self._runner.wait():
                if isinstance(event, TaskEnd):
                    self._end_leg(self._running.pop(event.task.number), event)
                else:
                    self._hear(self._running[event.task], event)

    def _submit(self, running: _Running, epochs: int, checkpoint: bytes | None = None) -> None:
        """Start the leg of a trial that has trained some epochs."""
        number, setting = next(self._numbers), self._setting
        trial = running.proposal.trial
        self._running[number] = running
        self._runner.submit(
            Leg(
                number=number,
                trial=trial,
                until=running.next_rung(epochs),
                data=self._data,
                data_folder=setting.data_folder,
                data_digest=setting.data.digest,
                code=setting.codes.get(trial.net),
                trust=setting.trust,
                checkpoint=checkpoint,
            )
        )

    def _hear(self, running: _Running, message: Message) -> None:
        """Handle a message of a running leg."""
        values = message.values
        if message.kind == RESTARTED:
            running.restarts += 1
            seed = running.proposal.trial.seed
            avoid = f"; to avoid this, run it {values['remedy']}" if values["remedy"] else ""
            text = f"the trial with seed {seed}: {values['error']}; another worker continues{avoid}"
            self._warn(text)
        elif "correct" in values:
            self._tell(running.proposal, values["epochs"], values["correct"], values["total"])

    def _end_leg(self, running: _Running, end: TaskEnd[Leg, LegResult]) -> None:
        """Start the next leg of a trial, or record that it has ended."""
        trial, result = running.proposal.trial, end.result
        if result is None:
            assert end.error is not None
            self._fail(running, end.error)
            return
        for text in result.warnings:
            self._warn(text)
        outcome = result.outcome
        epochs = len(outcome["correct_by_epoch"])
        if result.checkpoint is not None and self._policy.goes_on(trial, result):
            self._submit(running, epochs, result.checkpoint)
            self._tell(running.proposal, epochs, outcome["correct"], outcome["total"])
            return
        self._failures = 0
        self._record(running, STOPPED if result.checkpoint is not None else FINISHED, outcome)

    def _fail(self, running: _Running, error: Exception) -> None:
        """Record a trial that has no result."""
        reason = " ".join(str(error).split()) or "no message"
        if not isinstance(error, NetletError):
            reason = f"{type(error).__name__}: {reason}"
        self._record(running, FAILED, {"error": reason})
        self._failures += 1
        remedy = find_remedy(error)
        if self._failures >= _MAX_FAILURES:
            raise SearchError(
                f"{self._failures} trials in a row failed, the last one: {reason}; remove "
                f"the cause and run the same command again{remedy and f' {remedy}'}, the trials "
                f"before are in {self._setting.path}"
            )

    def _record(self, running: _Running, state: str, outcome: Mapping[str, Any]) -> None:
        trial, epochs = running.proposal.trial, running.proposal.epochs
        line = {
            "space": self._setting.name,
            **trial.to_dict(),
            "data_digest": self._setting.data.digest,
            "state": state,
            "epochs": epochs,
            **outcome,
            "restarts": running.restarts,
            "ended_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        append_result(line, self._setting.path)
        self._policy.tell(trial, line)
        done = len(line.get("correct_by_epoch", ()))
        correct, total = line.get("correct", 0), line.get("total", 0)
        self._tell(running.proposal, done, correct, total, line)

    def _tell(
        self,
        proposal: Proposal,
        epochs: int,
        correct: int = 0,
        total: int = 0,
        line: Mapping[str, Any] | None = None,
    ) -> None:
        self._on_event(
            TrialEvent(
                trial=proposal.trial,
                epochs=epochs,
                total_epochs=proposal.epochs,
                correct=correct,
                total=total,
                line=line,
            )
        )

    def _warn(self, text: str) -> None:
        """Repeat a warning of a worker, unless another trial has led to the same one."""
        if text not in self._warnings:
            self._warnings.add(text)
            warn(text)
