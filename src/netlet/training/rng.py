"""All randomness of a training: each epoch has its own random streams, set by seed and number.

A resumed run therefore needs no saved generator state: the next epoch draws what it would have
drawn without the interruption.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class RandomStreams:
    """The random number generators of one training.

    Args:
        seed: The seed of the run.

    Attributes:
        data: The generator for the order and the augmentation of images; on the CPU for every
            device.
        dropout: The generator for dropout masks.
        widths: The generator for the widths of nets around the one that is trained, and for their
            dropout masks.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.data = torch.Generator()
        self.dropout = np.random.SFC64()
        self.widths = np.random.SFC64()

    def start_epoch(self, epoch: int) -> None:
        """Set all generators, also the global ones, to the beginning of an epoch.

        Args:
            epoch: The epoch, counted from 1.
        """
        # The first numbers do not depend on how many there are.
        data, dropout, net, others, widths = (
            np.random.SeedSequence([self._seed, epoch]).generate_state(5, np.uint64).tolist()
        )
        self.data.manual_seed(data)
        self.dropout.state = np.random.SFC64(dropout).state
        self.widths.state = np.random.SFC64(widths).state
        torch.manual_seed(net)  # for noise that the net itself draws, on every device
        random.seed(others)
        np.random.seed(others % 2**32)

    def make_statistics_generator(self) -> torch.Generator:
        """Return a generator for the images that norms take their statistics of.

        It is the same at each call, and independent of those of all epochs.
        """
        return self._make_generator(0)

    def make_layers_generator(self) -> torch.Generator:
        """Return a generator for the initial weights of layers that only the training has."""
        return self._make_generator(1)

    def draw_seeds(self, number: int) -> list[int]:
        """Return seeds for trainings that belong to this one; they are the same at each call."""
        seeds = np.random.SeedSequence([self._seed, 0]).generate_state(2 + number, np.uint64)
        return [seed % 2**32 for seed in seeds[2:].tolist()]

    def _make_generator(self, which: int) -> torch.Generator:
        seeds = np.random.SeedSequence([self._seed, 0]).generate_state(2, np.uint64).tolist()
        return torch.Generator().manual_seed(seeds[which])

    @contextmanager
    def preserve_global_state(self) -> Iterator[None]:
        """Restore the global generators of Python, NumPy and PyTorch after the block."""
        python, numpy = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng():
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
