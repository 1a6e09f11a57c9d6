"""The trainer: a net, a data set and a recipe make a run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import torch
from torch import nn

from netlet.backends import (
    Backend,
    describe_compiled_code,
    select_augmentation,
    select_backend,
    use_torch_threads,
    warn_of_fallback,
)
from netlet.budgets import Budget, Score
from netlet.data import Dataset, count_steps, iterate_epoch
from netlet.errors import NetError, TrainingError
from netlet.evaluation import Evaluation, check_agreement, evaluate
from netlet.nets.compiled_nets import unwrap
from netlet.nets.device_errors import explain_device_errors
from netlet.nets.isolation import guard_net
from netlet.nets.net_code import NetCode
from netlet.nets.weights import find_not_finite, refuse_not_finite
from netlet.progress import shows_progress
from netlet.recipes import Recipe
from netlet.records import Epoch, Run
from netlet.training.callbacks import Callback, Plan, Progress
from netlet.training.checkpoint import Checkpoint
from netlet.training.dropout import describe_dropout, override_dropout
from netlet.training.environment import describe_environment, resolve_precision
from netlet.training.progress import ProgressBar
from netlet.training.rng import RandomStreams
from netlet.training.run_record import RunOrigin, TrainingResult, make_run
from netlet.training.schedules import learning_rate
from netlet.training.state import TrainingState, start_training
from netlet.training.stretches import Stretches
from netlet.training.trainable import trace_trainable

_STEPS_PER_REPORT = 16  # reading the losses waits for the device
_DIVERGED_RATIO = 1_000  # a loss of this many times that of guessing never recovers


def fit(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    val: int = 0,
    name: str | None = None,
    net_name: str | None = None,
    code: NetCode | None = None,
    initial_weights_digest: str = "",
    callbacks: Sequence[Callback] = (),
    device: torch.device | str | None = None,
    resume: Checkpoint | None = None,
    progress: bool | None = None,
) -> Run:
    """Train a net in place, evaluate it after each epoch, and judge it by a budget.

    With the same initial weights, seed, machine and number of threads, the final weights are
    bit-identical, also if the training was interrupted and resumed (except for nets with a state
    besides parameters and buffers). ``netlet.build(builder, seed)`` gives reproducible initial
    weights. On a CPU with glibc, the process keeps freed memory from here on (see
    ``eager_cpu_layers.keep_freed_memory``).

    Args:
        net: A net from ``N C H W`` to logits or log-probabilities ``N K``. Afterwards it has the
            weights of the last epoch, averaged if the recipe averages.
        data: The data set; the held-out split gives the score of each epoch.
        recipe: How to train. Its dropout rate, if any, replaces those of the net's dropout layers
            during the training. The rates of netlet's own recipes are meant for the nets of the
            catalog (see ``Experiment``): with ``STEADY``, say, this net keeps its own rates, with
            ``STEADY.replace(dropout=0.1)`` it does not.
        seed: The seed of the order of images, the augmentation and the dropout.
        budget: The budget that is judged at the end; without one there is no verdict.
        val: Number of images of ``train`` to hold out. They give the scores instead of ``test``,
            so that no decision depends on ``test``.
        name: The name of the experiment, for the record; by default the net's class.
        net_name: The name of the net, for the record; by default its class.
        code: The source code of the net, for the record, if it does not come with netlet.
        initial_weights_digest: The digest of the initial weights, if not the seed but a file
            determined them; for the record.
        callbacks: Objects that receive the events of the training, in this order.
        device: The device to train on; by default CUDA if available, else the CPU.
        resume: A checkpoint to continue from. All other arguments must be those of the interrupted
            training.
        progress: Whether to show a progress bar and, at the end, a line with the result; by
            default in a terminal and in a notebook, but not in CI.

    Returns:
        The record of the run, including the verdict.

    Raises:
        TrainingError: The training diverged, the net has nothing to train, or it is not the net of
            the checkpoint.
        NetError: The net does not fit the data, or the device fails or runs out of memory.
        DataError: ``val`` is out of range.
    """
    recipe, net = recipe.for_net(in_catalog=False), unwrap(net)
    if shows_progress(progress):
        callbacks = (*callbacks, ProgressBar())  # last: its line says that all others are done
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    origin = RunOrigin(
        net_name=net_name or type(net).__name__,
        initial_weights_digest=initial_weights_digest,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code=code,
    )
    start = time.perf_counter() - (resume.elapsed_s if resume else 0)
    data = data.hold_out(val) if val else data
    traced = trace_trainable(net, data.shape)
    with explain_device_errors():
        net.to(device)
        data = dataclasses.replace(
            data, train=data.train.to(device), held_out=data.held_out.to(device)
        )
    plan = Plan(
        name=name or type(net).__name__,
        recipe=recipe,
        budget=budget,
        seed=seed,
        data=data.name,
        steps_per_epoch=count_steps(len(data.train), recipe.batch_size),
        train_images=len(data.train),
        held_out=data.held_out.name,
        held_out_images=len(data.held_out),
        device=device.type,
        precision=resolve_precision(recipe, device),
        dropout=describe_dropout(net, recipe, traced),
    )
    try:
        with explain_device_errors(), guard_net(type(net).__name__):
            result = Trainer(net, data, plan, callbacks, start).train(resume)
        run = make_run(plan, origin, net, data, traced, result)
        for callback in callbacks:
            callback.on_finish(run, net)
    finally:
        for callback in callbacks:
            callback.on_end()
    return run


class Trainer:
    """Trains one net by a plan.

    Args:
        net: The net, on the plan's device.
        data: The data set, with its splits on the same device.
        plan: The plan of the training.
        callbacks: Objects that receive the events of the training, in this order.
        start: The value of ``time.perf_counter()`` when the training started; earlier by the time
            that a resumed training has already taken.
    """

    def __init__(
        self,
        net: nn.Module,
        data: Dataset,
        plan: Plan,
        callbacks: Sequence[Callback],
        start: float,
    ) -> None:
        self._net, self._data, self._plan, self._recipe = net, data, plan, plan.recipe
        self._callbacks, self._start = callbacks, start
        self._random = RandomStreams(plan.seed)
        self._augmentation = select_augmentation(data.train, plan.recipe)
        # Described now, since the source files may change during the training.
        self._environment = describe_environment(torch.device(plan.device))
        self._stretches = Stretches()
        # Buffers that are not finite from the beginning, such as an infinite mask.
        self._unusual = find_not_finite(net.state_dict())
        self._epochs: list[Epoch] = []
        self._resumed_after: tuple[int, ...] = ()

    def train(self, resume: Checkpoint | None = None) -> TrainingResult:
        """Run all epochs, or the remaining ones.

        Args:
            resume: A checkpoint to continue from.

        Returns:
            The epochs, and the evaluation of the final net, whose weights ``net`` has afterwards.
        """
        net, recipe, plan = self._net, self._recipe, self._plan
        self._check_output()
        with start_training(net, recipe, recipe.epochs * plan.steps_per_epoch) as state:
            if resume:
                self._resume(resume, state)
            first = self._capture(state)
            evaluation: Evaluation | None = None
            with (
                self._random.preserve_global_state(),
                override_dropout(net, recipe),
                select_backend(
                    net, state.parameters, self._data, recipe, plan.precision, self._random.dropout
                ) as backend,
            ):
                # Only now, so that a refused backend leaves no folder behind.
                for callback in self._callbacks:
                    callback.on_start(plan)
                self._save_checkpoint(first)
                warn_of_fallback(backend, self._augmentation)
                self._stretches.begin(
                    backend.name,
                    self._environment | describe_compiled_code(backend, self._augmentation),
                )
                for number in range(len(self._epochs) + 1, recipe.epochs + 1):
                    self._random.start_epoch(number)
                    with use_torch_threads(backend.torch_threads):
                        evaluation = self._run_epoch(number, state, backend)
                    for callback in self._callbacks:
                        callback.on_epoch_end(self._epochs, state.average.net)
                    self._save_checkpoint(self._capture(state))
                final = backend.evaluation_net(state.average.net)
                if evaluation is None:  # interrupted after its last epoch, before the record
                    evaluation = self._evaluate(final)
                train_score = evaluate(final, self._data.train, recipe, self._data.classes).score
                if final is not state.average.net:
                    check_agreement(
                        evaluation, final, state.average.net, self._data.held_out, recipe
                    )
            net.load_state_dict(state.average.net.state_dict())
        return TrainingResult(
            epochs=tuple(self._epochs),
            evaluation=evaluation,
            train_score=train_score,
            stretches=self._stretches.until(len(self._epochs)),
            resumed_after=self._resumed_after,
            total_s=time.perf_counter() - self._start,
        )

    def _run_epoch(self, number: int, state: TrainingState, backend: Backend) -> Evaluation:
        """Train for one epoch, evaluate the net and append both to the epochs."""
        start = time.perf_counter()
        progress, train_loss = self._train_epoch(number, state, backend)
        trained = time.perf_counter()
        evaluation = self._evaluate(backend.evaluation_net(state.average.net))
        self._check_loss(evaluation.loss, f"the end of epoch {number}")
        self._check_weights(state.average.net, f"after epoch {number}")
        self._epochs.append(
            Epoch(
                epoch=number,
                lr=progress.lr,
                train_loss=train_loss,
                train=Score(self._data.train.name, progress.correct, progress.images),
                held_out=evaluation.score,
                held_out_loss=evaluation.loss,
                train_s=trained - start,
                score_s=time.perf_counter() - trained,
            )
        )
        return evaluation

    def _train_epoch(
        self, number: int, state: TrainingState, backend: Backend
    ) -> tuple[Progress, float]:
        """Train on every image once; return the progress at the end and the mean loss."""
        recipe, steps = self._recipe, self._plan.steps_per_epoch
        batches = iterate_epoch(self._data.train, recipe, self._random.data, self._augmentation)
        first = (number - 1) * steps  # steps of the epochs before
        total_loss, correct, images = 0.0, 0, 0
        unread: list[int] = []  # sizes of the batches whose losses have not been read
        state.net.train()
        for step, (x, labels) in enumerate(batches, start=1):
            lr = learning_rate(recipe, first + step - 1, steps)
            backend.compute_gradients(x, labels)
            state.update(lr, first + step - 1)
            images += len(labels)
            unread.append(len(labels))
            if step % _STEPS_PER_REPORT == 0 or step == steps:
                losses, correct_images = backend.read_losses()
                for which, loss in enumerate(losses, start=step + 1 - len(losses)):
                    self._check_loss(loss, f"epoch {number}, step {which}")
                total_loss += sum(loss * size for loss, size in zip(losses, unread, strict=True))
                correct += correct_images
                unread.clear()
                progress = Progress(number, step, images, losses[-1], correct, lr)
                for callback in self._callbacks:
                    callback.on_step(progress)
        return progress, total_loss / images

    def _evaluate(self, net: nn.Module) -> Evaluation:
        return evaluate(net, self._data.held_out, self._recipe, self._data.classes)

    def _check_output(self) -> None:
        """Evaluate one image, so that a net that does not fit the data fails at once."""
        held_out = self._data.held_out
        first = held_out.take(torch.arange(1, device=held_out.labels.device))
        evaluate(self._net, first, self._recipe, self._data.classes)

    def _check_loss(self, loss: float, where: str) -> None:
        if not loss <= _DIVERGED_RATIO * math.log(self._data.classes + 1):  # also if it is NaN
            raise TrainingError(
                f"the loss is {loss:.4g} at {where}; try a lower peak_lr than "
                f"{self._recipe.peak_lr:g}, or precision=float32"
            )

    def _check_weights(self, net: nn.Module, when: str) -> None:
        """Refuse weights that nobody could load; the loss may not show those that are not used."""
        tensors = {
            name: tensor for name, tensor in net.state_dict().items() if name not in self._unusual
        }
        try:
            refuse_not_finite(tensors, f"{when}, ")
        except NetError as error:
            raise TrainingError(str(error)) from error

    def _resume(self, checkpoint: Checkpoint, state: TrainingState) -> None:
        checkpoint.restore(state)
        self._epochs = list(checkpoint.epochs)
        self._resumed_after = (*checkpoint.resumed_after, len(checkpoint.epochs))
        self._stretches = Stretches(checkpoint.stretches)

    def _capture(self, state: TrainingState) -> Checkpoint:
        return Checkpoint.capture(
            state,
            tuple(self._epochs),
            time.perf_counter() - self._start,
            self._resumed_after,
            self._stretches.until(len(self._epochs)),
        )

    def _save_checkpoint(self, checkpoint: Checkpoint) -> None:
        for callback in self._callbacks:
            callback.on_checkpoint(checkpoint)
