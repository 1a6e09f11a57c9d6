"""One run as a task: everything that it needs goes in by value, and all of its results come out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netlet.data import Dataset
from netlet.errors import DefinitionsWarning, NetletWarning
from netlet.experiments.config import load_data, load_experiment
from netlet.experiments.execution.channel import DataReference, Sender
from netlet.experiments.execution.message import Message
from netlet.experiments.execution.net_files import NetFiles, unpack_net
from netlet.experiments.experiment import Experiment
from netlet.records import Epoch, Run, RunConfig
from netlet.training import Callback, Checkpoint, Plan, Progress
from netlet.training.checkpoint import checkpoint_from_bytes, checkpoint_to_bytes
from netlet.training.recorder import EpochFiles

# Kinds of messages.
STARTED, STEP, EPOCH, WARNING = "started", "step", "epoch", "warning"
# Parts of their content.
CHECKPOINT, WEIGHTS = "checkpoint", "weights"
STEP_INTERVAL_S = 2.0  # between two messages of steps: for who watches, not for the result


@dataclass(frozen=True)
class RunTask:
    """A run to train, by value.

    Attributes:
        number: Names the task in its messages.
        config: The configuration of the run as plain values.
        data: The images, or where they are; None: load them by the name in ``config``.
        code: The code of the net; None: it comes with netlet or with an installed package.
        checkpoint: The content of the checkpoint to resume from.
        checkpoint_s: Seconds between two checkpoints that are sent, at least.
        progress_s: Seconds between two messages of progress, at least.
        sender: Where messages go.
    """

    number: int
    config: Mapping[str, Any]
    data: Dataset | DataReference | None = None
    code: NetFiles | None = None
    checkpoint: bytes | None = field(default=None, repr=False)
    checkpoint_s: float = 0.0
    progress_s: float = 0.0
    sender: Sender | None = None


@dataclass(frozen=True)
class TaskResult:
    """What a run has led to, by value.

    Attributes:
        record: The record of the run, as JSON stores it.
        weights: The final weights as the content of a safetensors file.
        log: A line of JSON for each epoch.
        warnings: The warnings for the user, each once.
        sent: The number of messages that were sent.
    """

    record: Mapping[str, Any]
    weights: bytes = field(repr=False)
    log: str = field(repr=False)
    warnings: tuple[str, ...] = ()
    sent: int = 0


def run_task(task: RunTask) -> TaskResult:
    """Train a run; called in a worker.

    Args:
        task: The run.

    Raises:
        NetletError: The training cannot start or fails.
    """
    config = RunConfig.from_dict(task.config, f"seed {task.config.get('seed')}")
    torch.set_num_threads(config.threads)
    reporter = _Reporter(task)
    with collect_warnings(reporter.warn), load_task_experiment(config, task.code) as experiment:
        data = load_task_data(config, task.data)
        resume = None
        if task.checkpoint is not None:
            resume = _read_checkpoint(task.checkpoint, config.seed)
        run = experiment.run(
            data,
            config.seed,
            val=config.val,
            callbacks=[reporter],
            initial_weights_digest=config.initial_weights_digest,
            resume=resume,
            progress=False,
        )
    return reporter.result(run)


def run_tasks(tasks: Sequence[RunTask]) -> list[TaskResult | Exception]:
    """Train runs that take turns on one device; called in a worker.

    Args:
        tasks: Runs that differ in their seeds only.

    Returns:
        For each task its result, or why it could not be finished.

    Raises:
        NetletError: No training can start.
    """
    configs = [
        RunConfig.from_dict(task.config, f"seed {task.config.get('seed')}") for task in tasks
    ]
    first, seeds = configs[0], [config.seed for config in configs]
    torch.set_num_threads(first.threads)
    reporters = [_Reporter(task) for task in tasks]
    # A warning is passed on whichever seed has led to it.
    with (
        collect_warnings(reporters[0].warn),
        load_task_experiment(first, tasks[0].code) as experiment,
    ):
        runs = experiment.run_together(
            load_task_data(first, tasks[0].data),
            seeds,
            val=first.val,
            callbacks={seed: [own] for seed, own in zip(seeds, reporters, strict=True)},
            resume={
                seed: _read_checkpoint(task.checkpoint, seed)
                for seed, task in zip(seeds, tasks, strict=True)
                if task.checkpoint is not None
            },
        )
    return [
        run if isinstance(run, Exception) else reporter.result(run)
        for run, reporter in zip(runs, reporters, strict=True)
    ]


def _read_checkpoint(content: bytes, seed: int) -> Checkpoint:
    return checkpoint_from_bytes(content, f"the checkpoint of seed {seed}")[0]


_loaded: dict[tuple[object, ...], Dataset] = {}  # the last data set of this process


def load_task_data(config: RunConfig, data: Dataset | DataReference | None) -> Dataset:
    """Return the images of a task; a worker keeps those of its last one."""
    if isinstance(data, Dataset):
        return data
    held_out = 0 if config.val else config.data["images"].get("val", 0)  # of what is loaded
    classes = str(config.data.get("class_names"))  # their order is not always in the digest
    key = (config.data["digest"], config.data["shape"][0], held_out, classes)
    if key not in _loaded:
        _loaded.clear()
        if data is not None:
            with contextlib.suppress(OSError):
                _loaded[key] = data.fetch()
                return _loaded[key]
        _loaded[key] = load_data(config)
    return _loaded[key]


@contextlib.contextmanager
def load_task_experiment(config: RunConfig, code: NetFiles | None) -> Iterator[Experiment]:
    """Yield the experiment of a run; its net's code exists while the block runs."""
    if code is None:
        # Whoever started the task has named its net.
        yield load_experiment(config, trust=True)
        return
    with unpack_net(code) as address:
        found = load_experiment(dataclasses.replace(config, net_source=address), trust=True)
        if found.net.code is not None:
            origin = dataclasses.replace(found.net.code, path=code.path)
            found = dataclasses.replace(found, net=dataclasses.replace(found.net, code=origin))
        yield found


