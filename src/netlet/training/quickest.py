"""Which way of running a net is the fastest that there is here; all give the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from netlet.data import Dataset
from netlet.native import NotNative
from netlet.recipes import Recipe
from netlet.training.captured import CapturedStep
from netlet.training.chance import Chance
from netlet.training.compiled import CompiledStep
from netlet.training.flat import Flat
from netlet.training.on_cpu import faster_layers, keep_freed_memory
from netlet.training.steps import EagerStep, Step


@contextmanager
def step_for(
    net: nn.Module, flat: Flat, data: Dataset, recipe: Recipe, precision: str, chance: Chance
) -> Iterator[Step]:
    """The fastest way there is to run a net where it lies.

    Args:
        net: Its dropout rates as they shall be.
        flat: The same net's tensors.
        data: Gives the shape of an image.
        recipe: Gives batch and label smoothing, and may ask for the plain way.
        precision: ``bf16`` or ``float32``.
        chance: What dropout draws from.
    """
    device = flat.floats[0].device.type
    if device == "cuda" and recipe.step == "auto":
        yield CapturedStep(net, flat, recipe, precision)
        return
    if device != "cpu":
        yield EagerStep(net, flat, recipe, precision)
        return
    keep_freed_memory()
    if recipe.step == "auto":
        try:
            yield CompiledStep(net, data, recipe, precision, chance)
            return
        except NotNative:
            pass
    with faster_layers(net, chance.masks):
        yield EagerStep(net, flat, recipe, precision)
