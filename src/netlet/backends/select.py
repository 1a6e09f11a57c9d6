"""Choose the fastest backend that is available for a net; all compute the same gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from netlet.backends.backend import Backend, Update
from netlet.backends.cpu import CompilationError, CompiledAugmentation
from netlet.backends.cpu.augmentation_check import grid_weights
from netlet.backends.cpu.backend import CompiledBackend
from netlet.backends.cpu.errors import CompilationDisabledError, UnsupportedNetError
from netlet.backends.cpu.library import describe_compiler
from netlet.backends.cuda_graph import CudaGraphBackend
from netlet.backends.eager import EagerBackend
from netlet.backends.eager_cpu_layers import keep_freed_memory, use_fast_cpu_layers
from netlet.backends.flat_parameters import FlatParameters
from netlet.data import Dataset, Preparation, Split, eager_preparation
from netlet.data.augment import WarpParameters, drop_identity_ops
from netlet.errors import TrainingError, warn
from netlet.recipes import Recipe

# Images over all epochs. With fewer, eager mode finishes before the compiler does.
_MIN_IMAGES_TO_COMPILE = 30_000


@contextmanager
def select_backend(
    net: nn.Module,
    parameters: FlatParameters,
    data: Dataset,
    recipe: Recipe,
    precision: str,
    dropout_rng: np.random.BitGenerator,
    update: Update | None = None,
) -> Iterator[Backend]:
    """Yield the fastest available backend for a net on its device.

    Args:
        net: With its final dropout rates.
        parameters: The same net's tensors.
        data: Provides the shape and the number of images.
        recipe: Provides batch size and label smoothing, and may request one backend.
        precision: ``bf16`` or ``float32``.
        dropout_rng: The source of dropout masks.
        update: Moves the weights; without it, a step cannot be recorded.

    Raises:
        TrainingError: The recipe requests the compiled backend, and it is not available.
    """
    device = parameters.floats[0].device.type
    if device == "cuda" and recipe.backend == "auto" and update is not None:
        yield CudaGraphBackend(net, update, recipe, precision, data.shape, len(data.train))
        return
    if device != "cpu" and recipe.backend == "compiled":
        raise TrainingError(
            f"backend=compiled needs a CPU, but the device is {device}; use backend=auto"
        )
    if device != "cpu":
        yield EagerBackend(net, parameters, recipe, precision)
        return
    keep_freed_memory()
    images = len(data.train) * recipe.epochs
    fallback: CompilationError | None = None
    if recipe.backend == "compiled" or (
        recipe.backend == "auto" and images >= _MIN_IMAGES_TO_COMPILE
    ):
        try:
            compiled = CompiledBackend(net, data, recipe, precision, dropout_rng)
        except CompilationError as reason:
            if recipe.backend == "compiled":
                raise TrainingError(_explain_refusal(reason)) from reason
            fallback = reason
        else:
            yield compiled
            return
    with use_fast_cpu_layers(net, dropout_rng):
        yield EagerBackend(net, parameters, recipe, precision, fallback)


def _explain_refusal(reason: CompilationError) -> str:
    """Return why the compiled backend, which a recipe requests, is refused, and the remedy."""
    if isinstance(reason, CompilationDisabledError):
        return f"backend=compiled is turned off by {reason}; unset it, or use backend=auto"
    if isinstance(reason, UnsupportedNetError):
        return f"backend=compiled does not support this net: {reason}; use backend=auto"
    return f"backend=compiled is not available: {reason}; use backend=auto"


def select_augmentation(split: Split, recipe: Recipe) -> Preparation:
    """Return the fastest available way to augment and normalize the images of a split.

    On a CPU compiled if possible, else eager PyTorch.

    Args:
        split: On the device where it is used.
        recipe: Provides the augmentation, mean and std.
    """
    if recipe.backend != "eager" and split.images.device.type == "cpu":
        ops = drop_identity_ops(recipe.augment)
        weights = grid_weights(ops, *split.images.shape[2:])
        try:
            compiled = CompiledAugmentation(split.images, ops, recipe.mean, recipe.std, weights)
        except CompilationError as reason:
            return _FallbackPreparation(eager_preparation(split, recipe), reason)
        return _CompiledPreparation(compiled)
    return eager_preparation(split, recipe)


def warn_of_fallback(backend: Backend, preparation: Preparation) -> None:
    """Warn in one line if compiled code was wanted for a training and is not available.

    There is no warning if the user turned compiled code off.

    Args:
        backend: From :func:`select_backend`.
        preparation: From :func:`select_augmentation`.
    """
    step = getattr(backend, "fallback", None)
    augmentation = preparation.reason if isinstance(preparation, _FallbackPreparation) else None
    for what, reason in (("training", step), ("augmentation", augmentation)):
        if reason is None or isinstance(reason, CompilationDisabledError):
            continue
        text = str(reason)
        if isinstance(reason, UnsupportedNetError):
            text = f"this net has no compiled form ({reason})"
        elif isinstance(backend, CudaGraphBackend):
            text = f"its step cannot be recorded as a CUDA graph ({text.partition(chr(10))[0]})"
        warn(f"{what} falls back to eager mode: {text}")
        return


def explain_short_training(images: int) -> str:
    """Return why a training on so many images over all epochs is not compiled; else ''."""
    if images >= _MIN_IMAGES_TO_COMPILE:
        return ""
    return f"compiling takes longer than training on fewer than {_MIN_IMAGES_TO_COMPILE:,} images"


def describe_compiled_code(backend: Backend, preparation: Preparation) -> dict[str, str]:
    """Return how images are augmented, and the compiler and its flags if anything is compiled.

    Args:
        backend: From :func:`select_backend`.
        preparation: From :func:`select_augmentation`.
    """
    compiled = isinstance(preparation, _CompiledPreparation)
    found = {"augmentation": "compiled" if compiled else "eager"}
    if compiled or backend.name == CompiledBackend.name:
        found |= describe_compiler()
    return found


class _FallbackPreparation:
    """Augments and normalizes in eager mode, since compiled code is not available."""

    def __init__(self, eager: Preparation, reason: CompilationError) -> None:
        self._eager, self.reason = eager, reason

    def __call__(self, index: torch.Tensor, draws: Sequence[WarpParameters]) -> torch.Tensor:
        return self._eager(index, draws)


class _CompiledPreparation:
    """Augments and normalizes with compiled code."""

    def __init__(self, augmentation: CompiledAugmentation) -> None:
        self._augmentation = augmentation

    def __call__(self, index: torch.Tensor, draws: Sequence[WarpParameters]) -> torch.Tensor:
        return self._augmentation(index, [(warp.maps, warp.points) for warp in draws])
