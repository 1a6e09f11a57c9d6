"""The CUDA graph backend: record the kernel launches of a training step once and replay them.

For a tiny net, launching kernels takes longer than running them. Written after PyTorch's
documentation of CUDA graphs.
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

_WARM_UP_RUNS = 3  # as in PyTorch's documentation; libraries choose their kernels in these runs
Replay = Callable[[], None]


class _Recording(NamedTuple):
    images: torch.Tensor  # the next batch is copied here
    labels: torch.Tensor
    loss: torch.Tensor  # the results appear here
    correct: torch.Tensor
    replay: Replay


def capture_cuda_graph(run: Callable[[], None]) -> Replay:
    """Record the kernels that a function launches; return a function that launches them again."""
    side_stream = torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(_WARM_UP_RUNS):
            run()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class CudaGraphBackend(EagerBackend):
    """Replays the eager backend's step from a CUDA graph, one graph for each batch size.

    Falls back to eager mode if the step cannot be recorded.

    Args:
        net: On a CUDA device.
        parameters: The same net's tensors.
        recipe: Provides the label smoothing.
        precision: ``bf16`` or ``float32``.
        capture: Records a function and returns its replay; tests replace it.
    """

    def __init__(
        self,
        net: nn.Module,
        parameters: FlatParameters,
        recipe: Recipe,
        precision: str,
        capture: Callable[[Callable[[], None]], Replay] = capture_cuda_graph,
    ) -> None:
        self.name = "cuda_graph"
        super().__init__(net, parameters, recipe, precision)
        self._parameters, self._capture = parameters, capture
        self._recordings: dict[int, _Recording] = {}

    def compute_gradients(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`~netlet.backends.Backend`."""
        recording = self._recordings.get(len(images))
        if recording is None and self.name == "cuda_graph":
            try:
                recording = self._record(images, labels)
            except RuntimeError:
                # The step cannot be recorded, for instance since the net reads a value back.
                self.name = EagerBackend.name
        if recording is None:
            super().compute_gradients(images, labels)
            return
        recording.images.copy_(images)
        recording.labels.copy_(labels)
        recording.replay()
        # Cloned, since the next batch overwrites them.
        self._losses.append(recording.loss.clone())
        self._correct.append(recording.correct.clone())

    def _record(self, images: torch.Tensor, labels: torch.Tensor) -> _Recording:
        images, labels = images.clone(), labels.clone()
        loss = torch.zeros((), device=images.device)
        correct = torch.zeros((), dtype=torch.int64, device=images.device)

        def run() -> None:
            step_loss, step_correct = self.run_step(images, labels)
            loss.copy_(step_loss)
            correct.copy_(step_correct)

        with _preserve_tensors(self._parameters):
            recording = _Recording(images, labels, loss, correct, self._capture(run))
        self._recordings[len(images)] = recording
        return recording


@contextmanager
def _preserve_tensors(parameters: FlatParameters) -> Iterator[None]:
    """Restore batch norm's statistics after the block, since warm-up runs are not training."""
    tensors = (*parameters.floats, *parameters.counters)
    saved = [tensor.clone() for tensor in tensors]
    try:
        yield
    finally:
        for tensor, value in zip(tensors, saved, strict=True):
            tensor.copy_(value)
