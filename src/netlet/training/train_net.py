"""Training a net: a net, a data set and a recipe make a run."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlet.analysis import cost_from_trace, refuse_unknown_names
from netlet.backends import find_device, use_repeatable_kernels
from netlet.budgets import Budget
from netlet.data import Dataset, count_steps, prepare_for_record
from netlet.errors import check_argument, check_type, warn
from netlet.nets.addresses import complete_address
from netlet.nets.compiled_nets import unwrap
from netlet.nets.device_errors import explain_device_errors
from netlet.nets.first_weights import find_catalog_name, remember_training
from netlet.nets.isolation import guard_net
from netlet.nets.net_code import NetCode
from netlet.nets.registered import find_device as find_net_device
from netlet.nets.registry import check_seed
from netlet.nets.user_code import refuse_while_loading
from netlet.nets.weights import weights_digest
from netlet.progress import show_line, shows_progress
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training.callbacks import Callback, Plan
from netlet.training.checkpoint import Checkpoint
from netlet.training.dropout import describe_dropout
from netlet.training.environment import resolve_precision
from netlet.training.finished_run import find_named_code, read_finished, warn_if_unreadable
from netlet.training.initial_weights import make_lazy_weights, note_initial_weights
from netlet.training.logs import LogCallback
from netlet.training.progress import ProgressBar
from netlet.training.random_starts import choose_start
from netlet.training.recorder import Recorder
from netlet.training.resumed_folder import record_in
from netlet.training.rng import RandomStreams
from netlet.training.run_record import RunOrigin, digest_traced_net, make_run, name_run
from netlet.training.teacher import prepare_teacher
from netlet.training.together import finish
from netlet.training.trainable import trace_trainable, warn_of_untrained
from netlet.training.trainer import Trainer
from netlet.training.training_form import make_training_form


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
    resume: Checkpoint | Path | str | None = None,
    progress: bool | None = None,
    log: str | Sequence[str] | None = None,
) -> Run:
    """Train a net in place, evaluate it after each epoch, and judge it by a budget.

    With the same initial weights, seed, machine and number of threads, the final weights are
    bit-identical, also if the training was interrupted and resumed (except for nets with a state
    besides parameters and buffers). ``netlet.build(builder, seed)`` gives reproducible initial
    weights; a net with others is trained with a warning. On a CPU with glibc, the process keeps
    freed memory from here on (see ``eager_cpu_layers.keep_freed_memory``).

    If the recipe has a teacher, that is trained first, unless a call before has kept it in netlet's
    cache folder.

    If the recipe has random starts, the net must come from ``netlet.build``, which can build it
    again with other initial weights. They are trained first, and again if the training is
    interrupted before it has begun itself.

    Args:
        net: A net from ``N C H W`` to logits or log-probabilities ``N K``. Afterwards it has the
            weights of the last epoch, averaged if the recipe averages, on the device where it was.
        data: The data set; the held-out split gives the score of each epoch.
        recipe: How to train. Its dropout rate, if any, replaces those of the net's dropout layers
            during the training. The rates of netlet's own recipes are meant for the nets of the
            catalog (see ``Experiment``): with ``STEADY``, say, this net keeps its own rates, with
            ``STEADY.replace(dropout=0.1)`` it does not.
        seed: The seed of the order of images, the augmentation and the dropout.
        budget: The budget that is judged at the end; without one there is no verdict.
        val: Number of images of ``train`` to hold out. They give the scores instead of ``test``,
            so that no decision depends on ``test``.
        name: The name of the experiment, for the record; by default the net's class, or that of
            the function that built a net of torch.nn.
        net_name: The name of the net, for the record; by default that of the catalog, or the same.
        code: The source code of the net, for the record, if it does not come with netlet; by
            default that of ``net_name``, if this is an address like ``notebook.ipynb:Net``.
        initial_weights_digest: The digest of the initial weights, if not the seed but a file
            determined them; for the record.
        callbacks: Objects that receive the events of the training, in this order.
        device: The device to train on; by default CUDA if available, else the CPU.
        resume: What to continue: a checkpoint, or the folder of a run. It is recorded there, by the
            ``Recorder`` among the callbacks if there is one: from its beginning if there is no such
            folder, else from where it was interrupted. If it is finished, it is read instead, and
            the net gets its weights; a net that does not come with netlet needs ``net_name`` for
            this. All other arguments must be those of that training.
        progress: Whether to show a progress bar and, at the end, a line with the result; by
            default in a terminal and in a notebook, but not in CI.
        log: ``tensorboard``, ``wandb`` or ``trackio``, or several of them, to log each epoch to, in
            the folder of a ``Recorder`` among the callbacks, else in ``logs/NAME-seedN``. A log
            that fails is given up with a warning.

    Returns:
        The record of the run, including the verdict.

    Raises:
        TypeError: The net, data set, recipe or budget is of another type, such as its name.
        TrainingError: The training diverged, the net has nothing to train or cannot be trained in
            the form of the recipe, or the checkpoint is of another net or training.
        NetError: The net does not fit the data, or the device fails or runs out of memory.
        DataError: ``val`` is out of range, or the splits are not called ``train`` and ``test``.
        BudgetError: The budget forbids or requires a kind of layer that does not exist.
        RecipeError: There is no such teacher as the recipe names, or the recipe has random starts
            and the net does not come from ``netlet.build``.
    """
    _check_arguments(net, data, recipe, budget, seed, callbacks)
    net_name = complete_address(net_name) if net_name else None
    data = prepare_for_record(data)
    make_lazy_weights(unwrap(net), data.shape)
    recorder = next((one for one in callbacks if isinstance(one, Recorder)), None)
    with contextlib.ExitStack() as stack:
        if isinstance(resume, Path | str):
            folder = Path(resume)
            run = read_finished(
                folder,
                unwrap(net),
                data.hold_out(val) if val else data,
                recipe.for_net(in_catalog=False),
                seed=seed,
                budget=budget,
                net_name=net_name,
                code=code,
                initial_weights_digest=initial_weights_digest,
            )
            if run:
                if shows_progress(progress):
                    show_line(f"{folder}: read, since it is finished: {run.last_epoch.score}")
                return run
            resume, recorder, callbacks = stack.enter_context(record_in(folder, callbacks))
        if resume is None and recorder is not None:
            warn_if_unreadable(recorder.folder, unwrap(net), net_name, code)
        if resume is None and not initial_weights_digest:
            initial_weights_digest = note_initial_weights(net, seed)
        if not 0 <= recipe.mean <= 1:
            warn(
                f"mean={recipe.mean:g}, but gray levels are from 0 to 1 here; divide a mean and a "
                "std of gray levels up to 255 by 255"
            )
        if log:
            callbacks = (*callbacks, LogCallback(log, recorder))
        stack.enter_context(_hint_at_resume(recorder))
        return finish(
            iterate_fit(
                net,
                data,
                recipe,
                seed=seed,
                budget=budget,
                val=val,
                name=name,
                net_name=net_name,
                code=code,
                initial_weights_digest=initial_weights_digest,
                callbacks=callbacks,
                device=device,
                resume=resume,
                progress=progress,
            )
        )


@contextlib.contextmanager
def _hint_at_resume(recorder: Recorder | None) -> Iterator[None]:
    """Say on Ctrl-C, or when the cell is stopped, how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if recorder is not None and recorder.can_resume:
            stop.add_note(f"{recorder.resume_command} continues after the last complete epoch")
        raise


