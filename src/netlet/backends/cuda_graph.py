"""The CUDA graph backend: record the kernel launches of a training step once and replay them.

For a tiny net, launching kernels takes longer than running them. A whole step is recorded: forward
and backward pass, the optimizer and the average of the weights. Written after PyTorch's
documentation of CUDA graphs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import nn

from netlet.backends.backend import Step, Update
from netlet.backends.eager import EagerBackend
from netlet.backends.loss import SoftTarget
from netlet.errors import NetletError
from netlet.graph.host_generators import HostGenerators
from netlet.recipes import Recipe

_GROUP = 16  # steps that are handed to the device at once
_WARM_UP_RUNS = 3  # as in PyTorch's documentation; libraries choose their kernels in these runs
_TOLERANCE = 1e-3  # of a tensor's size, for kernels that add up in a varying order
Replay = Callable[[], None]


class _NotRecordableError(NetletError):
    """The reason why a recorded step would not do what the net does."""


class _Recording(NamedTuple):
    """A recorded step. It takes the batch that the counter points at, and moves the counter.

    So nothing but replays is launched between the steps of a group.
    """

    images: torch.Tensor  # a group of batches, S N C H W
    labels: torch.Tensor  # S N
    numbers: torch.Tensor  # of each step, see ``Update``
    results: torch.Tensor  # the mean loss and the number of correct predictions of each step
    counter: torch.Tensor
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
    """Replays whole training steps from CUDA graphs, one for each batch size and kind of step.

    The recording is compared with the same step in eager mode before it is used. If the usual step
    cannot be recorded, all of them run in eager mode, and ``fallback`` says why.

    Args:
        net: On a CUDA device.
        update: Moves the weights of the same net.
        recipe: Provides batch size and label smoothing.
        precision: ``bf16`` or ``float32``.
        shape: The shape of one image, ``C H W``.
        images: The number of training images.
        capture: Records a function and returns its replay; tests replace it.
    """

    def __init__(
        self,
        net: nn.Module,
        update: Update,
        recipe: Recipe,
        precision: str,
        shape: Sequence[int],
        images: int,
        capture: Callable[[Callable[[], None]], Replay] = capture_cuda_graph,
    ) -> None:
        super().__init__(net, update.parameters, recipe, precision)
        self.name = "cuda_graph"
        self._capture = capture
        self._weights = [p for p in net.parameters() if p.requires_grad]
        self._gradient_of = [p.grad for p in self._weights if p.grad is not None]
        self._results: list[torch.Tensor] = []
        self._recordings: dict[tuple[int, str], _Recording | None] = {}
        self._seen: set[tuple[int, str]] = set()
        # Now, so that the record and the warning say from the beginning what trains.
        example = _make_step(min(recipe.batch_size, images), shape, self._weights[0].device)
        self._seen.add((len(example.labels), ""))
        if self._find_recording(example, "", update) is None:
            self.name = EagerBackend.name

    def train(self, steps: Iterable[Step], update: Update) -> None:
        """See :class:`~netlet.backends.Backend`."""
        group: list[tuple[Step, tuple[float, ...]]] = []  # of one recording
        last: _Recording | None = None
        for step in steps:
            kind, numbers = update.advance(step.lr, step.number)
            recording = None
            if self.name != EagerBackend.name:
                recording = self._find_recording(step, kind, update)
            if recording is not last or len(group) == _GROUP:
                self._replay(last, group)
            if recording is None:
                self.compute_gradients(step.images, step.labels)
                update.apply(kind, numbers)
            else:
                group.append((step, numbers))
            last = recording
        self._replay(last, group)

    def _replay(
        self, recording: _Recording | None, group: list[tuple[Step, tuple[float, ...]]]
    ) -> None:
        """Replay a group of steps, and empty it."""
        if recording is None or not group:
            return
        n = len(group)
        torch.stack([step.images for step, _ in group], out=recording.images[:n])
        torch.stack([step.labels for step, _ in group], out=recording.labels[:n])
        # Not blocking: few numbers are copied at once, and the host need not wait for the device.
        recording.numbers[:n].copy_(torch.tensor([own for _, own in group]), non_blocking=True)
        recording.counter.zero_()
        for _ in range(n):
            recording.replay()
        self._results.append(recording.results[:n].clone())  # the next group overwrites them
        group.clear()

    def compute_gradients(
        self, images: torch.Tensor, labels: torch.Tensor, soft: SoftTarget | None = None
    ) -> None:
        """See :class:`~netlet.backends.Backend`."""
        assert soft is None  # with a teacher, eager mode is selected
        self._results.append(self._compute(images, labels)[None])

    def read_losses(self) -> tuple[list[float], int]:
        """See :class:`~netlet.backends.Backend`."""
        results = torch.cat(self._results).tolist()
        self._results.clear()
        return [loss for loss, _ in results], int(sum(correct for _, correct in results))

    def _compute(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compute the gradients of a batch; return its mean loss and how many were correct.

        Gradients are copied to their places all at once. Adding them up there, as ``backward``
        does, takes a kernel for each tensor.
        """
        logits, loss = self._forward(images, labels)
        found = torch.autograd.grad(loss, self._weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            torch._foreach_copy_(self._gradient_of, found)
            correct = (logits.argmax(1) == labels).sum()
            return torch.stack([loss, correct.to(loss)])

    def _find_recording(self, step: Step, kind: str, update: Update) -> _Recording | None:
        """Return the recording of such a step, or None if there is none."""
        key = (len(step.labels), kind)
        if key not in self._seen:  # a step that happens only once is not worth a recording
            self._seen.add(key)
            return None
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(step, kind, update)
            except (RuntimeError, _NotRecordableError) as reason:
                # For instance since the net reads a value back. A real error comes back in eager
                # mode.
                self._recordings[key], self.fallback = None, reason
                _renew_generator(step.images.device)
        return self._recordings[key]

    def _record(self, step: Step, kind: str, update: Update) -> _Recording:
        images = step.images.repeat(_GROUP, *[1] * step.images.ndim).contiguous()
        labels = step.labels.repeat(_GROUP, 1)
        numbers = torch.full((_GROUP, update.numbers), 0.5, device=images.device)
        results = torch.zeros(_GROUP, 2, device=images.device)
        counter = torch.zeros(1, dtype=torch.int64, device=images.device)

        def run() -> None:
            batch = [values.index_select(0, counter)[0] for values in (images, labels)]
            results.index_copy_(0, counter, self._compute(*batch)[None])
            update.apply(kind, numbers.index_select(0, counter)[0].unbind())
            counter.add_(1)

        before = _list_tensors(self._net)
        with _keep_state(self._net, update):
            with _refuse_host_work(self._net, images.device):
                run()
            replay = self._capture(run)
            after = _list_tensors(self._net)
        if list(map(id, before)) != list(map(id, after)):
            raise _NotRecordableError("the net replaces its tensors")
        recording = _Recording(images, labels, numbers, results, counter, replay)
        self._check(recording, run, update)
        return recording

    def _check(self, recording: _Recording, run: Callable[[], None], update: Update) -> None:
        """Compare a replay with the same step in eager mode.

        Raises:
            _NotRecordableError: They differ.
        """
        found = []
        for step in (run, recording.replay):
            with _keep_state(self._net, update):
                recording.counter.zero_()
                step()
                found.append([t.clone() for t in (recording.results[0], *update.tensors())])
        for eager, replayed in zip(*found, strict=True):
            size = max(1e-6, float(eager.double().norm()))
            if not float((eager.double() - replayed.double()).norm()) <= _TOLERANCE * size:
                raise _NotRecordableError("a replay differs from the same step in eager mode")


def _make_step(images: int, shape: Sequence[int], device: torch.device) -> Step:
    """Return noise as images, and labels, to record a step with."""
    noise = torch.randn(images, *shape, generator=torch.Generator().manual_seed(0))
    return Step(noise.to(device), torch.zeros(images, dtype=torch.int64, device=device), 0.0, 0)


def _list_tensors(net: nn.Module) -> list[torch.Tensor]:
    return [*net.parameters(), *net.buffers()]


@contextmanager
def _keep_state(net: nn.Module, update: Update) -> Iterator[None]:
    """Restore all tensors and random generators, since warm-up runs are not training."""
    buffers = [(module._buffers, dict(module._buffers)) for module in net.modules()]
    tensors = update.tensors()
    saved = [tensor.clone() for tensor in tensors]
    device = tensors[0].device
    generator = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        for current, before in buffers:
            current.update(before)  # those that the net has replaced
        for tensor, value in zip(tensors, saved, strict=True):
            tensor.copy_(value)
        if generator is not None:
            torch.cuda.set_rng_state(generator, device)


@contextmanager
def _refuse_host_work(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Refuse a step in which the host does more than launch kernels: replays would lack it.

    Raises:
        _NotRecordableError: Within the block, the host drew random numbers, or waited for a value
            of the device.
    """
    generators, before = HostGenerators(net), torch.get_rng_state()
    with _refuse_waiting() if device.type == "cuda" else nullcontext():
        yield
    if generators.have_moved() or not torch.equal(torch.get_rng_state(), before):
        raise _NotRecordableError("the net draws random numbers on the host")


@contextmanager
def _refuse_waiting() -> Iterator[None]:
    usual = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        raise _NotRecordableError("the net reads values of the device on the host") from error
    finally:
        torch.cuda.set_sync_debug_mode(usual)


def _renew_generator(device: torch.device) -> None:
    """Give the device's random generator a state without the mark of a recording that failed."""
    if device.type == "cuda":
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        generator.graphsafe_set_state(generator.clone_state())
