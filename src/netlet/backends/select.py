"""Which way of running a net is the fastest that there is here; all give the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import nn

from netlet.backends.backend import Backend
from netlet.backends.cpu import CompilationError, CompiledAugmentation
from netlet.backends.cpu.backend import CompiledBackend
from netlet.backends.cuda_graph import CudaGraphBackend
from netlet.backends.eager import EagerBackend
from netlet.backends.eager_cpu_layers import use_fast_cpu_layers, keep_freed_memory
from netlet.backends.flat_parameters import FlatParameters
from netlet.data import Dataset, Preparation, Split, eager_preparation
from netlet.data.augment import cubic_weights, drop_identity_ops
from netlet.errors import TrainingError
from netlet.recipes import Recipe

_MIN_IMAGES_TO_COMPILE = (
    30_000  # images, over all epochs: eager steps on fewer are done before the compiler is
)


@contextmanager
def select_backend(
    net: nn.Module,
    flat: FlatParameters,
    data: Dataset,
    recipe: Recipe,
    precision: str,
    masks: np.random.BitGenerator,
) -> Iterator[Backend]:
    """The fastest way there is to run a net where it lies.

    Args:
        net: Its dropout rates as they shall be.
        flat: The same net's tensors.
        data: Gives the shape of an image, and how many there are.
        recipe: Gives batch and label smoothing, and may ask for one way.
        precision: ``bf16`` or ``float32``.
        masks: What dropout draws from.

    Raises:
        TrainingError: The recipe asks for a compiled step, and there can be none.
    """
    device = flat.floats[0].device.type
    if device == "cuda" and recipe.backend == "auto":
        yield CudaGraphBackend(net, flat, recipe, precision)
        return
    if device != "cpu" and recipe.backend == "compiled":
        raise TrainingError(
            f"steps are compiled for CPUs, the device is {device}; leave backend=auto"
        )
    if device != "cpu":
        yield EagerBackend(net, flat, recipe, precision)
        return
    keep_freed_memory()
    if recipe.backend == "compiled" or (
        recipe.backend == "auto" and len(data.train) * recipe.epochs >= _MIN_IMAGES_TO_COMPILE
    ):
        try:
            step = CompiledBackend(net, data, recipe, precision, masks)
        except CompilationError as why:
            if recipe.backend == "compiled":
                raise TrainingError(
                    f"no step can be compiled for this net: {why}; leave backend=auto"
                ) from why
        else:
            yield step
            return
    with use_fast_cpu_layers(net, masks):
        yield EagerBackend(net, flat, recipe, precision)


def select_augmentation(split: Split, recipe: Recipe) -> Preparation:
    """The fastest way to augment and normalize a split where it lies: compiled, or else eager PyTorch."""
    if recipe.backend != "eager":
        ops = drop_identity_ops(recipe.augment)
        height, width = split.images.shape[2:]
        spreads = [
            (cubic_weights(op.elastic_points, height), cubic_weights(op.elastic_points, width))
            if op.elastic_px
            else None
            for op in ops
        ]
        try:
            compiled = CompiledAugmentation(split.images, ops, recipe.mean, recipe.std, spreads)
        except CompilationError:
            pass
        else:
            return lambda index, draws: compiled(
                index, [(of_op.maps, of_op.points) for of_op in draws]
            )
    return eager_preparation(split, recipe)