def _check_arguments(
    net: object, data: object, recipe: object, budget: object, seed: object, callbacks: object
) -> None:
    refuse_while_loading()
    check_argument(unwrap(net), nn.Module)
    check_argument(data, Dataset)
    check_argument(recipe, Recipe)
    check_argument(budget, Budget, optional=True)
    check_seed(seed)
    check_type(callbacks, (list, tuple), "callbacks", "a list, like [Recorder('runs/mine')]")


def iterate_fit(
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
    warns: bool = True,
) -> Generator[None, None, Run]:
    """Train like :func:`fit`, step by step: several trainings can take turns on one device.

    The arguments are those of :func:`fit`; ``warns`` is False where the net has been warned of.

    Yields:
        Nothing, each time when the device has steps to do.

    Returns:
        The record of the run.
    """
    _check_arguments(net, data, recipe, budget, seed, callbacks)
    net, net_name = unwrap(net), complete_address(net_name) if net_name else None
    began = resume.setting if resume else {}
    initial_weights_digest = initial_weights_digest or began.get("initial_weights_digest", "")
    kind = name_run(net)
    name = name or began.get("name") or kind
    recipe = recipe.for_net(in_catalog=False)
    if shows_progress(progress):
        callbacks = (*callbacks, ProgressBar())  # last: its line says that all others are done
    home, device = find_net_device(net), find_device(device)
    origin = RunOrigin(
        net_name=net_name or began.get("net") or find_catalog_name(net) or kind,
        initial_weights_digest=initial_weights_digest,
        started_at=(resume.started_at if resume else "")
        or datetime.now(UTC).isoformat(timespec="seconds"),
        code=code or find_named_code(net, net_name),
    )
    start = time.perf_counter() - (resume.elapsed_s if resume else 0)
    data = data.hold_out(val) if val else data
    traced = trace_trainable(net, data.shape)
    if warns and code is None:  # commands, which know it, have printed notes on the net
        warn_of_untrained(traced)
    if budget:
        kinds = cost_from_trace(traced).kinds if budget.rules() else ()
        refuse_unknown_names(budget, kinds)
    own: Mapping[str, Any] = {}  # as long as the net has not been trained
    try:
        if recipe.random_starts > 1 and resume is None:
            own = copy.deepcopy(net.state_dict())
            yield from choose_start(net, data, recipe, seed, name, device, callbacks)
        layers = RandomStreams(seed).make_layers_generator()
        form = make_training_form(net, data.shape, recipe, layers)
        teacher = prepare_teacher(data, recipe, device, callbacks) if recipe.teacher else None
        with explain_device_errors():
            net.to(device)
            if form.trained is not net:
                form.trained.to(device)
            data = dataclasses.replace(
                data, train=data.train.to(device), held_out=data.held_out.to(device)
            )
    except BaseException:
        _restore(net, own)
        net.to(home)
        for callback in callbacks:
            callback.on_end()
        raise
    plan = Plan(
        name=name,
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
        training_parameters=form.extra_parameters,
        teacher=teacher.values if teacher else None,
        initial_weights_digest=initial_weights_digest,
        net_digest=digest_traced_net(traced),
        source_digest=origin.code.digest if origin.code else "",
        net=origin.net_name,
    )
    first = weights_digest(net)
    try:
        with (
            explain_device_errors(),
            guard_net(type(net).__name__),
            use_repeatable_kernels(device),
        ):
            trainer = Trainer(form, data, plan, callbacks, start, origin.started_at, teacher)
            result = yield from trainer.train(resume)
        own = {}
        run = make_run(plan, origin, net, data, traced, result)
        for callback in callbacks:
            callback.on_finish(run, net)
    finally:
        if _has_other_weights(net, first):
            remember_training(net)
        else:  # it was interrupted before the first step
            _restore(net, own)
        net.to(home)
        for callback in callbacks:
            callback.on_end()
    return run


def _restore(net: nn.Module, own: Mapping[str, Any]) -> None:
    """Give a net the weights back that it had before its random starts."""
    if own:
        net.load_state_dict(own)


def _has_other_weights(net: nn.Module, digest: str) -> bool:
    try:
        return weights_digest(net) != digest
    except RuntimeError:  # the device has failed
        return True
