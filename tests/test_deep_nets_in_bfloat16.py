"""Nets that amplify the rounding of bfloat16 are compiled, if their code is right in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from helpers import linux_only
from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu import CompilationError, CompiledStep, self_check
from netlet.backends.cpu.expected_step import ExpectedStep, allow_for_last_bits, perturb_weights
from netlet.backends.cpu.self_check import CheckedStep

pytestmark = [linux_only, pytest.mark.usefixtures("two_threads")]


def norm_chain(*channels: int) -> nn.Sequential:
    """Return 3x3 convolutions with batch norms, halved twice, down to one pixel with a norm."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip((1, *channels), channels, strict=False)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
        if i % 4 == 3:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 10)
    )


class Residual(nn.Module):
    """Residual blocks with two norms each."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(8, 8, 3, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, padding=1, bias=False),
                nn.BatchNorm2d(8),
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        for block in self.blocks:
            x = F.relu(x + block(x))
        return self.head(x.mean((2, 3)))


def norm_of_one_pixel() -> nn.Sequential:
    """Return a net whose last norm sees one value for each image: of two images, only a sign."""
    return nn.Sequential(
        *norm_chain(6, 10, 10, 6, 12, 8, 8, 6)[:-3],
        nn.Conv2d(6, 10, 7),
        nn.BatchNorm2d(10),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(10, 10),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [norm_of_one_pixel, lambda: norm_chain(*[8] * 16), lambda: Residual(8)]
)
def test_deep_nets_are_compiled_in_bfloat16(make: Callable[[], nn.Module]) -> None:
    if not getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        pytest.skip("this processor does not multiply bfloat16")
    CompiledStep(make(), (1, 28, 28), 65, half=True)


def checked_step(check_in_float32: Callable[[], object] | None) -> CheckedStep:
    return CheckedStep(nn.Identity(), (1, 1, 1), 2, True, True, (1,), check_in_float32)


def test_more_attempts_are_made_only_if_the_source_is_right_in_float32() -> None:
    asked: list[str] = []

    def never(attempt: int) -> None:
        asked.append(str(attempt))
        raise CompilationError("differs")

    def only_at_last(attempt: int) -> None:
        if attempt < 7:
            never(attempt)

    def wrong_in_float32() -> None:
        asked.append("float32")
        raise CompilationError("wrong in float32")

    with pytest.raises(CompilationError, match="differs"):
        self_check._try_batches(checked_step(None), never)
    assert asked == ["0", "1", "2", "3", "4"]
    asked.clear()
    with pytest.raises(CompilationError, match="wrong in float32"):
        self_check._try_batches(checked_step(wrong_in_float32), only_at_last)
    assert asked == ["0", "1", "2", "3", "4", "float32"]
    asked.clear()
    self_check._try_batches(checked_step(lambda: asked.append("right")), only_at_last)
    assert asked == ["0", "1", "2", "3", "4", "right", "5", "6"]


def test_slack_is_what_pytorch_changes_by_and_nothing_without_amplification() -> None:
    net = nn.Linear(4, 3)
    before = copy.deepcopy(net.state_dict())
    images = torch.ones(2, 4)

    def compute(power: int = 1) -> ExpectedStep:
        logits = net(images) * 1.0 if power == 1 else (1e4 * net(images)).sin()
        loss = logits.square().mean()
        grads = torch.autograd.grad(loss, list(net.parameters()))
        named = dict(zip(("weight", "bias"), grads, strict=True))
        return ExpectedStep(loss.item(), logits.detach(), 0, named)

    calm = allow_for_last_bits(compute(), net, [], compute, half=True).slack
    wild = allow_for_last_bits(compute(2), net, [], lambda: compute(2), half=True).slack
    assert 0 < calm.gradients < 1e-2
    assert wild.gradients > 0.1
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    for _ in perturb_weights(net, half=False):
        assert not torch.equal(net.weight, before["weight"])
        torch.testing.assert_close(net.weight, before["weight"], rtol=1e-5, atol=0)
