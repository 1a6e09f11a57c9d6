"""A leg: the part of a trial from one rung to the next, run in a worker."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlet import catalog, nets, recipes
from netlet.data import Dataset, load
from netlet.errors import DataError
from netlet.evaluation import compute_logits
from netlet.experiments.execution import DataReference, Message, Sender
from netlet.experiments.execution.net_files import NetFiles, unpack_net
from netlet.experiments.execution.task import (
    CHECKPOINT,
    EPOCH,
    MessageClock,
    collect_warnings,
)
from netlet.experiments.search.sharp_score import calibrated_nll
from netlet.experiments.search.space import Candidate
from netlet.experiments.search.trials import Trial
from netlet.nets import NetEntry
from netlet.recipes import Recipe
from netlet.records import Epoch, Run, to_json_value
from netlet.training import Callback, Checkpoint, Plan, fit
from netlet.training.checkpoint import checkpoint_from_bytes, checkpoint_to_bytes


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A part of a trial to train, by value.

    Attributes:
        number: Names the task in its messages.
        trial: The trial.
        until: The epoch after which to stop; the trial's last one finishes it.
        data: Where the training images are; None: load them by the trial's name of the data set.
        data_folder: The folder with the files of a public data set, if one was given.
        data_digest: The digest that the training images must have; empty: any.
        code: The code of the net; None: it comes with netlet or with an installed package.
        trust: Whether to run code that the trial names.
        threads: The number of CPU threads.
        checkpoint: The content of the checkpoint to go on from.
        checkpoint_s: Seconds between two checkpoints that are sent, at least.
        progress_s: Seconds between two messages of progress, at least.
        sender: Where messages go.
    """

    number: int
    trial: Trial
    until: int
    data: DataReference | None = None
    data_folder: str | None = None
    data_digest: str = ""
    code: NetFiles | None = None
    trust: bool = False
    threads: int = 1
    checkpoint: bytes | None = field(default=None, repr=False)
    checkpoint_s: float = 0.0
    progress_s: float = 0.0
    sender: Sender | None = None


@dataclass(frozen=True, kw_only=True)
class LegResult:
    """What a trial has led to after a leg, by value.

    Attributes:
        outcome: The values that a line of a file of trials has of it, as JSON stores them.
        checkpoint: The content of the checkpoint to go on from; None if the trial is finished.
        warnings: The warnings for the user, each once.
        sent: The number of messages that were sent.
    """

    outcome: Mapping[str, Any]
    checkpoint: bytes | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    sent: int = 0


def trial_recipe(trial: Trial | Candidate, entry: NetEntry) -> Recipe:
    """Return the recipe of a trial: the named one for this net, with the trial's changes."""
    start = catalog.find_recipe(trial.recipe).for_net(in_catalog=nets.comes_with_netlet(entry))
    return recipes.recipe_from_json(to_json_value(start) | dict(trial.changes))


def run_leg(leg: Leg) -> LegResult:
    """Train a part of a trial and score it; called in a worker.

    Only training images are loaded: nothing here can read ``test``.

    Args:
        leg: The part of the trial.

    Raises:
        NetletError: The training cannot start or fails.
    """
    torch.set_num_threads(leg.threads)
    found: dict[str, None] = {}  # in order, each once
    with collect_warnings(lambda text: found.setdefault(text)):
        result = _train(leg)
    return dataclasses.replace(result, warnings=tuple(found))


def _train(leg: Leg) -> LegResult:
    trial = leg.trial
    with _find_net(leg) as entry:
        recipe = trial_recipe(trial, entry)
        images = trial.hold_out(_load_training_images(leg))
        net = nets.build(entry.builder, trial.seed, images.shape, images.classes)
        follower = _Follower(leg)
        resume = None
        if leg.checkpoint is not None:
            where = f"the checkpoint of the trial with seed {trial.seed}"
            resume = checkpoint_from_bytes(leg.checkpoint, where)[0]
        with contextlib.suppress(_RungReachedError):
            run = fit(
                net,
                images,
                recipe,
                seed=trial.seed,
                callbacks=[follower],
                resume=resume,
                progress=False,
            )
            outcome = _finish(run, net, images, recipe, entry, follower.plan)
            return LegResult(outcome=outcome, sent=follower.sent)
        return follower.result(net, entry)


def _finish(
    run: Run, net: nn.Module, images: Dataset, recipe: Recipe, entry: NetEntry, plan: Plan
) -> dict[str, Any]:
    """Return the outcome of a trial that was trained to its end."""
    device = next(net.parameters()).device
    split = images.held_out.to(device)
    nll = calibrated_nll(compute_logits(net, split, recipe), split.labels)
    return _outcome(
        run.epochs,
        parameters=run.cost["parameters"],
        only_for_training=plan.only_for_training(),
        nll=nll,
        train_correct=run.train_score.correct,
        backend=run.backend,
        precision=run.precision,
        environment=run.environment,
        weights_digest=run.weights_digest,
        entry=entry,
    )


