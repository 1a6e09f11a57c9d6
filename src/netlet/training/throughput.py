"""Measure how fast a net trains, without finishing its training."""

from __future__ import annotations

import itertools
import time

import torch
from torch import nn

from netlet.backends import select_augmentation, use_torch_threads
from netlet.data import Dataset, count_steps, iterate_epoch
from netlet.nets.isolation import guard_net
from netlet.recipes import Recipe
from netlet.training.dropout import override_dropout
from netlet.training.environment import resolve_precision
from netlet.training.rng import RandomStreams
from netlet.training.state import start_training
from netlet.training.step_backend import select_step_backend
from netlet.training.training_form import make_training_form

_WARM_UP_STEPS = 8
_STEPS_PER_READ = 16  # of the losses, as in a training


def measure_throughput(net: nn.Module, data: Dataset, recipe: Recipe, seconds: float) -> float:
    """Return the images per second of a training on the CPU, with PyTorch's number of threads.

    Args:
        net: The net; its weights stay as they are, its running statistics do not.
        data: The data set to train on.
        recipe: The recipe of the training.
        seconds: How long to measure.

    Raises:
        NetletError: The net cannot be trained so.
    """
    recipe = recipe.replace(teacher="")  # whose logits may have been kept
    random, steps = RandomStreams(0), count_steps(len(data.train), recipe.batch_size)
    net = make_training_form(net, data.shape, recipe, random.make_layers_generator()).trained
    precision = resolve_precision(recipe, torch.device("cpu"))
    augmentation = select_augmentation(data.train, recipe)
    with (
        guard_net(type(net).__name__),
        start_training(net, recipe, recipe.epochs * steps) as state,
        random.preserve_global_state(),
        override_dropout(net, recipe),
        select_step_backend(state, data, recipe, precision, random) as backend,
        use_torch_threads(backend.torch_threads),
    ):
        random.start_epoch(1)
        net.train()
        epochs = (
            iterate_epoch(data.train, recipe, random.data, augmentation) for _ in itertools.count()
        )
        start, images = time.perf_counter(), 0
        for step, (x, labels) in enumerate(itertools.chain.from_iterable(epochs)):
            if step == _WARM_UP_STEPS:
                backend.read_losses()
                start, images = time.perf_counter(), 0
            backend.compute_gradients(x, labels)
            state.update(0.0, step)
            images += len(labels)
            if step > _WARM_UP_STEPS and time.perf_counter() - start >= seconds:
                break  # before any reading, so that there is something to read below
            if step % _STEPS_PER_READ == 0:
                backend.read_losses()
        backend.read_losses()
        return images / (time.perf_counter() - start)
