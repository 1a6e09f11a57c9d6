"""What a compiled training step must yield, and its slack in nets that amplify rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netlet.backends.cpu.check_inputs import STATISTICS_FLOOR, relative_error, typical_error

_LAST_BITS = {False: 3e-7, True: 3e-5}  # of the weights, in float32 and in bfloat16
_PERTURBATIONS = 3  # of the weights; the one that changes most counts
SLACK_FACTOR = 3  # how many times further off a step may be than PyTorch with such weights


@dataclass(frozen=True)
class Slack:
    """How far a step may be from PyTorch's because the net amplifies rounding."""

    loss: float = 0.0
    correct: int = 0
    gradients: float = 0.0  # relative
    statistics: float = 0.0  # relative


@dataclass(frozen=True)
class ExpectedStep:
    """What a step must yield."""

    loss: float
    logits: torch.Tensor
    correct: int
    gradients: dict[str, torch.Tensor]
    slack: Slack = Slack()


def allow_for_last_bits(
    expected: ExpectedStep,
    twin: nn.Module,
    statistics: Sequence[torch.Tensor],
    compute: Callable[[], ExpectedStep],
    half: bool,
) -> ExpectedStep:
    """Return what a step must yield, with the slack that it needs.

    Args:
        expected: What it must yield.
        twin: The net.
        statistics: Its buffers after the step.
        compute: Runs the step again by PyTorch, with the weights that the net then has.
        half: Whether convolutions read bfloat16.
    """
    largest = max(float(grad.norm()) for grad in expected.gradients.values())
    slacks = []
    for _ in perturb_weights(twin, half):
        other = compute()
        changed = int((other.logits.argmax(1) != expected.logits.argmax(1)).sum())
        slacks.append(
            Slack(
                loss=SLACK_FACTOR * abs(other.loss - expected.loss),
                correct=SLACK_FACTOR * changed,
                gradients=SLACK_FACTOR
                * max(
                    relative_error(other.gradients[name], grad, largest)
                    for name, grad in expected.gradients.items()
                ),
                statistics=SLACK_FACTOR
                * max(
                    (
                        typical_error(buffer, wanted, STATISTICS_FLOOR)
                        for buffer, wanted in zip(twin.buffers(), statistics, strict=True)
                        if buffer.is_floating_point()
                    ),
                    default=0.0,
                ),
            )
        )
    return dataclasses.replace(expected, slack=_largest_of(slacks))


def _largest_of(slacks: Sequence[Slack]) -> Slack:
    return Slack(
        loss=max(slack.loss for slack in slacks),
        correct=max(slack.correct for slack in slacks),
        gradients=max(slack.gradients for slack in slacks),
        statistics=max(slack.statistics for slack in slacks),
    )


def perturb_weights(net: nn.Module, half: bool) -> Iterator[None]:
    """Change the weights in their last bits, a few times; afterwards they are as before."""
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    generator = torch.Generator().manual_seed(0)
    try:
        for _ in range(_PERTURBATIONS):
            noisy = [
                w * (1 + _LAST_BITS[half] * torch.randn(w.shape, generator=generator))
                for w in weights
            ]
            copy_into(net.parameters(), noisy)
            yield
    finally:
        copy_into(net.parameters(), weights)


@torch.no_grad()
def copy_into(tensors: Iterator[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    """Copy values into tensors, in order."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
