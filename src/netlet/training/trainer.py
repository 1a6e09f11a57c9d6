"""The trainer: it trains one net by a plan."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Generator, Iterator, Sequence

import torch
from torch import nn

from netlet.backends import (
    Backend,
    Step,
    describe_compiled_code,
    select_augmentation,
    use_torch_threads,
    warn_of_fallback,
)
from netlet.budgets import Score
from netlet.data import Dataset, iterate_epoch
from netlet.errors import NetError, TrainingError
from netlet.evaluation import Evaluation, check_agreement, evaluate
from netlet.nets.weights import find_not_finite, refuse_not_finite
from netlet.records import Epoch
from netlet.training.callbacks import Callback, Plan, Progress
from netlet.training.checkpoint import Checkpoint
from netlet.training.dropout import override_dropout
from netlet.training.environment import describe_environment
from netlet.training.norm_statistics import BatchNormUpdate
from netlet.training.rng import RandomStreams
from netlet.training.run_record import TrainingResult
from netlet.training.schedules import augmentation_strengths, learning_rate
from netlet.training.setting import describe_setting, refuse_other_setting
from netlet.training.state import TrainingState, start_training
from netlet.training.step_backend import select_step_backend
from netlet.training.stretches import Stretches
from netlet.training.teacher import Teacher
from netlet.training.teacher_logits import TeacherLogits
from netlet.training.training_form import TrainingForm

_STEPS_PER_REPORT = 16  # reading the losses waits for the device
_DIVERGED_RATIO = 1_000  # a loss of this many times that of guessing never recovers


class Trainer:
    """Trains one net by a plan.

    Args:
        form: The net and the module that is trained, on the plan's device.
        data: The data set, with its splits on the same device.
        plan: The plan of the training.
        callbacks: Objects that receive the events of the training, in this order.
        start: The value of ``time.perf_counter()`` when the training started; earlier by the time
            that a resumed training has already taken.
        teacher: The net on whose logits the net is trained, on the plan's device.
    """

    def __init__(
        self,
        form: TrainingForm,
        data: Dataset,
        plan: Plan,
        callbacks: Sequence[Callback],
        start: float,
        started_at: str,
        teacher: Teacher | None = None,
    ) -> None:
        self._form, self._net = form, form.trained
        self._data, self._plan, self._recipe = data, plan, plan.recipe
        self._callbacks, self._start, self._started_at = callbacks, start, started_at
        self._random = RandomStreams(plan.seed)
        self._augmentation = select_augmentation(data.train, plan.recipe)
        self._batch_norm_update = BatchNormUpdate(
            data.train, plan.recipe, self._random, plan.steps_per_epoch
        )
        # Described now, since the source files may change during the training.
        self._environment = describe_environment(torch.device(plan.device))
        self._setting = {
            **describe_setting(plan.recipe, data, seed=plan.seed, budget=plan.budget),
            "name": plan.name,
            "net": plan.net,
            "initial_weights_digest": plan.initial_weights_digest,
            "net_digest": plan.net_digest,
            "source_digest": plan.source_digest,
        }
        self._teacher = teacher
        self._logits: TeacherLogits | None = None  # known when the backend is
        if teacher is not None:
            self._environment["teacher"] = teacher.digest
        self._stretches = Stretches()
        # Buffers that are not finite from the beginning, such as an infinite mask.
        self._unusual = find_not_finite(form.trained.state_dict())
        self._epochs: list[Epoch] = []
        self._resumed_after: tuple[int, ...] = ()

    def train(self, resume: Checkpoint | None = None) -> Generator[None, None, TrainingResult]:
        """Run all epochs, or the remaining ones.

        Args:
            resume: A checkpoint to continue from.

        Yields:
            Nothing, each time when steps have been handed to the device and their losses are about
            to be read: a caller with several trainings lets another one go on.

        Returns:
            The epochs, and the evaluation of the final net, whose weights the net has afterwards.
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
                select_step_backend(
                    state, self._data, recipe, plan.precision, self._random
                ) as backend,
            ):
                # Only now, so that a refused backend leaves no folder behind.
                for callback in self._callbacks:
                    callback.on_start(plan)
                self._save_checkpoint(first)
                warn_of_fallback(backend, self._augmentation)
                code = describe_compiled_code(backend, self._augmentation)
                self._stretches.begin(backend.name, self._environment | code)
                if self._teacher:
                    self._logits = TeacherLogits(
                        self._teacher,
                        self._data.train,
                        recipe,
                        plan.seed,
                        backend,
                        code["augmentation"],
                    )
                for number in range(len(self._epochs) + 1, recipe.epochs + 1):
                    self._random.start_epoch(number)
                    with use_torch_threads(backend.torch_threads):
                        evaluation, scored = yield from self._run_epoch(number, state, backend)
                    for callback in self._callbacks:
                        callback.on_epoch_end(self._epochs, scored)
                    self._save_checkpoint(self._capture(state))
                scored = self._form.fold(state.average.net)
                final = backend.evaluation_net(scored)
                if evaluation is None:  # interrupted after its last epoch, before the record
                    evaluation = self._evaluate(final)
                train_score = evaluate(final, self._data.train, recipe, self._data.classes).score
                if final is not scored:
                    check_agreement(evaluation, final, scored, self._data.held_out, recipe)
            self._form.finish(scored)
        return TrainingResult(
            epochs=tuple(self._epochs),
            evaluation=evaluation,
            train_score=train_score,
            stretches=self._stretches.until(len(self._epochs)),
            resumed_after=self._resumed_after,
            total_s=time.perf_counter() - self._start,
        )

    def _run_epoch(
        self, number: int, state: TrainingState, backend: Backend
    ) -> Generator[None, None, tuple[Evaluation, nn.Module]]:
        """Train for one epoch, evaluate the net and append both to the epochs.

        Returns:
            The evaluation, and the net that was evaluated.
        """
        start = time.perf_counter()
        progress, train_loss = yield from self._train_epoch(number, state, backend)
        self._batch_norm_update.apply(state.average.net, number)
        trained = time.perf_counter()
        scored = self._form.fold(state.average.net)
        evaluation = self._evaluate(backend.evaluation_net(scored))
        self._check_loss(evaluation.loss, f"the end of epoch {number}")
        self._check_weights(state.average.net, f"after epoch {number}")
        self._form.check(state.average.net, self._data.train, self._recipe)
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
        return evaluation, scored

    def _train_epoch(
        self, number: int, state: TrainingState, backend: Backend
    ) -> Generator[None, None, tuple[Progress, float]]:
        """Train on every image once; return the progress at the end and the mean loss."""
        steps = self._plan.steps_per_epoch
        total_loss, correct, images = 0.0, 0, 0
        begun: list[Step] = []  # those whose losses have not been read
        stream = self._iterate_steps(number, begun)
        state.net.train()
        for step in range(0, steps, _STEPS_PER_REPORT):
            backend.train(itertools.islice(stream, _STEPS_PER_REPORT), state)
            yield
            losses, correct_images = backend.read_losses()
            for which, loss in enumerate(losses, start=step + 1):
                self._check_loss(loss, f"epoch {number}, step {which}")
            sizes = [len(one.labels) for one in begun]
            total_loss += sum(loss * size for loss, size in zip(losses, sizes, strict=True))
            correct, images = correct + correct_images, images + sum(sizes)
            progress = Progress(
                number, step + len(begun), images, losses[-1], correct, begun[-1].lr
            )
            begun.clear()
            for callback in self._callbacks:
                callback.on_step(progress)
        return progress, total_loss / images

    def _iterate_steps(self, number: int, begun: list[Step]) -> Iterator[Step]:
        """Yield the steps of an epoch, and note each in ``begun``."""
        recipe, steps = self._recipe, self._plan.steps_per_epoch
        batches = iterate_epoch(
            self._data.train,
            recipe,
            self._random.data,
            self._augmentation,
            augmentation_strengths(recipe, number, steps),
        )
        if self._logits:
            self._logits.start_epoch(number)
        for which, (images, labels) in enumerate(batches, start=(number - 1) * steps):
            soft = self._logits.read(images) if self._logits else None
            begun.append(Step(images, labels, learning_rate(recipe, which, steps), which, soft))
            yield begun[-1]

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
        refuse_other_setting(checkpoint.setting, self._setting, checkpoint.folder)
        self._check_teacher(checkpoint)
        checkpoint.restore(state)
        self._epochs = list(checkpoint.epochs)
        self._resumed_after = (*checkpoint.resumed_after, len(checkpoint.epochs))
        self._stretches = Stretches(checkpoint.stretches)

    def _check_teacher(self, checkpoint: Checkpoint) -> None:
        """Refuse to go on with other logits than the training began with."""
        if not checkpoint.stretches:  # nothing has been trained
            return
        before = checkpoint.stretches[-1].environment.get("teacher", "")
        if before != self._environment.get("teacher", ""):
            raise TrainingError(
                f"the teacher {self._recipe.teacher} has other weights than the one that this run "
                "started with; resume on the same machine with the same number of threads, or "
                "start a new run"
            )

    def _capture(self, state: TrainingState) -> Checkpoint:
        return Checkpoint.capture(
            state,
            tuple(self._epochs),
            time.perf_counter() - self._start,
            self._resumed_after,
            self._stretches.until(len(self._epochs)),
            self._started_at,
            self._setting,
        )

    def _save_checkpoint(self, checkpoint: Checkpoint) -> None:
        for callback in self._callbacks:
            callback.on_checkpoint(checkpoint)
