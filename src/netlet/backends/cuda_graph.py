"""On a CUDA device: the launches of a step recorded once and repeated, since a tiny net costs its launches.

Written after PyTorch's documentation of CUDA graphs and tested as far as a CPU allows; not measured
on a device yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from netlet.backends.eager import EagerBackend
from netlet.backends.flat_parameters import FlatParameters
from netlet.recipes import Recipe

_WARM_UP_RUNS = 3  # as PyTorch's documentation has it: libraries choose their kernels in the first runs
Replay = Callable[[], None]


class _Recording(NamedTuple):
    images: torch.Tensor  # where the next batch is put
    labels: torch.Tensor
    loss: torch.Tensor  # where its results appear
    right: torch.Tensor
    repeat: Replay


def capture_cuda_graph(run: Callable[[], None]) -> Replay:
    """Record what a function launches; what it returns launches the same again."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UP_RUNS):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class CudaGraphBackend(EagerBackend):
    """The eager step, its launches recorded for every size of batch that occurs.

    Args:
        net: On a CUDA device.
        flat: The same net's tensors.
        recipe: Gives label smoothing.
        precision: ``bf16`` or ``float32``.
        how: What records.
    """

    def __init__(
        self,
        net: nn.Module,
        flat: FlatParameters,
        recipe: Recipe,
        precision: str,
        how: Callable[[Callable[[], None]], Replay] = capture_cuda_graph,
    ) -> None:
        self.kind = "captured"
        super().__init__(net, flat, recipe, precision)
        self._flat, self._how = flat, how
        self._recordings: dict[int, _Recording] = {}

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`~netlet.backends.Backend`."""
        recording = self._recordings.get(len(images))
        if recording is None and self.kind == "captured":
            try:
                recording = self._record(images, labels)
            except (
                RuntimeError
            ):  # the net asks the device for a value, say, which cannot be recorded
                self.kind = EagerBackend.kind
        if recording is None:
            super().__call__(images, labels)
            return
        recording.images.copy_(images)
        recording.labels.copy_(labels)
        recording.repeat()
        # The next batch's results appear in the same place.
        self._losses.append(recording.loss.clone())
        self._right.append(recording.right.clone())

    def _record(self, images: torch.Tensor, labels: torch.Tensor) -> _Recording:
        images, labels = images.clone(), labels.clone()
        loss, right = (
            torch.zeros((), device=images.device),
            torch.zeros((), dtype=torch.int64, device=images.device),
        )

        def run() -> None:
            found, correct = self.run(images, labels)
            loss.copy_(found)
            right.copy_(correct)

        with _preserve_tensors(self._flat):
            recording = _Recording(images, labels, loss, right, self._how(run))
        self._recordings[len(images)] = recording
        return recording


@contextmanager
def _preserve_tensors(flat: FlatParameters) -> Iterator[None]:
    """Batch norm's statistics are, after the block, as they were before it: warming up is no training."""
    kept = [tensor.clone() for tensor in (*flat.floats, *flat.counts)]
    try:
        yield
    finally:
        for tensor, value in zip((*flat.floats, *flat.counts), kept, strict=True):
            tensor.copy_(value)
