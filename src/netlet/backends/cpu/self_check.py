"""Compare a newly compiled training step with PyTorch before it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.check_inputs import (
    STATISTICS_FLOOR,
    compute_gradients,
    draw_soft_target,
    random_batch,
    reinitialize,
    relative_error,
    typical_error,
    use_running_statistics,
)
from netlet.backends.cpu.errors import CompilationError
from netlet.backends.cpu.expected_step import (
    SLACK_FACTOR,
    ExpectedStep,
    Slack,
    allow_for_last_bits,
    copy_into,
    perturb_weights,
)
from netlet.backends.cpu.program import Masks, Program, dropout_masks, reference_logits
from netlet.backends.loss import SoftTarget, batch_loss

_ATTEMPTS = 5  # with different images, until one agrees with PyTorch
_MORE_ATTEMPTS = 3  # of a library in bfloat16 whose source is right in float32
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
_MAX_TOLERANCE = 0.5


class BoundStep(Protocol):
    """A library together with the tensors that it reads and writes."""

    def compute_gradients(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        seed: int,
        soft: SoftTarget | None = None,
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
        shape: The shape of one image, ``C H W``.
        images: The largest batch size.
        half: Whether convolutions read bfloat16.
        training: Whether the library has a training step, besides evaluation.
        threads: Numbers of threads that the library must work with.
        check_in_float32: Compiles the same source in float32 and checks that strictly, if the
            library is in bfloat16; raises :class:`CompilationError`.
        with_teacher: Whether the loss reads the logits of a teacher.
    """

    net: nn.Module
    shape: tuple[int, ...]
    images: int
    half: bool
    training: bool
    threads: tuple[int, ...]
    check_in_float32: Callable[[], object] | None = None
    with_teacher: bool = False


