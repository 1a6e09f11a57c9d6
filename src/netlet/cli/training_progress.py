"""Show how a training run is going: a bar on a terminal, one line per epoch everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from netlet.analysis import check, trace
from netlet.backends import explain_short_training
from netlet.budgets import describe_teacher
from netlet.cli.interruption import say_interrupted
from netlet.cli.progress import Bar
from netlet.cli.results import remember_notes, say
from netlet.data import Dataset
from netlet.experiments import Experiment
from netlet.nets import build
from netlet.nets.own_optimizer import find_optimizer
from netlet.recipes import describe_epochs
from netlet.records import Epoch
from netlet.text import count_noun
from netlet.training import (
    Callback,
    Plan,
    Progress,
    Recorder,
    describe_dropout,
)


def say_dropout(experiment: Experiment, images: Dataset) -> None:
    """Print which dropout rates of its net an experiment's recipe changes, if it changes any."""
    net = build(experiment.net.builder, 0, images.shape, images.classes)
    traced = trace(net, images.shape) if experiment.recipe.dropout is not None else None
    if text := describe_dropout(net, experiment.recipe, traced):
        say(f"training {experiment.name}: {text}")


def say_own_optimizer(experiment: Experiment) -> None:
    """Print that the optimizer of the net's own file is not used, if the file creates one."""
    code = experiment.net.code
    if code is None or not (found := find_optimizer(Path(code.path))):
        return
    say(
        f"training {experiment.name}: {Path(code.path).name} creates an optimizer ({found}), which "
        f"is not used: netlet trains with the recipe {experiment.recipe.name}; change it with "
        "--recipe or --set"
    )


def say_check(net: nn.Module, experiment: Experiment, images: Dataset) -> None:
    """Print the check of an experiment's net against its budget, as far as it needs no training.

    Args:
        net: The net of the experiment, built.
        experiment: The experiment.
        images: The data set to train on.
    """
    recipe = experiment.recipe
    planned = (images.shape, recipe.total_epochs, images.classes, recipe.batch_size)
    verdict = check(net, experiment.budget, *planned)
    say(str(verdict), lines=True)
    remember_notes(verdict.notes)


def say_verdict(experiment: Experiment, images: Dataset) -> None:
    """Print the verdict on an experiment's net before its training: a line, and what it misses.

    Raises:
        NetError: The net does not run on such images.
    """
    recipe = experiment.recipe
    net = build(experiment.net.builder, 0, images.shape, images.classes)
    planned = (images.shape, recipe.total_epochs, images.classes, recipe.batch_size)
    verdict = check(net, experiment.budget, *planned)
    say(f"{experiment.name}: {verdict.label}: {verdict.outcome}")
    for rule in verdict.results:
        if rule.state in ("FAIL", "UNKNOWN"):
            say(f"  {rule.title}: found {rule.found}, limit {rule.limit}")
    for line in verdict.footnotes():
        say(f"  {line}")
    remember_notes(verdict.notes)


def say_seeds(
    experiment: Experiment, images: Dataset, val: int, seeds: Sequence[int], left: Sequence[int]
) -> None:
    """Print which seeds of a study are trained on what, and how.

    Args:
        experiment: The experiment.
        images: The data set.
        val: The number of training images that are held out.
        seeds: The seeds of the study.
        left: Those that are not finished yet; without any, a line says so.
    """
    counted = count_noun(len(seeds), "seed")
    if not left:
        say(f"{experiment.name} on {images.name}: {counted} finished, nothing to train")
        return
    recipe = experiment.recipe
    numbers = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    finished = len(seeds) - len(left)
    say(
        f"training {experiment.name} on {images.name}: recipe {recipe.name}, "
        f"{describe_epochs(recipe.to_dict())} of {len(images.train) - val:,} images, "
        f"batch size {recipe.batch_size}, {numbers}"
        + (f" ({finished} of {len(seeds)} finished before)" if finished else "")
    )


def describe_short_training(experiment: Experiment, images: Dataset, val: int) -> str:
    """Return why the seeds of a study train in eager mode, if each is too short to be compiled."""
    recipe = experiment.recipe
    reason = explain_short_training((len(images.train) - val) * recipe.epochs)
    if not reason or recipe.backend != "auto" or torch.cuda.is_available():
        return ""
    return f"every seed was trained with the eager backend, because {reason}"


