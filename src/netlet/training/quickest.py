"""Which way of running a net is the fastest that there is here; all give the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from netlet.data import Dataset
from netlet.errors import TrainingError
from netlet.native import NotNative
from netlet.recipes import Recipe
from netlet.training.captured import CapturedStep
from netlet.training.chance import Chance
from netlet.training.compiled import CompiledStep
from netlet.training.flat import Flat
from netlet.training.on_cpu import faster_layers, keep_freed_memory
from netlet.training.steps import EagerStep, Step

_WORTH_COMPILING = 30_000  # images, over all epochs: eager steps on fewer are done before the compiler is


@contextmanager
def step_for(
    net: nn.Module, flat: Flat, data: Dataset, recipe: Recipe, precision: str, chance: Chance
) -> Iterator[Step]:
    """The fastest way there is to run a net where it lies.

    Args:
        net: Its dropout rates as they shall be.
        flat: The same net's tensors.
        data: Gives the shape of an image, and how many there are.
        recipe: Gives batch and label smoothing, and may ask for one way.
        precision: ``bf16`` or ``float32``.
        chance: What dropout draws from.

    Raises:
        TrainingError: The recipe asks for a compiled step, and there can be none.
    """
    device = flat.floats[0].device.type
    if device == "cuda" and recipe.step == "auto":
        yield CapturedStep(net, flat, recipe, precision)
        return
    if device != "cpu" and recipe.step == "compiled":
        raise TrainingError(f"steps are compiled for CPUs, the device is {device}; leave step=auto")
    if device != "cpu":
        yield EagerStep(net, flat, recipe, precision)
        return
    keep_freed_memory()
    if recipe.step == "compiled" or (recipe.step == "auto" and len(data.train) * recipe.epochs >= _WORTH_COMPILING):
        try:
            step = CompiledStep(net, data, recipe, precision, chance)
        except NotNative as why:
            if recipe.step == "compiled":
                raise TrainingError(f"no step can be compiled for this net: {why}; leave step=auto") from why
        else:
            yield step
            return
    with faster_layers(net, chance.masks):
        yield EagerStep(net, flat, recipe, precision)
