"""Train the seeds of a study in workers, and write their folders.

Workers return everything by value, so only this process writes, and no disk has to be shared. A
worker that dies loses what it has trained since its last checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet import records
from netlet.data import Dataset
from netlet.errors import NetletError, TrainingError, warn
from netlet.experiments.events import OnEvent, WorkerEvent
from netlet.experiments.execution import DataReference, Message, open_channel
from netlet.experiments.execution.local import WorkerDiedError
from netlet.experiments.execution.net_files import pack_net
from netlet.experiments.execution.runner import RESTARTED, TaskEnd, TaskRunner, find_remedy
from netlet.experiments.execution.task import (
    CHECKPOINT,
    STEP,
    WARNING,
    WEIGHTS,
    RunTask,
    TaskResult,
    run_task,
)
from netlet.files import read_regular
from netlet.records import Run, RunConfig
from netlet.text import count_noun, dump_json
from netlet.training.checkpoint import MAX_CHECKPOINT_BYTES, checkpoint_from_bytes
from netlet.training.run_folder import RunFolder


@dataclass(frozen=True)
class SeedError:
    """Why a seed could not be finished."""

    seed: int
    reason: str
    died: bool = False  # its process ended without a word, and another one may succeed
    remedy: str = ""  # how to run the command so that no process dies for this reason


def run_folder(folder: Path, seed: int) -> Path:
    """Return the folder of a seed's run in a study's folder."""
    return folder / f"seed-{seed}"


def train_seeds(
    config: RunConfig,
    seeds: Sequence[int],
    folder: Path,
    executor: Executor,
    on_event: OnEvent,
    data: Dataset | None = None,
) -> list[SeedError]:
    """Train seeds by an executor, and resume those that were interrupted.

    Args:
        config: The run to train; its seed is ignored.
        seeds: The seeds to train, each once.
        folder: The folder of the study; each run is recorded in :func:`run_folder`.
        executor: Runs the tasks, one for each seed.
        on_event: A function that is called for each event of each worker.
        data: The images, which workers get from here; None: they load them by name.

    Returns:
        An error for each seed that could not be finished.

    Raises:
        NetError: The code of the net cannot be read.
    """
    with open_channel(executor) as channel, TaskRunner(executor, channel, run_task) as runner:
        shared = None if data is None else channel.share(data)
        training = _SeedTraining(config, folder, runner, on_event, shared)
        try:
            training.run(seeds)
        finally:
            training.close()
        return training.errors


class _SeedTraining:
    """The seeds that are being trained, and their folders.

    Args:
        config: The run to train.
        folder: The folder of the study.
        runner: Runs the tasks; the number of a task is its seed.
        on_event: A function that is called for each event.
        data: Where workers get the images; None: they load them by name.

    Attributes:
        errors: Why seeds could not be finished.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        runner: TaskRunner[RunTask, TaskResult],
        on_event: OnEvent,
        data: DataReference | None,
    ) -> None:
        self._config, self._folder, self._data = config, folder, data
        self._runner, self._on_event = runner, on_event
        self._code = pack_net(config.net_source)
        self._folders: dict[int, RunFolder] = {}
        self._workers: dict[int, int] = {}  # seed -> the number of the worker that trains it
        self._epochs: dict[int, int] = {}  # seed -> epochs of its last checkpoint
        self._scores: dict[int, str] = {}  # seed -> score after its last epoch
        self._warnings: set[str] = set()
        self.errors: list[SeedError] = []

    def run(self, seeds: Sequence[int]) -> None:
        """Train all seeds."""
        for seed in seeds:
            try:
                self._submit(seed)
            except (NetletError, BrokenExecutor) as error:
                self._fail(seed, error)
        while self._runner.unfinished:
            for event in self._runner.wait():
                seed = event.task.number if isinstance(event, TaskEnd) else event.task
                if seed not in self._folders:  # it has failed, and this came with the reason
                    continue
                try:
                    if isinstance(event, TaskEnd):
                        self._end(seed, event)
                    else:
                        self._hear(seed, event)
                except NetletError as error:
                    self._fail(seed, error)

    def close(self) -> None:
        """Release the folders of all seeds."""
        for place in self._folders.values():
            place.close()

    def _submit(self, seed: int) -> None:
        place = run_folder(self._folder, seed)
        config = dataclasses.replace(self._config, seed=seed).to_dict()
        path, checkpoint = place / records.CHECKPOINT_FILE, None
        self._folders[seed] = RunFolder(place, config, resumed=path.is_file())
        self._folders[seed].open()
        if path.is_file():
            checkpoint = read_regular(path, MAX_CHECKPOINT_BYTES, TrainingError)
            checkpoint_from_bytes(checkpoint, path)  # names the file if it is damaged
        self._runner.submit(RunTask(seed, config, self._data, self._code, checkpoint))

    def _hear(self, seed: int, message: Message) -> None:
        """Handle a message of a running task."""
        values, content = message.values, message.content
        if message.kind == WARNING:
            self._warn(values["text"])
            return
        if message.kind == RESTARTED:
            after = f"after {count_noun(self._epochs.get(seed, 0), 'epoch')}"
            avoid = f"; to avoid this, run it {values['remedy']}" if values["remedy"] else ""
            self._warn(f"seed {seed}: {values['error']}; another worker continues {after}{avoid}")
            return
        if message.kind == STEP:
            self._tell_step(seed, values)
            return
        place = self._folders[seed]
        if CHECKPOINT in content and not place.exists:  # also if the very first one was lost
            place.save_checkpoint(content[CHECKPOINT])
        if WEIGHTS in content:
            place.save_epochs(values["log"], content[WEIGHTS])
        if CHECKPOINT in content:
            place.save_checkpoint(content[CHECKPOINT])
            self._epochs[seed] = values["epochs"]
        self._scores[seed] = score = values.get("score", "")
        total = values["total_epochs"]
        worker, lines = self._worker_of(seed), values.get("log", "")
        self._on_event(WorkerEvent(worker, seed, values["epochs"], total, score, lines=lines))

    def _tell_step(self, seed: int, values: Mapping[str, Any]) -> None:
        """Tell how far a task has come within its epoch."""
        self._on_event(
            WorkerEvent(
                self._worker_of(seed),
                seed,
                values["epochs"],
                values["total_epochs"],
                self._scores.get(seed, ""),
                epoch_share=values["share"],
                loss=values["loss"],
            )
        )

    def _end(self, seed: int, end: TaskEnd[RunTask, TaskResult]) -> None:
        """Write the record of a task that has ended, or note why there is none.

        A seed is reported as finished once its record is on the disk.
        """
        if end.result is None:
            assert end.error is not None
            self._fail(seed, end.error)
            return
        for text in end.result.warnings:
            self._warn(text)
        run = Run.from_json(dump_json(end.result.record), f"the record of seed {seed}")
        place = self._folders.pop(seed)
        try:
            place.finish(run, end.result.log, end.result.weights)
        finally:
            place.close()
        epochs, score = len(run.epochs), str(run.last_epoch.score)
        worker = self._worker_of(seed)
        del self._workers[seed]
        event = WorkerEvent(worker, seed, epochs, epochs, score, finished=True)
        self._on_event(dataclasses.replace(event, lines=end.result.log))

    def _fail(self, seed: int, error: Exception) -> None:
        """Note why a seed cannot be finished, and give up its task."""
        self._runner.abandon(seed)
        if place := self._folders.pop(seed, None):
            place.close()
        reason = " ".join(str(error).split())
        if not isinstance(error, NetletError):
            reason = f"{type(error).__name__}: {reason or 'no message'}"
        died = isinstance(error, WorkerDiedError | BrokenExecutor)
        self.errors.append(SeedError(seed, reason, died, find_remedy(error)))
        worker = self._worker_of(seed)
        self._workers.pop(seed, None)
        self._on_event(WorkerEvent(worker, seed, error=reason))

    def _worker_of(self, seed: int) -> int:
        """Return the number of the worker that trains a seed: the smallest free one."""
        if seed not in self._workers:
            taken = set(self._workers.values())
            self._workers[seed] = next(n for n in range(len(taken) + 1) if n not in taken)
        return self._workers[seed]

    def _warn(self, text: str) -> None:
        """Repeat a warning of a worker, unless another seed has led to the same one."""
        if text not in self._warnings:
            self._warnings.add(text)
            warn(text)
