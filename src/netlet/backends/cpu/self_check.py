"""Compare a newly compiled training step with PyTorch before it is used."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.check_inputs import random_batch, reinitialize, use_running_statistics
from netlet.backends.cpu.errors import CompilationError
from netlet.backends.cpu.program import Masks, Program, dropout_masks, reference_logits
from netlet.graph import WithoutDropout
from netlet.nets.outputs import extract_logits

_ATTEMPTS = 5  # with different images, until one agrees with PyTorch
_SMOOTHING = 0.1
_LEARNING_RATE = 0.05
# Largest relative error of the gradients of two images and of a larger batch, in float32 and in
# bfloat16. A sum that is added up in another order may be rounded to another number, and another
# input may then be the maximum. With more images that is more likely, but shows less in the loss.
_GRADIENT_TOLERANCE = {False: (2e-3, 2e-2), True: (2e-2, 8e-2)}
# Of the loss, the running statistics and the logits.
_VALUE_TOLERANCE = {False: 2e-4, True: 1e-3}
# A net may amplify such differences. From this attempt on, the tolerance allows for what PyTorch's
# own gradients change if the weights change in their last bits.
_FIRST_SENSITIVE_ATTEMPT = 3
_LAST_BITS = {False: 3e-7, True: 3e-5}
_MAX_TOLERANCE = 0.5


class BoundStep(Protocol):
    """A library together with the tensors that it reads and writes."""

    def compute_gradients(
        self, images: torch.Tensor, labels: torch.Tensor, smoothing: float, seed: int
    ) -> tuple[float, int]:
        """See :class:`~netlet.backends.cpu.CompiledStep`."""

    def compute_logits(self, images: torch.Tensor) -> torch.Tensor:
        """See :class:`~netlet.backends.cpu.CompiledStep`."""

    def set_dropout(self, rates: Sequence[float]) -> None:
        """Set the dropout rate of each part."""


# Binds the library to a net and its program, with a number of threads.
Bind = Callable[[nn.Module, Program, int], BoundStep]


@dataclass(frozen=True)
class CheckedStep:
    """What is checked.

    Attributes:
        net: The net that the library was compiled for; it is not changed.
        shape: Of one image, ``C H W``.
        images: The largest batch size.
        half: Whether convolutions read bfloat16.
        training: Whether the library has a training step, besides evaluation.
        threads: Numbers of threads that the library must work with.
    """

    net: nn.Module
    shape: tuple[int, ...]
    images: int
    half: bool
    training: bool
    threads: tuple[int, ...]


def check_step(checked: CheckedStep, bind: Bind) -> None:
    """Check losses, gradients, running statistics and logits over several training steps.

    The weights are the same for every run, so that the result does not depend on the seed or on the
    order of runs. A correct library may differ with some images, where a rounded number decides
    which input a maximum takes; a wrong one differs with all.

    Raises:
        CompilationError: The library and PyTorch differ, with all of the images tried.
    """
    twin = reinitialize(checked.net)
    program = read_program(twin, checked.shape)
    bound = [bind(twin, program, threads) for threads in checked.threads]
    if checked.training:
        whole = checked.images
        sizes = dict.fromkeys(min(n, whole) for n in (whole, max(2, whole - 1), whole // 3 + 2, 2))
        for step, n in enumerate(sizes):

            def check(attempt: int, step: int = step, n: int = n) -> None:
                _check_training(checked, (twin, program), bound, n, (step, attempt))

            try_batches(check)
    try_batches(lambda attempt: _check_evaluation(checked, (twin, program), bound, attempt))


def try_batches(check: Callable[[int], None]) -> None:
    """Run a check with other images until it succeeds, a few times.

    Raises:
        CompilationError: It never does.
    """
    for attempt in range(_ATTEMPTS):
        try:
            check(attempt)
            return
        except CompilationError:
            if attempt == _ATTEMPTS - 1:
                raise


def _check_training(
    checked: CheckedStep,
    subject: tuple[nn.Module, Program],
    bound: Sequence[BoundStep],
    n: int,
    which: tuple[int, int],
) -> None:
    """Run a step with a batch of ``n`` images, with every number of threads.

    Raises:
        CompilationError: The library and PyTorch differ.
    """
    twin, program = subject
    step, attempt = which
    seed = _ATTEMPTS * step + attempt
    rates = [part.dropout for part in program.parts]
    images, labels = random_batch(checked.shape, n, program.classes, seed)
    # Without dropout in the batch that is compared with the net itself.
    as_net = n == min(checked.images, checked.images // 3 + 2)
    used = [0.0] * len(rates) if as_net else rates
    masks = dropout_masks(program, n, _mask_seed(seed)) if any(used) else ()
    before = [buffer.clone() for buffer in twin.buffers()]
    expected = _expected_step(twin, program, images, labels, masks, checked.half)
    after = [buffer.clone() for buffer in twin.buffers()]
    if as_net:
        compare_with_net(twin, program, images, labels)
        _copy_into(twin.buffers(), after)
    if attempt >= _FIRST_SENSITIVE_ATTEMPT:
        expected = _allow_for_last_bits(
            expected, twin, program, (images, labels), masks, checked.half
        )
    try:
        for one in bound if n < checked.images - 1 else bound[:1]:
            one.set_dropout(used)
            _copy_into(twin.buffers(), before)
            found = one.compute_gradients(images, labels, _SMOOTHING, _mask_seed(seed))
            _compare_step(twin, found, expected, after, checked.half)
    finally:
        _copy_into(twin.buffers(), after)
        _descend(twin, expected.gradients)


@dataclass(frozen=True)
class _Expected:
    """What a step must yield."""

    loss: float
    logits: torch.Tensor
    correct: int
    gradients: dict[str, torch.Tensor]
    slack: float = 0.0  # by how much the gradients change if the weights change in their last bits


def _expected_step(
    twin: nn.Module,
    program: Program,
    images: torch.Tensor,
    labels: torch.Tensor,
    masks: Masks,
    half: bool,
) -> _Expected:
    """Compute a step by PyTorch; updates the running statistics of the net."""
    parameters = dict(twin.named_parameters())
    logits = reference_logits(program, images, half=half, training=True, masks=masks)
    loss = F.cross_entropy(logits, labels, label_smoothing=_SMOOTHING)
    gradients = _compute_gradients(loss, list(parameters.values()))
    correct = int((logits.argmax(1) == labels).sum())
    return _Expected(
        loss.item(), logits.detach(), correct, dict(zip(parameters, gradients, strict=True))
    )


def _compute_gradients(
    loss: torch.Tensor, parameters: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Return the gradients of parameters; zeros for those of layers that do not run."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


def _compare_step(
    twin: nn.Module,
    found: tuple[float, int],
    expected: _Expected,
    buffers: Sequence[torch.Tensor],
    half: bool,
) -> None:
    """Compare a step of the library, whose results are in the net, with what it must yield.

    Raises:
        CompilationError: They differ.
    """
    tolerance = _VALUE_TOLERANCE[half]
    loss, correct = found
    if not abs(loss - expected.loss) <= tolerance * (1 + abs(expected.loss)):
        raise CompilationError(f"the compiled loss is {loss:.4g}, PyTorch's is {expected.loss:.4g}")
    best, second = expected.logits.topk(min(2, expected.logits.shape[1]), 1).values.T[[0, -1]]
    ties = int((best - second <= 10 * tolerance * (1 + best.abs())).sum())
    if abs(correct - expected.correct) > ties:
        raise CompilationError(
            f"the compiled step counts {correct} correct predictions, PyTorch {expected.correct}"
        )
    gradient_tolerance = max(_GRADIENT_TOLERANCE[half][len(expected.logits) > 2], expected.slack)
    largest = max(float(grad.norm()) for grad in expected.gradients.values())
    for name, parameter in twin.named_parameters():
        wanted = expected.gradients[name]
        assert parameter.grad is not None
        if not _relative_error(parameter.grad, wanted, largest) <= gradient_tolerance:
            raise CompilationError(f"the compiled gradient of {name} differs from PyTorch's")
    for (name, buffer), wanted in zip(twin.named_buffers(), buffers, strict=True):
        if buffer.is_floating_point() and not _close(buffer, wanted, tolerance):
            raise CompilationError(f"the compiled {name} differs from PyTorch's")


def _allow_for_last_bits(
    expected: _Expected,
    twin: nn.Module,
    program: Program,
    batch: tuple[torch.Tensor, torch.Tensor],
    masks: Masks,
    half: bool,
) -> _Expected:
    """Return what a step must yield, with the slack that its gradients need."""
    weights = [parameter.detach().clone() for parameter in twin.parameters()]
    generator = torch.Generator().manual_seed(0)
    noisy = [
        w * (1 + _LAST_BITS[half] * torch.randn(w.shape, generator=generator)) for w in weights
    ]
    _copy_into(twin.parameters(), noisy)
    other = _expected_step(twin, program, *batch, masks, half)
    _copy_into(twin.parameters(), weights)
    largest = max(float(grad.norm()) for grad in expected.gradients.values())
    change = max(
        _relative_error(other.gradients[name], grad, largest)
        for name, grad in expected.gradients.items()
    )
    return dataclasses.replace(expected, slack=min(3 * change, _MAX_TOLERANCE))


def _relative_error(found: torch.Tensor, wanted: torch.Tensor, largest: float) -> float:
    """Return the error of a gradient as a share of its size.

    Args:
        found: The gradient.
        wanted: What it should be.
        largest: The norm of the largest gradient of the net: a gradient that is zero except for
            rounding has no meaningful size of its own.
    """
    error, size = float((found - wanted).norm()), float(wanted.norm()) + 0.01 * largest
    return error / size if size else error  # all are zero if a ReLU lets nothing through


def compare_with_net(
    twin: nn.Module, program: Program, images: torch.Tensor, labels: torch.Tensor
) -> None:
    """Compare the program with the net itself in float32, so that the program is the net.

    Raises:
        CompilationError: They differ.
    """
    net = copy.deepcopy(twin).train()
    wanted = _expected_step(twin, program, images, labels, (), half=False)
    with WithoutDropout():
        output = extract_logits(net(images.clone()))  # a net may change its input in place
    loss = F.cross_entropy(output, labels, label_smoothing=_SMOOTHING)
    gradients = _compute_gradients(loss, list(net.parameters()))
    largest = max(float(grad.norm()) for grad in gradients)
    tolerance = _GRADIENT_TOLERANCE[False][1]
    if not abs(wanted.loss - loss.item()) <= _VALUE_TOLERANCE[False] * (1 + abs(loss.item())):
        raise CompilationError("the loss of its program differs from the net's")
    for (name, grad), theirs in zip(wanted.gradients.items(), gradients, strict=True):
        if not _relative_error(grad, theirs, largest) <= tolerance:
            raise CompilationError(f"the gradient of {name} in its program differs from the net's")
    for (name, mine), its in zip(twin.named_buffers(), net.buffers(), strict=True):
        if mine.is_floating_point() and not _close(mine, its, _VALUE_TOLERANCE[False]):
            raise CompilationError(f"{name} after a step of its program differs from the net's")


def _check_evaluation(
    checked: CheckedStep, subject: tuple[nn.Module, Program], bound: Sequence[BoundStep], seed: int
) -> None:
    """Compare the logits of as many images as the library takes, and of fewer.

    Raises:
        CompilationError: They differ.
    """
    twin, program = subject
    images, _ = random_batch(checked.shape, checked.images, program.classes, 100 + seed)
    use_running_statistics(program, images[:32])
    with torch.no_grad():
        wanted = reference_logits(program, images, half=checked.half, training=False)
        few = images[-16:]
        # Centered, since the net may return log-probabilities: logits minus a constant for each.
        own = _centered(extract_logits(copy.deepcopy(twin).eval()(few.clone())))
        own_program = reference_logits(program, few, half=False, training=False)
    if not _close(_centered(own_program), own, 1e-3):
        raise CompilationError("the logits of its program differ from the net's")
    for one in bound:
        for n in dict.fromkeys((checked.images, checked.images // 2 + 1, 1)):
            logits = one.compute_logits(images[:n].contiguous())
            if not _close(logits, wanted[:n], 5 * _VALUE_TOLERANCE[checked.half]):
                raise CompilationError("the compiled logits differ from PyTorch's")


def _close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> bool:
    """Return whether no value differs by more than a share of the typical one; NaN never is."""
    scale = wanted.abs() + float(wanted.abs().mean())
    return bool(((found - wanted).abs() <= tolerance * scale).all())


def _centered(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(1, keepdim=True)


def _mask_seed(seed: int) -> int:
    """Return a seed of dropout masks that uses all 64 bits."""
    return (0x9E3779B97F4A7C15 * (seed + 1)) & 0xFFFFFFFFFFFFFFFF


@torch.no_grad()
def _descend(net: nn.Module, gradients: dict[str, torch.Tensor]) -> None:
    for name, parameter in net.named_parameters():
        parameter.sub_(gradients[name], alpha=_LEARNING_RATE)


@torch.no_grad()
def _copy_into(tensors: Iterator[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
