"""The engine: a net, a data set and a recipe make a run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from netlet.analysis import cost_from_trace, receptive_field_from_trace, summary_from_trace, trace
from netlet.backends import Backend
from netlet.backends.flat_parameters import FlatParameters, flatten_parameters
from netlet.backends.select import select_backend, select_augmentation
from netlet.budgets import Budget, Outcome
from netlet.data import Dataset, Preparation, Split, iterate_epoch, count_steps
from netlet.errors import TrainingError
from netlet.evaluation import evaluate
from netlet.nets.weights import weights_digest
from netlet.recipes import Recipe
from netlet.records import Epoch, EpochScore, Run, to_json_value
from netlet.training.averaging import WeightAverage
from netlet.training.checkpoint import Checkpoint
from netlet.training.environment import describe_environment, resolve_precision
from netlet.training.callbacks import Callback, Plan, Progress
from netlet.training.optimizers import Optimizer, make_optimizer
from netlet.training.rng import RandomStreams
from netlet.training.schedules import learning_rate

_STEPS_PER_REPORT = 16  # reading the loss waits for the device
_DIVERGED_RATIO = 1_000  # times the loss of guessing: no training comes back from there


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
    initial_weights_digest: str = "",
    callbacks: Sequence[Callback] = (),
    device: torch.device | str | None = None,
    resume: Checkpoint | None = None,
) -> Run:
    """Train a net in place, from the weights it has or from where it stood, and judge it.

    The same weights to begin with, seed, machine and number of threads give bit-identical weights
    in the end, however often the training was interrupted and resumed (but for a net that keeps
    more than parameters and buffers); ``netlet.build(builder, seed)`` gives the same weights to
    begin with. On a CPU with glibc, the process keeps freed memory from here on (see
    ``on_cpu.keep_freed_memory``).

    Args:
        net: ``N C H W`` to logits or log-probabilities ``N K``; ends with the weights of the last
            epoch, averaged if the recipe averages.
        data: Trained on ``train``, scored after each epoch on what it holds out.
        recipe: How.
        seed: Of the order of images, the augmentation and the dropout.
        budget: Judged at the end; without one there is no verdict.
        val: So many images of ``train`` score instead of ``test``, so that a choice need never see
            ``test``.
        name: Of the experiment, for the record.
        net_name: Of the net, for the record.
        initial_weights_digest: The digest of the weights that the net begins with, if the seed did not draw
            them; for the record.
        callbacks: Hear of each event, in their order.
        device: CUDA where there is one, else the CPU, if not given.
        resume: Go on from there; everything else must be as it was when the training began.

    Returns:
        The run, ready to be written, its verdict included.

    Raises:
        TrainingError: The loss is no longer finite, the net has nothing to train, or is another
            than the resumed one.
        NetError: The net does not fit the data.
        DataError: ``val`` is out of range.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    began = time.perf_counter() - (resume.elapsed_s if resume else 0)
    data = data.hold_out(val) if val else data
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    surroundings = describe_environment(where)  # as it begins: the sources may be changed meanwhile
    traced = trace(net, data.shape)
    net.to(where)
    if not any(p.requires_grad for p in net.parameters()):
        raise TrainingError(f"{type(net).__name__} has no trainable parameters; nothing to fit")
    used = resolve_precision(recipe, where)
    train, held_out = data.train.to(where), data.held_out.to(where)
    steps_per_epoch = count_steps(len(train), recipe.batch_size)
    plan = Plan(
        name or type(net).__name__,
        recipe,
        budget,
        seed,
        data.name,
        steps_per_epoch,
        len(train),
        held_out.name,
        len(held_out),
        where.type,
        used,
    )
    evaluate(
        net, held_out.take(torch.arange(1, device=where)), recipe, data.classes
    )  # fails early, if ever

    chance = RandomStreams(seed)
    epochs: list[Epoch] = []
    resumed_after: tuple[int, ...] = ()
    prepare = select_augmentation(train, recipe)
    average = WeightAverage(net, recipe, recipe.epochs * steps_per_epoch)
    with flatten_parameters(net) as flat:
        descent = make_optimizer(flat, recipe)
        if resume:
            resume.restore(net, average, descent)
            epochs, resumed_after = list(resume.epochs), (*resume.resumed_after, len(resume.epochs))

        def reached() -> None:
            elapsed_s = time.perf_counter() - began
            checkpoint = Checkpoint.of(
                net, average, descent, tuple(epochs), elapsed_s, resumed_after
            )
            for callback in callbacks:
                callback.on_checkpoint(checkpoint)

        for callback in callbacks:
            callback.on_start(plan)
        reached()
        with (
            chance.kept_apart(),
            _dropout_of(net, recipe),
            select_backend(net, flat, data, recipe, used, chance.masks) as step,
        ):
            for number in range(len(epochs) + 1, recipe.epochs + 1):
                chance.begin(number)
                net.train()
                epochs.append(
                    _epoch(
                        number,
                        step,
                        flat,
                        average,
                        descent,
                        chance.order,
                        train,
                        held_out,
                        prepare,
                        data.classes,
                        plan,
                        callbacks,
                    )
                )
                for callback in callbacks:
                    callback.on_epoch_end(epochs, average.net)
                reached()
            quick = step.evaluation_net(average.net)
            final = evaluate(quick, held_out, recipe, data.classes)
            clean = evaluate(quick, train, recipe, data.classes).score
        net.load_state_dict(average.net.state_dict())

    found = cost_from_trace(traced, recipe.epochs)
    train_s, score_s = (
        sum(getattr(epoch, what) for epoch in epochs) for what in ("train_s", "score_s")
    )
    best = max(epochs, key=lambda epoch: epoch.held_out.correct)
    run = Run(
        name=plan.name,
        net=net_name or type(net).__name__,
        seed=seed,
        recipe=to_json_value(recipe),
        budget=to_json_value(budget) if budget else None,
        cost=to_json_value(found),
        verdict=budget.judge(found, Outcome([epoch.held_out for epoch in epochs], data.name))
        if budget
        else None,
        data=data.describe(),
        epochs=tuple(epochs),
        last_epoch=EpochScore(epochs[-1].epoch, **dataclasses.asdict(epochs[-1].held_out)),
        best_epoch=EpochScore(best.epoch, **dataclasses.asdict(best.held_out)),
        train_score=clean,
        confusion=final.confusion,
        calibration=final.calibration,
        mistakes=final.mistakes,
        summary=to_json_value(summary_from_trace(traced).to_dict()),
        receptive_field=to_json_value(receptive_field_from_trace(traced).to_dict()),
        precision=used,
        backend=step.kind,
        environment=surroundings,
        times={"train_s": train_s, "score_s": score_s, "total_s": time.perf_counter() - began},
        weights_digest=weights_digest(net),
        started_at=started,
        initial_weights_digest=initial_weights_digest,
        resumed_after=resumed_after,
    )
    for callback in callbacks:
        callback.on_finish(run, net)
    return run