def check_step(checked: CheckedStep, bind: Bind) -> None:
    """Check losses, gradients, running statistics and logits over several training steps.

    The weights are the same for every run, so that the result does not depend on the seed or on the
    order of runs. A correct library may differ with some images, where a rounded number decides
    which input a maximum takes; a wrong one differs with all. A deep net amplifies the rounding of
    bfloat16, until nothing that is computed with it agrees. The same source then has to be right in
    float32, and the library may differ by as much as PyTorch's own bfloat16 does if the weights
    change in their last bits.

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

            _try_batches(checked, check)
    _try_batches(
        checked, lambda attempt: _check_evaluation(checked, (twin, program), bound, attempt)
    )


def _try_batches(checked: CheckedStep, check: Callable[[int], None]) -> None:
    """Run a check with other images until it succeeds, a few times.

    Raises:
        CompilationError: It never does.
    """
    attempts = _ATTEMPTS + (_MORE_ATTEMPTS if checked.check_in_float32 else 0)
    for attempt in range(attempts):
        if attempt == _ATTEMPTS:
            assert checked.check_in_float32
            checked.check_in_float32()
        try:
            check(attempt)
            return
        except CompilationError:
            if attempt == attempts - 1:
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
    seed = (_ATTEMPTS + _MORE_ATTEMPTS) * step + attempt
    rates = [part.dropout for part in program.parts]
    images, labels = random_batch(checked.shape, n, program.classes, seed)
    soft = draw_soft_target(n, program.classes, seed) if checked.with_teacher else None
    # Without dropout in one batch, which may hide mistakes.
    used = [0.0] * len(rates) if n == min(checked.images, checked.images // 3 + 2) else rates
    masks = dropout_masks(program, n, _mask_seed(seed)) if any(used) else ()
    before = [buffer.clone() for buffer in twin.buffers()]
    expected = _expected_step(twin, program, (images, labels, soft), masks, checked.half)
    after = [buffer.clone() for buffer in twin.buffers()]
    if attempt >= _FIRST_SENSITIVE_ATTEMPT:

        def compute() -> ExpectedStep:
            copy_into(twin.buffers(), before)
            return _expected_step(twin, program, (images, labels, soft), masks, checked.half)

        expected = allow_for_last_bits(expected, twin, after, compute, checked.half)
        if attempt < _ATTEMPTS:
            gradients = min(expected.slack.gradients, _MAX_TOLERANCE)
            expected = dataclasses.replace(expected, slack=Slack(gradients=gradients))
    try:
        for one in bound if n < checked.images - 1 else bound[:1]:
            one.set_dropout(used)
            copy_into(twin.buffers(), before)
            found = one.compute_gradients(images, labels, _SMOOTHING, _mask_seed(seed), soft)
            _compare_step(twin, found, expected, after, checked.half)
    finally:
        copy_into(twin.buffers(), after)
        _descend(twin, expected.gradients)


def _expected_step(
    twin: nn.Module,
    program: Program,
    batch: tuple[torch.Tensor, torch.Tensor, SoftTarget | None],
    masks: Masks,
    half: bool,
) -> ExpectedStep:
    """Compute a step by PyTorch; updates the running statistics of the net."""
    parameters = dict(twin.named_parameters())
    images, labels, soft = batch
    logits = reference_logits(program, images, half=half, training=True, masks=masks)
    loss = batch_loss(logits, labels, _SMOOTHING, soft)
    gradients = compute_gradients(loss, list(parameters.values()))
    correct = int((logits.argmax(1) == labels).sum())
    return ExpectedStep(
        loss.item(), logits.detach(), correct, dict(zip(parameters, gradients, strict=True))
    )


def _compare_step(
    twin: nn.Module,
    found: tuple[float, int],
    expected: ExpectedStep,
    buffers: Sequence[torch.Tensor],
    half: bool,
) -> None:
    """Compare a step of the library, whose results are in the net, with what it must yield.

    Raises:
        CompilationError: They differ.
    """
    tolerance = _VALUE_TOLERANCE[half]
    loss, correct = found
    slack = expected.slack
    if not abs(loss - expected.loss) <= tolerance * (1 + abs(expected.loss)) + slack.loss:
        raise CompilationError(f"the compiled loss is {loss:.4g}, PyTorch's is {expected.loss:.4g}")
    best, second = expected.logits.topk(min(2, expected.logits.shape[1]), 1).values.T[[0, -1]]
    ties = int((best - second <= 10 * tolerance * (1 + best.abs())).sum())
    if abs(correct - expected.correct) > ties + slack.correct:
        raise CompilationError(
            f"the compiled step counts {correct} correct predictions, PyTorch {expected.correct}"
        )
    gradient_tolerance = max(_GRADIENT_TOLERANCE[half][len(expected.logits) > 2], slack.gradients)
    largest = max(float(grad.norm()) for grad in expected.gradients.values())
    for name, parameter in twin.named_parameters():
        wanted = expected.gradients[name]
        assert parameter.grad is not None
        if not relative_error(parameter.grad, wanted, largest) <= gradient_tolerance:
            raise CompilationError(f"the compiled gradient of {name} differs from PyTorch's")
    for (name, buffer), wanted in zip(twin.named_buffers(), buffers, strict=True):
        if (
            buffer.is_floating_point()
            and not typical_error(buffer, wanted, STATISTICS_FLOOR) <= tolerance + slack.statistics
        ):
            raise CompilationError(f"the compiled {name} differs from PyTorch's")


def _check_evaluation(
    checked: CheckedStep,
    subject: tuple[nn.Module, Program],
    bound: Sequence[BoundStep],
    attempt: int,
) -> None:
    """Compare the logits of as many images as the library takes, and of fewer.

    Raises:
        CompilationError: They differ.
    """
    twin, program = subject
    images, _ = random_batch(checked.shape, checked.images, program.classes, 100 + attempt)
    use_running_statistics(program, images[:32])
    with torch.no_grad():
        wanted = reference_logits(program, images, half=checked.half, training=False)
        tolerance = 5 * _VALUE_TOLERANCE[checked.half]
        if attempt >= _ATTEMPTS:
            for _ in perturb_weights(twin, checked.half):
                other = reference_logits(program, images, half=checked.half, training=False)
                tolerance = max(tolerance, SLACK_FACTOR * typical_error(other, wanted))
    for one in bound:
        for n in dict.fromkeys((checked.images, checked.images // 2 + 1, 1)):
            logits = one.compute_logits(images[:n].contiguous())
            if not typical_error(logits, wanted[:n]) <= tolerance:
                raise CompilationError("the compiled logits differ from PyTorch's")


def _mask_seed(seed: int) -> int:
    """Return a seed of dropout masks that uses all 64 bits."""
    return (0x9E3779B97F4A7C15 * (seed + 1)) & 0xFFFFFFFFFFFFFFFF


@torch.no_grad()
def _descend(net: nn.Module, gradients: dict[str, torch.Tensor]) -> None:
    for name, parameter in net.named_parameters():
        parameter.sub_(gradients[name], alpha=_LEARNING_RATE)
