"""All chance of a training: every epoch draws from streams of its own, told apart by seed and number alone.

So a run that is taken up again needs no generator's state: the next epoch draws what it would have
drawn anyway.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class RandomStreams:
    """The generators of one training.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.order = (
            torch.Generator()
        )  # of images and their augmentation; on the CPU whatever the device
        self.masks = np.random.SFC64()  # of dropout

    def begin(self, epoch: int) -> None:
        """Set all streams to where an epoch, counted from 1, begins; the process's own generators too."""
        order, masks, net, others = (
            np.random.SeedSequence([self._seed, epoch]).generate_state(4, np.uint64).tolist()
        )
        self.order.manual_seed(order)
        self.masks.state = np.random.SFC64(masks).state
        torch.manual_seed(net)  # a net's own noise, on every device
        random.seed(others)
        np.random.seed(others % 2**32)

    @contextmanager
    def kept_apart(self) -> Iterator[None]:
        """The process's own generators are, after the block, as they were before it."""
        python, numpy = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng():
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
