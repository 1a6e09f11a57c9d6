"""Several trainings that take turns on one device.

The steps of a tiny net leave most of a GPU idle. Each training has a stream of its own there, so
that the kernels of several of them run at the same time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from netlet.backends import use_repeatable_kernels
from netlet.nets.isolation import guard_net
from netlet.records import Run
from netlet.training.rng import RandomStreams

Result = TypeVar("Result")


def finish(training: Generator[None, None, Result]) -> Result:
    """Run a training to its end and return its result."""
    while True:
        try:
            next(training)
        except StopIteration as end:
            result: Result = end.value
            return result


def finish_together(
    trainings: Sequence[Generator[None, None, Run]], device: torch.device
) -> list[Run | Exception]:
    """Run trainings to their ends, in turns.

    The weights are those of the same trainings one after the other, as long as the nets draw their
    random numbers on the device.

    Args:
        trainings: From :func:`netlet.training.iterate_fit`, all on the same device.
        device: The device. On a CPU nothing is gained.

    Returns:
        A run for each, or why it could not be finished; the others go on.
    """
    results: list[Run | Exception | None] = [None] * len(trainings)
    turns = [_Turn(device) for _ in trainings]
    # The settings of each training nest in these, whichever ends first.
    with (
        RandomStreams(0).preserve_global_state(),
        guard_net("the net"),
        use_repeatable_kernels(device),
    ):
        try:
            while waiting := [i for i, result in enumerate(results) if result is None]:
                for i in waiting:
                    with turns[i].take():
                        results[i] = _go_on(trainings[i])
        finally:
            for training in trainings:
                training.close()
    return [result for result in results if result is not None]


def _go_on(training: Generator[None, None, Run]) -> Run | Exception | None:
    try:
        next(training)
    except StopIteration as end:
        run: Run = end.value
        return run
    except Exception as error:  # of the net's own code, too: the other trainings go on
        return error
    return None


class _Turn:
    """What a training on a CUDA device has to itself: a stream and the state of random numbers."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._random: torch.Generator | None = None

    @contextmanager
    def take(self) -> Generator[None, None, None]:
        """Use the stream and the random state within the block."""
        if self._stream is None:
            yield
            return
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        shared = generator.graphsafe_get_state()
        if self._random is None:
            # The first turn. The data may still be on their way.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            # A state of its own: recorded steps read it on the device while others are launched.
            self._random = generator.clone_state()
        generator.graphsafe_set_state(self._random)
        with torch.cuda.stream(self._stream):
            try:
                yield
            finally:
                self._random = generator.graphsafe_get_state()
                generator.graphsafe_set_state(shared)
