"""Worker processes that train the seeds of a study, several at a time.

On a CPU, one thread in each of as many processes as there are cores is faster than all cores on one
run after the other (docs/speed.md). Workers share nothing but pipes with the main process, so a
worker that dies loses nothing but its current epoch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlet.data import Dataset
from netlet.errors import NetletError, NetletWarning, is_library_file
from netlet.experiments.config import load_data, load_experiment
from netlet.locks import lock_folder
from netlet.records import Epoch, Run, RunConfig
from netlet.training import CHECKPOINT_FILE, Callback, Plan, Recorder, load_checkpoint

_exit = os._exit  # kept here: os._exit itself is blocked while the code of a net runs
_STOP = -1  # sent instead of a seed
_ORPHAN_S = 10.0  # how long to wait for a worker whose main process has been killed


@dataclass(frozen=True)
class WorkerEvent:
    """Something that happened in a worker process."""

    worker: int  # from 0
    seed: int
    epochs: int = 0  # completed
    total_epochs: int = 0
    score: str = ""  # after the last completed epoch
    finished: bool = False
    error: str = ""  # why this seed could not be finished
    warning: str = ""  # of netlet; the main process repeats it


@dataclass(frozen=True)
class SeedError:
    """Why a seed could not be finished."""

    seed: int
    reason: str
    died: bool = False  # its process ended without a word, and another one may succeed


OnEvent = Callable[[WorkerEvent], None]


def run_folder(folder: Path, seed: int) -> Path:
    """Return the folder of a seed's run in a study's folder."""
    return folder / f"seed-{seed}"


def train_seeds(
    config: RunConfig, seeds: Sequence[int], folder: Path, workers: int, on_event: OnEvent
) -> list[SeedError]:
    """Train seeds in worker processes, and resume those that were interrupted.

    Args:
        config: The run to train; its seed is ignored.
        seeds: The seeds to train, each once.
        folder: The folder of the study; each run is recorded in :func:`run_folder`.
        workers: Number of processes.
        on_event: A function that is called for each event of each worker.

    Returns:
        An error for each seed that could not be finished.
    """
    pool = _WorkerPool(config, seeds, folder, on_event)
    try:
        return pool.run(min(workers, len(seeds)))
    finally:
        pool.terminate()


class _WorkerPool:
    """Worker processes and the seeds that they train.

    Args:
        config: The run to train.
        seeds: The seeds to train, in this order.
        folder: The folder of the study.
        on_event: A function that is called for each event of each worker.
    """

    def __init__(
        self, config: RunConfig, seeds: Sequence[int], folder: Path, on_event: OnEvent
    ) -> None:
        self._config, self._folder, self._on_event = config, folder, on_event
        self._waiting = list(seeds)
        self._errors: list[SeedError] = []
        self._warnings: set[str] = set()
        self._processes: dict[Connection, tuple[int, SpawnProcess]] = {}
        self._seed_of: dict[int, int] = {}  # worker -> the seed that it trains
        # A forked process would inherit threads that it cannot use.
        self._context = multiprocessing.get_context("spawn")

    def run(self, workers: int) -> list[SeedError]:
        """Train all seeds; return the errors."""
        for worker in range(workers):
            self._start_worker(worker)
        while self._processes:
            for pipe in wait(list(self._processes)):
                assert isinstance(pipe, Connection)
                self._receive(pipe)
        return self._errors

    def terminate(self) -> None:
        """End the processes that are still running."""
        for _, process in self._processes.values():
            process.terminate()

    def _start_worker(self, worker: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_run_worker,
            args=(worker, self._config.to_dict(), str(self._folder), theirs),
            daemon=True,
        )
        process.start()
        theirs.close()
        self._processes[ours] = (worker, process)
        self._send_seed(worker, ours)

    def _send_seed(self, worker: int, pipe: Connection) -> None:
        if self._waiting:
            self._seed_of[worker] = self._waiting.pop(0)
        # If the worker has just died, the next wait() returns its pipe.
        with contextlib.suppress(OSError):
            pipe.send(self._seed_of.get(worker, _STOP))

    def _receive(self, pipe: Connection) -> None:
        worker, _ = self._processes[pipe]
        try:
            event: WorkerEvent = pipe.recv()
        except (EOFError, OSError):
            self._remove_worker(pipe)
            return
        if event.warning:
            self._warn(event.warning)
            return
        self._handle(event)
        if event.error or event.finished:
            del self._seed_of[worker]
            self._send_seed(worker, pipe)

    def _remove_worker(self, pipe: Connection) -> None:
        """Remove a worker that has ended; if it died while training a seed, start another."""
        worker, process = self._processes.pop(pipe)
        process.join()
        if worker in self._seed_of:
            error = f"its process died (code {process.exitcode})"
            self._handle(WorkerEvent(worker, self._seed_of.pop(worker), error=error), died=True)
            if self._waiting:
                self._start_worker(worker)

    def _warn(self, text: str) -> None:
        """Repeat a warning of a worker, unless another seed has led to the same one."""
        if text not in self._warnings:
            self._warnings.add(text)
            warnings.warn(text, NetletWarning, stacklevel=2)

    def _handle(self, event: WorkerEvent, *, died: bool = False) -> None:
        self._on_event(event)
        if event.error:
            self._errors.append(SeedError(event.seed, event.error, died))


def _run_worker(worker: int, config: dict[str, Any], folder: str, pipe: Connection) -> None:
    """Train the seeds that the pipe delivers; runs in its own process and loads the data once."""
    _end_with_parent()
    try:
        base = RunConfig.from_dict(config, folder)
        torch.set_num_threads(base.threads)
        images: Dataset | None = None
        while (seed := pipe.recv()) != _STOP:
            try:
                images = images or load_data(base)
                reporter = _PipeReporter(worker, seed, pipe)
                with _forward_warnings(worker, seed, pipe):
                    _train_seed(
                        dataclasses.replace(base, seed=seed), images, Path(folder), reporter
                    )
            except NetletError as error:
                pipe.send(WorkerEvent(worker, seed, error=" ".join(str(error).split())))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        _exit(130)  # Ctrl-C reaches every process; the main process prints the message


@contextlib.contextmanager
def _forward_warnings(worker: int, seed: int, pipe: Connection) -> Iterator[None]:
    """Send netlet's warnings to the main process within the block."""
    with warnings.catch_warnings():
        otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            ours = issubclass(category, NetletWarning)
            if ours or is_library_file(str(rest[0])):
                text = str(message) if ours else " ".join(str(message).split())
                pipe.send(WorkerEvent(worker, seed, warning=text))
            else:
                otherwise(message, category, *rest)

        warnings.simplefilter("always", NetletWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _train_seed(config: RunConfig, images: Dataset, folder: Path, reporter: _PipeReporter) -> None:
    place = run_folder(folder, config.seed)
    with ExitStack() as stack:
        if (place / CHECKPOINT_FILE).is_file():
            stack.enter_context(lock_folder(place, "netlet study", _ORPHAN_S))
        checkpoint = load_checkpoint(place)[0] if (place / CHECKPOINT_FILE).is_file() else None
        # The recorder comes first: a seed is reported as finished once its record is on the disk.
        recorder = Recorder(place, config.to_dict(), resumed=checkpoint is not None)
        # Whoever started the study has named its net: see ``run_study``.
        load_experiment(config, trust=True).run(
            images,
            config.seed,
            val=config.val,
            callbacks=[recorder, reporter],
            resume=checkpoint,
            progress=False,
        )


def _end_with_parent() -> None:
    """End this process soon after its parent, so that it keeps no lock on a run's folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            _exit(130)

        threading.Thread(target=watch, daemon=True).start()


class _PipeReporter(Callback):
    """Sends the events of a training through a pipe."""

    def __init__(self, worker: int, seed: int, pipe: Connection) -> None:
        self._worker, self._seed, self._pipe = worker, seed, pipe
        self._total = 0

    def on_start(self, plan: Plan) -> None:
        self._total = plan.recipe.epochs
        self._send(0)

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        self._send(len(epochs), str(epochs[-1].held_out))

    def on_finish(self, run: Run, net: nn.Module) -> None:
        self._send(self._total, str(run.last_epoch.score), finished=True)

    def _send(self, epochs: int, score: str = "", *, finished: bool = False) -> None:
        self._pipe.send(WorkerEvent(self._worker, self._seed, epochs, self._total, score, finished))
