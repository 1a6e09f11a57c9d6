"""Random nets: the compiled backend computes the same as PyTorch, or says what it lacks."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
import torch
from fixtures.random_programs import draw_net
from helpers import few_fast, linux_only
from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu import CompiledStep, library
from netlet.backends.cpu.errors import UnsupportedNetError
from netlet.graph import WithoutDropout

pytestmark = [
    linux_only,
    # "same" padding of an even kernel copies
    pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning"),
]

SMOOTHING = 0.1
ATTEMPTS = 4  # with other images: where two values are equal, rounding decides on a maximum
# Of losses, gradients, running statistics and logits, in float32 and, roughly, in bfloat16. Some
# gradients are zero except for rounding, so each may differ by a share of the largest one, too.
TOLERANCES = {
    False: {"loss": 2e-4, "gradient": 5e-3, "largest": 0.01, "statistics": 1e-3, "logits": 2e-3},
    True: {"loss": 5e-2, "gradient": 0.6, "largest": 0.1, "statistics": 3e-2, "logits": 0.1},
}
QUICK = (1, 5, 23, 77, 102, 275)


@pytest.fixture(autouse=True)
def _quick_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with less optimization, since nothing is timed."""
    flags = tuple("-O0" if flag == "-O3" else flag for flag in library._FLAGS)
    monkeypatch.setattr(library, "_FLAGS", flags)
    monkeypatch.setattr(library, "_cache_folder", lambda: tmp_path / "native")


@pytest.mark.parametrize("seed", few_fast(QUICK, 1))
def test_a_few_random_nets_train_as_in_pytorch(seed: int) -> None:
    check_net(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(120))
def test_random_nets_train_as_in_pytorch(seed: int) -> None:
    check_net(seed)


def check_net(seed: int) -> None:
    """Compare a net's compiled step with PyTorch, unless it is refused with a reason."""
    net, shape = draw_net(seed)
    draw = random.Random(seed + 1_000_000)
    half = draw.random() < 0.4 and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    threads, images = draw.choice((1, 2)), draw.randint(4, 33)
    if not can_train(net, shape):
        pytest.skip("PyTorch cannot train this net")
    try:
        step = CompiledStep(net, shape, images, half=half, threads=threads)
    except UnsupportedNetError:
        return
    step._bound.set_dropout([0.0] * len(step._bound._program.parts))
    tolerances = TOLERANCES[half]
    for n in sorted({images, images // 2 + 2, 4}):
        for attempt in range(ATTEMPTS):
            differences = find_differences(net, step, shape, n, attempt, tolerances)
            if not differences:
                break
        assert not differences
    batch = torch.randn(images, *shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        wanted = centered(copy.deepcopy(net).double().eval()(batch.double()).flatten(1))
    found = centered(step.compute_logits(batch).double())
    assert (found - wanted).abs().max() <= tolerances["logits"] * (1e-3 + wanted.abs().max())


def can_train(net: nn.Module, shape: tuple[int, int, int]) -> bool:
    try:
        train(net, torch.randn(3, *shape), torch.zeros(3, dtype=torch.int64))
    except RuntimeError:  # it changes what a gradient needs, or has no gradient
        return False
    return True


def train(
    net: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> tuple[float, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the loss of a step in float64, the gradients and the buffers."""
    net = copy.deepcopy(net).double().train()
    net.zero_grad()
    with WithoutDropout():
        logits = net(images.double()).flatten(1)
    loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
    loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in net.named_parameters()
    }
    return loss.item(), gradients, dict(net.named_buffers())


def find_differences(
    net: nn.Module,
    step: CompiledStep,
    shape: tuple[int, int, int],
    n: int,
    seed: int,
    tolerances: dict[str, float],
) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, *shape, generator=generator)
    labels = torch.randint(2, (n,), generator=generator)
    loss, gradients, buffers = train(net, images, labels)
    found, _ = step.compute_gradients(images, labels, SMOOTHING, seed)
    differences = []
    if not abs(found - loss) <= tolerances["loss"] * (1 + abs(loss)):
        differences.append(f"loss {found} instead of {loss}")
    small = tolerances["largest"] * max(float(grad.norm()) for grad in gradients.values())
    for name, parameter in net.named_parameters():
        wanted = gradients[name]
        assert parameter.grad is not None
        error = float((parameter.grad - wanted).norm())
        if not error <= tolerances["gradient"] * (float(wanted.norm()) + small):
            differences.append(f"gradient of {name}")
    for name, buffer in net.named_buffers():
        error = float((buffer - buffers[name]).abs().max())
        if not error <= tolerances["statistics"] * (1 + float(buffers[name].abs().max())):
            differences.append(name)
    return differences


def centered(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(1, keepdim=True)