class MessageClock:
    """Says which messages of a kind are sent: the first, and no two within some seconds.

    The driver handles each one that arrives, so those of short epochs would keep it busy.

    Args:
        interval_s: Seconds between two messages, at least.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_at = -math.inf

    def is_due(self) -> bool:
        """Return whether to send the message of this moment; if so, note that it was."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + self._interval_s
        return True


class _Reporter(Callback):
    """Sends the events of a training, and keeps what its result needs."""

    def __init__(self, task: RunTask) -> None:
        self._task, self._sender = task, task.sender
        self._clock = MessageClock(task.checkpoint_s)
        self._plan: Plan | None = None
        self._told_at = 0.0  # when the driver has last heard of a step
        self._score = ""
        self._files: EpochFiles | None = None
        self.weights, self.log, self.sent = b"", "", 0
        self.warnings: dict[str, None] = {}  # in order, each once

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings[text] = None
            self._send(WARNING, {"text": text})

    def result(self, run: Run) -> TaskResult:
        return TaskResult(
            record=json.loads(run.to_json()),
            weights=self.weights,
            log=self.log,
            warnings=tuple(self.warnings),
            sent=self.sent,
        )

    def on_start(self, plan: Plan) -> None:
        self._plan, self._files = plan, EpochFiles(plan)
        self._told_at = time.monotonic()

    def on_step(self, progress: Progress) -> None:
        assert self._plan is not None
        interval_s = max(STEP_INTERVAL_S, self._task.progress_s)
        if (now := time.monotonic()) - self._told_at < interval_s:
            return
        self._told_at = now
        values = {
            "epochs": progress.epoch - 1,
            "total_epochs": self._plan.recipe.epochs,
            "share": progress.images / self._plan.train_images,
            "loss": progress.loss,
        }
        self._send(STEP, values)

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        self._score = str(epochs[-1].held_out)
        self._keep(epochs, net)

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        if self._sender is None:
            return
        assert self._plan is not None
        values: dict[str, Any] = {
            "epochs": len(checkpoint.epochs),
            "total_epochs": self._plan.recipe.epochs,
        }
        content: dict[str, bytes] = {}
        if self._clock.is_due():
            content[CHECKPOINT] = checkpoint_to_bytes(checkpoint, self._task.config)
        if not self._score:
            self._send(STARTED, values, content)
            return
        now = time.monotonic()
        if not content and now - self._told_at < self._task.progress_s:
            return
        self._told_at = now
        if content:  # what belongs to the checkpoint
            content[WEIGHTS] = self.weights
            values["log"] = self.log
        self._send(EPOCH, values | {"score": self._score}, content)

    def on_finish(self, run: Run, net: nn.Module) -> None:
        self._keep(run.epochs, net)

    def _keep(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        assert self._files is not None
        self.weights, self.log = self._files.weights(epochs, net), self._files.lines(epochs)

    def _send(
        self, kind: str, values: Mapping[str, Any], content: Mapping[str, bytes] | None = None
    ) -> None:
        if self._sender is not None:
            message = Message(self._task.number, kind, values, content or {})
            self.sent += self._sender.send(message)


@contextlib.contextmanager
def collect_warnings(warn: Callable[[str], object]) -> Iterator[None]:
    """Collect warnings within the block instead of showing them in each worker.

    Those about several definitions of a net are left out: who submits a task has found the net.

    Args:
        warn: A function that is called with the text of each.
    """
    with warnings.catch_warnings():

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if not issubclass(category, DefinitionsWarning):
                ours = issubclass(category, NetletWarning)
                warn(str(message) if ours else " ".join(str(message).split()))

        warnings.simplefilter("always", NetletWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