def _outcome(
    epochs: Sequence[Epoch],
    *,
    parameters: int,
    only_for_training: Mapping[str, Any],
    nll: float | None,
    train_correct: int | None,
    backend: str,
    precision: str,
    environment: Mapping[str, Any],
    weights_digest: str,
    entry: NetEntry,
) -> dict[str, Any]:
    last = epochs[-1]
    return {
        "parameters": parameters,
        **only_for_training,
        "correct": last.held_out.correct,
        "total": last.held_out.total,
        "loss": last.held_out_loss,
        "nll": nll,
        "train_correct": train_correct,
        "correct_by_epoch": [epoch.held_out.correct for epoch in epochs],
        "loss_by_epoch": [epoch.held_out_loss for epoch in epochs],
        "train_s": round(sum(epoch.train_s for epoch in epochs), 1),
        "backend": backend,
        "precision": precision,
        "commit": environment.get("commit"),
        "environment": dict(environment),
        "weights_digest": weights_digest,
        **({"source_digest": entry.code.digest} if entry.code else {}),
    }


class _RungReachedError(Exception):
    """The training has reached the last epoch of the leg."""


class _Follower(Callback):
    """Reports each epoch, and ends the training after the last one of the leg."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._clock = MessageClock(leg.checkpoint_s)
        self._progress = MessageClock(leg.progress_s)
        self._plan: Plan | None = None
        self._checkpoint: Checkpoint | None = None
        self._digest = ""
        self.sent = 0

    @property
    def plan(self) -> Plan:
        """The plan of the training, known from its start on."""
        assert self._plan is not None
        return self._plan

    def on_start(self, plan: Plan) -> None:
        self._plan = plan

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        if len(epochs) == self._leg.until:
            self._digest = nets.weights_digest(net)

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        done, total = len(checkpoint.epochs), self.plan.recipe.epochs
        at_rung = done >= self._leg.until and done < total
        is_due = self._clock.is_due()  # also for what the leg began with, which the driver has
        is_told = self._progress.is_due() or is_due
        if self._leg.sender is not None and done and not at_rung and is_told:
            last = checkpoint.epochs[-1].held_out
            values = {"epochs": done, "total_epochs": total}
            values |= {"correct": last.correct, "total": last.total}
            content = {CHECKPOINT: checkpoint_to_bytes(checkpoint, {})} if is_due else {}
            message = Message(self._leg.number, EPOCH, values, content)
            self.sent += self._leg.sender.send(message)
        if at_rung:
            self._checkpoint = checkpoint
            raise _RungReachedError

    def result(self, net: nn.Module, entry: NetEntry) -> LegResult:
        """Return the result of a leg that ended at a rung."""
        assert self._checkpoint is not None
        last = self._checkpoint.stretches[-1]
        outcome = _outcome(
            self._checkpoint.epochs,
            parameters=sum(parameter.numel() for parameter in net.parameters()),
            only_for_training=self.plan.only_for_training(),
            nll=None,
            train_correct=None,
            backend=last.backend,
            precision=self.plan.precision,
            environment=last.environment,
            weights_digest=self._digest,
            entry=entry,
        )
        checkpoint = checkpoint_to_bytes(self._checkpoint, {})
        return LegResult(outcome=outcome, checkpoint=checkpoint, sent=self.sent)


@contextlib.contextmanager
def _find_net(leg: Leg) -> Iterator[NetEntry]:
    """Yield the net of a trial; its code exists while the block runs."""
    if leg.code is None:
        yield nets.find_net(leg.trial.net, trusted=leg.trust)
        return
    with unpack_net(leg.code) as address:
        yield nets.find_net(address, trusted=leg.trust)


_loaded: dict[str, Dataset] = {}  # the last data set of this process, by its digest


def _load_training_images(leg: Leg) -> Dataset:
    """Return the data set of a trial without its test images; a worker keeps the last one."""
    if leg.data_digest and leg.data_digest in _loaded:
        return _loaded[leg.data_digest]
    images = None
    if leg.data is not None:
        with contextlib.suppress(OSError):  # the driver cannot be reached from this machine
            images = leg.data.fetch()
    if images is None:
        folder = Path(leg.data_folder) if leg.data_folder else None
        images = load(leg.trial.dataset, folder, read_test=False)
    if leg.data_digest and images.digest != leg.data_digest:
        raise DataError(
            f"{leg.trial.dataset}: its training images are not those that the trial began "
            "with; restore them"
        )
    _loaded.clear()
    _loaded[images.digest] = images
    return images
