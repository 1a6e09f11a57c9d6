"""The number of threads of PyTorch's own operations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from netlet.backends.backend import Backend
from netlet.backends.flat_parameters import flatten_parameters
from netlet.backends.select import select_backend
from netlet.data import Dataset
from netlet.nets.copying import copy_net
from netlet.nets.isolation import guard_net
from netlet.recipes import Recipe

_ROUNDS, _ROUND_S = 4, 0.1
_CLEARLY_FASTER = 1.2


@contextmanager
def use_torch_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch's operations use this number of threads within the block.

    Args:
        count: At least 1; None changes nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(net: nn.Module, data: Dataset, recipe: Recipe, precision: str) -> int:
    """Return with how many threads to train a net on a CPU that other programs keep busy.

    In eager mode, the threads wait for each other after every operation, so all of them are as slow
    as the one that shares its processor with another program. One thread may then be faster. The
    compiled backend's threads take over each other's work.

    Args:
        net: The net; it is not changed.
        data: The data set to train on.
        recipe: The recipe of the training.
        precision: ``bf16`` or ``float32``.

    Returns:
        1 if the net trains in eager mode and clearly faster so; else as many as PyTorch uses.
    """
    count = torch.get_num_threads()
    if count == 1:
        return 1
    rng = np.random.SFC64(0)
    try:
        twin = copy_net(net).train()
        with (
            torch.random.fork_rng(devices=[]),
            guard_net(type(net).__name__),
            flatten_parameters(twin) as parameters,
            select_backend(twin, parameters, data, recipe, precision, rng) as backend,
        ):
            if backend.torch_threads is not None:
                return count
            images, labels = _noise(data, recipe.batch_size)
            ratios = []
            for _ in range(_ROUNDS):
                seconds = [_time_step(backend, images, labels, n) for n in (count, 1)]
                ratios.append(seconds[0] / seconds[1])
    except Exception:  # the training fails in the same way, and explains it
        return count
    return 1 if statistics.median(ratios) > _CLEARLY_FASTER else count


def _noise(data: Dataset, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, *data.shape, generator=generator)
    return images, torch.randint(data.classes, (count,), generator=generator)


def _time_step(backend: Backend, images: torch.Tensor, labels: torch.Tensor, threads: int) -> float:
    """Return the seconds of a training step, on average over a short while."""
    with use_torch_threads(threads):
        start, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - start < _ROUND_S:
            backend.compute_gradients(images, labels)
            steps += 1
        backend.read_losses()
        return (time.perf_counter() - start) / steps