def _describe_form(plan: Plan) -> str:
    """Return the form in which a net is trained; empty if it is the net itself."""
    if not plan.training_parameters:
        return ""
    return f", trained as {plan.recipe.train_as} with {plan.training_parameters:,} parameters"


def _describe_teacher(plan: Plan) -> str:
    """Return the teacher of a net; empty if it has none."""
    return f", teacher {describe_teacher(plan.teacher)}" if plan.teacher else ""


def _describe_epoch(epochs: Sequence[Epoch], plan: Plan) -> str:
    """Return the last epoch of a net that is trained beforehand."""
    epoch, planned = epochs[-1], plan.recipe.epochs
    return (
        f"epoch {epoch.epoch:>{len(str(planned))}}/{planned}  "
        f"train {epoch.train.percent:.2f}%  loss {epoch.train_loss:.4f}  "
        f"{epoch.train.total / epoch.train_s:,.0f} images/s"
    )


class TrainingProgress(Callback):
    """A callback that prints loss, accuracy, speed, learning rate and held-out scores."""

    def __init__(self) -> None:
        self._bar = Bar(unit="img", delay=0)
        self._plan: Plan | None = None

    def on_teacher(self, plan: Plan, epochs: Sequence[Epoch]) -> None:
        """Print that a teacher is trained first, and a line for each of its epochs."""
        planned = plan.recipe.epochs
        if not epochs:
            say(f"training the teacher {plan.name}: {count_noun(planned, 'epoch')}")
            return
        say(f"teacher, {_describe_epoch(epochs, plan)}")

    def on_random_start(self, number: int, count: int, plan: Plan, epochs: Sequence[Epoch]) -> None:
        """Print that there are random starts, and a line for each epoch of one."""
        if number == 1 and not epochs:
            each = count_noun(plan.recipe.epochs, "epoch")
            say("")
            say(f"training {count} random starts of {plan.name}: {each} each")
        if epochs:
            say(f"random start {number}/{count}, {_describe_epoch(epochs, plan)}")

    def on_start(self, plan: Plan) -> None:
        """Print what is trained on what, and how."""
        self._plan = plan
        recipe = plan.recipe
        say("")
        say(
            f"training {plan.name} on {plan.data}: recipe {recipe.name}, "
            f"{describe_epochs(recipe.to_dict())} of {plan.train_images:,} images, "
            f"batch size {recipe.batch_size}, seed {plan.seed}, {plan.device} {plan.precision}"
            + (f", {plan.dropout}" if plan.dropout else "")
            + _describe_form(plan)
            + _describe_teacher(plan)
        )

    def on_step(self, progress: Progress) -> None:
        """Update the bar."""
        assert self._plan is not None
        self._bar.update(
            progress.images,
            self._plan.train_images,
            f"Epoch={progress.epoch}/{self._plan.recipe.epochs} Batch={progress.step} "
            f"loss={progress.loss:.4f} Accuracy={100 * progress.correct / progress.images:.2f}% "
            f"lr={progress.lr:.4f}",
        )

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Print the epoch's line."""
        assert self._plan is not None
        self._bar.close()
        epoch, planned = epochs[-1], self._plan.recipe.epochs
        held_out = epoch.held_out
        say(
            f"epoch {epoch.epoch:>{len(str(planned))}}/{planned}  "
            f"{held_out.split} {held_out.correct:,}/{held_out.total:,} ({held_out.percent:.2f}%)  "
            f"train {epoch.train.percent:.2f}%  loss {epoch.train_loss:.4f}  lr {epoch.lr:.2g}  "
            f"{epoch.train.total / epoch.train_s:,.0f} images/s  "
            f"{epoch.train_s + epoch.score_s:.1f} s"
        )

    @contextmanager
    def hint_at_resume(self, recorder: Recorder) -> Iterator[None]:
        """Remove the bar at the end; on Ctrl-C, print the command that resumes the run."""
        try:
            yield
        except KeyboardInterrupt:
            self._bar.close()
            if self._plan and recorder.can_resume:
                command = recorder.resume_command
                say_interrupted(f"interrupted; '{command}' continues after the last complete epoch")
            raise
        finally:
            self._bar.close()
