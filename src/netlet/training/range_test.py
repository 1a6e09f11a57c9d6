"""A learning-rate range test: the loss of a net while its learning rate rises over one epoch.

The test is Smith's (2015, arXiv:1506.01186), with the exponential increase, the smoothed loss and
the two suggestions of fastai. It sees the training images only, and judges nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from netlet.backends import (
    Step,
    find_device,
    select_augmentation,
    use_repeatable_kernels,
)
from netlet.data import Dataset
from netlet.data.batches import count_steps, iterate_epoch
from netlet.display import Plotted
from netlet.errors import TrainingError, check_argument
from netlet.nets.compiled_nets import unwrap
from netlet.nets.copying import copy_net
from netlet.nets.device_errors import explain_device_errors
from netlet.nets.isolation import guard_net
from netlet.recipes import Recipe
from netlet.text import count_noun
from netlet.training.dropout import override_dropout
from netlet.training.environment import resolve_precision
from netlet.training.rng import RandomStreams
from netlet.training.state import start_training
from netlet.training.step_backend import select_step_backend
from netlet.training.trainable import trace_trainable
from netlet.training.training_form import make_training_form

LOWEST_RATE, HIGHEST_RATE = 1e-6, 10.0
MIN_STEPS = 20  # with fewer there is no curve
_DIVERGED_RATIO = 4  # the test ends at this many times the lowest smoothed loss
_IGNORED_PART = 10  # a tenth of the steps, at the beginning
_SMOOTHED_STEPS = 50  # over about as many steps the loss is averaged, in short epochs over fewer


@dataclass(frozen=True)
class RangeTest(Plotted):
    """The loss at each learning rate of a range test.

    Attributes:
        rates: The learning rate of each step, rising.
        losses: The mean loss of the batch of each step, before the step.
        smoothed: An exponential moving average of the losses, corrected for its start.
        diverged: Whether the test ended before the epoch, since the loss had become too large.
        steps: The number of steps of the whole epoch.
        peak_lr: The learning rate of the recipe, to compare with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    diverged: bool
    steps: int
    peak_lr: float

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest; None if it is lowest too early.

        As in fastai, the first tenth of the steps does not count: its averages are over few steps,
        and follow their noise.
        """
        lowest, first = int(np.argmin(self.smoothed)), self.steps // _IGNORED_PART
        if lowest <= first:
            return None
        slopes = np.gradient(self.smoothed[first:], np.log(self.rates[first:]))
        slopes = slopes[: lowest + 1 - first]
        return self.rates[first + int(np.argmin(slopes))] if slopes.min() < 0 else None

    @property
    def tenth_of_lowest(self) -> float | None:
        """A tenth of the rate with the lowest smoothed loss; None if the loss never falls."""
        lowest = int(np.argmin(self.smoothed))
        return self.rates[lowest] / 10 if lowest else None

    def _facts(self) -> Mapping[str, object]:
        return {"steepest": self.steepest, "tenth_of_lowest": self.tenth_of_lowest} | {
            "steps": self.steps,
            "peak_lr": self.peak_lr,
        }

    def to_dict(self) -> dict[str, object]:
        """Return the test as plain values."""
        return {
            **dataclasses.asdict(self),
            "steepest": self.steepest,
            "tenth_of_lowest": self.tenth_of_lowest,
        }


def run_range_test(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    lowest: float = LOWEST_RATE,
    highest: float = HIGHEST_RATE,
    device: torch.device | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> RangeTest:
    """Train a copy of a net for one epoch while the learning rate rises exponentially.

    The test ends early if the loss is not finite or four times its lowest smoothed value. The net
    stays as it is; the held-out split is never read.

    Args:
        net: A net from ``N C H W`` to logits or log-probabilities ``N K``.
        data: The data set; only its training split is used.
        recipe: How to train; its learning rate, schedule, averaging, number of epochs, teacher,
            random starts and the weaker augmentation of the last steps are not used.
        seed: The seed of the order of images, the augmentation and the dropout.
        lowest: The learning rate of the first step.
        highest: The learning rate of the last step.
        device: The device to train on; by default CUDA if available, else the CPU.
        on_progress: Called with the number of finished steps and of all steps.

    Raises:
        TrainingError: The rates are out of range, an epoch has too few steps, the loss is not
            finite from the beginning, or the net has nothing to train.
        NetError: The net does not fit the data, or the device fails or runs out of memory.
    """
    net = unwrap(net)
    check_argument(net, nn.Module)
    check_argument(data, Dataset)
    check_argument(recipe, Recipe)
    if not 0 < lowest < highest < math.inf:
        raise TrainingError(
            f"the lowest learning rate ({lowest:g}) must be above 0 and below a finite highest one "
            f"({highest:g}); pass, for example, --lowest {LOWEST_RATE:g} --highest "
            f"{HIGHEST_RATE:g} (lowest and highest in Python)"
        )
    recipe = recipe.for_net(in_catalog=False).replace(epochs=1, averaging="none", teacher="")
    steps = count_steps(len(data.train), recipe.batch_size)
    if steps < MIN_STEPS:
        remedy = len(data.train) // MIN_STEPS
        raise TrainingError(
            f"an epoch has {count_noun(steps, 'step')} of {recipe.batch_size} images, but a range "
            f"test needs at least {MIN_STEPS}; "
            + (f"use batch_size={remedy} or less" if remedy else "use more training images")
        )
    trace_trainable(net, data.shape)
    form = make_training_form(net, data.shape, recipe, RandomStreams(seed).make_layers_generator())
    device = find_device(device)
    rates = [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]
    with (
        explain_device_errors(),
        guard_net(type(net).__name__),
        use_repeatable_kernels(device),
    ):
        twin = (copy_net(net) if form.trained is net else form.trained).to(device)
        train = dataclasses.replace(data, train=data.train.to(device))
        with contextlib.closing(_run_epoch(twin, train, recipe, rates, seed)) as losses:
            return _collect(losses, rates, recipe.peak_lr, on_progress)


def _run_epoch(
    net: nn.Module, data: Dataset, recipe: Recipe, rates: list[float], seed: int
) -> Generator[float, None, None]:
    """Yield the loss of each step of an epoch, as it was before the step."""
    random = RandomStreams(seed)
    prepare = select_augmentation(data.train, recipe)
    precision = resolve_precision(recipe, data.train.images.device)
    with (
        start_training(net, recipe, len(rates)) as state,
        random.preserve_global_state(),
        override_dropout(net, recipe),
        select_step_backend(state, data, recipe, precision, random) as backend,
    ):
        random.start_epoch(1)
        net.train()
        batches = iterate_epoch(data.train, recipe, random.data, prepare)
        for step, ((images, labels), rate) in enumerate(zip(batches, rates, strict=True)):
            backend.train([Step(images, labels, rate, step)], state)
            yield backend.read_losses()[0][-1]


def _collect(
    losses: Iterator[float],
    rates: list[float],
    peak_lr: float,
    on_progress: Callable[[int, int], None] | None,
) -> RangeTest:
    """Read losses until the epoch ends or they are too large.

    Raises:
        TrainingError: The first ones are not finite.
    """
    keep = 1 - 1 / min(_SMOOTHED_STEPS, max(1, len(rates) // 10))
    found: list[float] = []
    smoothed: list[float] = []
    average, diverged = 0.0, False
    for step, loss in enumerate(losses, start=1):
        diverged = not math.isfinite(loss)
        if diverged:
            break
        average = keep * average + (1 - keep) * loss
        found.append(loss)
        smoothed.append(average / (1 - keep**step))
        if on_progress:
            on_progress(step, len(rates))
        diverged = smoothed[-1] > _DIVERGED_RATIO * min(smoothed)
        if diverged:
            break
    if len(found) < 2:
        raise TrainingError(
            f"the loss is not finite at a learning rate of {rates[len(found)]:g}; start with a "
            "lower one, or use precision=float32"
        )
    return RangeTest(
        tuple(rates[: len(found)]), tuple(found), tuple(smoothed), diverged, len(rates), peak_lr
    )