def _epoch(
    number: int,
    step: Backend,
    flat: FlatParameters,
    average: WeightAverage,
    descent: Optimizer,
    random: torch.Generator,
    train: Split,
    held_out: Split,
    prepare: Preparation,
    classes: int,
    plan: Plan,
    callbacks: Sequence[Callback],
) -> Epoch:
    recipe = plan.recipe
    before = (number - 1) * plan.steps_per_epoch
    begin = time.perf_counter()
    total_loss, correct, images = 0.0, 0, 0
    unread: list[int] = []  # sizes of batches
    for at, (x, labels) in enumerate(iterate_epoch(train, recipe, random, prepare), start=1):
        rate = learning_rate(recipe, before + at - 1, plan.steps_per_epoch)
        step(x, labels)
        descent.step(rate)
        average.follow(flat, before + at - 1)
        images += len(labels)
        unread.append(len(labels))
        if at % _STEPS_PER_REPORT == 0 or at == plan.steps_per_epoch:
            losses, right = step.read()
            for which, value in enumerate(losses, start=at + 1 - len(losses)):
                _refuse_divergence(value, classes, f"epoch {number}, step {which}", recipe)
            total_loss += sum(loss * size for loss, size in zip(losses, unread, strict=True))
            correct += right
            unread.clear()
            progress = Progress(number, at, images, losses[-1], correct, rate)
            for callback in callbacks:
                callback.on_step(progress)
    middle = time.perf_counter()
    scored = evaluate(step.evaluation_net(average.net), held_out, recipe, classes)
    _refuse_divergence(scored.loss, classes, f"the end of epoch {number}", recipe)
    return Epoch(
        epoch=number,
        lr=rate,
        train_loss=total_loss / images,
        train=dataclasses.replace(scored.score, split=train.name, correct=correct, total=images),
        held_out=scored.score,
        held_out_loss=scored.loss,
        train_s=middle - begin,
        score_s=time.perf_counter() - middle,
    )


def _refuse_divergence(loss: float, classes: int, where: str, recipe: Recipe) -> None:
    if not loss <= _DIVERGED_RATIO * math.log(classes + 1):
        raise TrainingError(
            f"the loss is {loss:.4g} at {where}; try a lower peak_lr than {recipe.peak_lr:g}, or precision=float32"
        )


@contextmanager
def _dropout_of(net: nn.Module, recipe: Recipe) -> Iterator[None]:
    """The recipe's dropout rate for all layers of dropout, for the time of the training."""
    layers = [module for module in net.modules() if isinstance(module, _DropoutNd)]
    own = [layer.p for layer in layers]
    for layer in layers:
        layer.p = layer.p if recipe.dropout is None else recipe.dropout
    try:
        yield
    finally:
        for layer, p in zip(layers, own, strict=True):
            layer.p = p
