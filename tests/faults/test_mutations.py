"""The check of compiled code notices small mistakes in the C program, one at a time."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import pytest
import torch
from c_mutations import AUGMENTATION, STEP, Mutation
from fault_counts import FaultCounts
from helpers import linux_only
from torch import nn

from netlet.backends.cpu import CompilationError, CompiledStep, augmentation, library
from netlet.backends.cpu import compiled_step as compiled
from netlet.backends.cpu.c_source import generate_c_source
from netlet.backends.cpu.compiler import compile_file, find_compiler
from netlet.backends.cpu.loader import load_library

pytestmark = [pytest.mark.faults, linux_only]

IMAGES, SHAPE = 25, (2, 14, 12)


def net_with_norms() -> nn.Module:
    """Every kind of layer that follows a convolution, and a linear layer with a bias."""
    return nn.Sequential(
        *(nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Dropout(0.2), nn.ReLU()),
        nn.MaxPool2d(2),
        *(nn.Conv2d(5, 5, 3, padding=1, groups=5), nn.ReLU(), nn.BatchNorm2d(5)),
        *(nn.Conv2d(5, 18, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(18)),
        *(nn.Dropout(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(18, 4)),
    )


def net_without_norms() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(6, 6, 3, stride=2, padding=2, groups=6), nn.ReLU()),
        *(nn.Conv2d(6, 20, 3, padding=2), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(20, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def train(step: CompiledStep, net: nn.Module) -> list[torch.Tensor]:
    """Train a few steps; return all tensors of the net, its losses and its logits."""
    generator = torch.Generator().manual_seed(1)
    losses = []
    for number, n in enumerate((25, 24, 9, 2)):
        images = torch.randn(n, *SHAPE, generator=generator)
        labels = torch.randint(4, (n,), generator=generator)
        losses.append(step.compute_gradients(images, labels, 0.1, 12345 + (number << 40))[0])
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.05 * parameter.grad  # type: ignore[operator]
    scores = step.compute_logits(torch.randn(25, *SHAPE, generator=generator))
    tensors = [t.detach().clone().double() for t in (*net.parameters(), *net.buffers())]
    return [*tensors, torch.tensor(losses), scores]


def differ(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    """Return whether the results differ by more than rounding."""
    return any(
        not float((a - b).norm()) <= 1e-4 * float(b.norm()) + 1e-7
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def quick_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with less optimization, since nothing is timed."""
    flags = tuple("-O0" if flag == "-O3" else flag for flag in library._FLAGS)
    monkeypatch.setattr(library, "_FLAGS", flags)
    monkeypatch.setattr(library, "_cache_folder", lambda: tmp_path / "native")


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.usefixtures("quick_compiler")
def test_check_notices_mistakes_in_the_training_step(
    half: bool, monkeypatch: pytest.MonkeyPatch, fault_counts: FaultCounts
) -> None:
    if half and not getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        pytest.skip("this processor does not multiply bfloat16")
    torch.set_num_threads(2)
    outcomes: dict[str, list[str]] = {"caught": [], "harmless": [], "missed": []}
    nets = []
    for make in (net_with_norms, net_without_norms):
        torch.manual_seed(3)
        net = make()
        twin = copy.deepcopy(net)
        nets.append((net, train(CompiledStep(twin, SHAPE, IMAGES, half=half), twin)))
    for mutation in STEP:
        found = "harmless"
        for net, honest in nets:
            twin = copy.deepcopy(net)
            with monkeypatch.context() as patch:
                patch.setattr(compiled, "generate_c_source", _with_mistake(mutation))
                try:
                    step = CompiledStep(twin, SHAPE, IMAGES, half=half)
                except CompilationError:
                    found = "caught"
                    break
            if differ(train(step, twin), honest):
                found = "missed"
        outcomes[found].append(mutation.what)
    torch.set_num_threads(1)
    _report(
        outcomes, f"mistakes in a training step, {'bfloat16' if half else 'float32'}", fault_counts
    )


@pytest.mark.usefixtures("quick_compiler")
def test_check_notices_mistakes_in_the_augmentation(fault_counts: FaultCounts) -> None:
    honest = resources.files("netlet.backends.cpu").joinpath("c", "warp.c").read_text()
    outcomes: dict[str, list[str]] = {"caught": [], "harmless": [], "missed": []}
    augmentation._check(_compile(honest))
    for mutation in AUGMENTATION:
        try:
            augmentation._check(_compile(mutation.apply(honest)))
        except CompilationError:
            outcomes["caught"].append(mutation.what)
        else:
            outcomes["missed"].append(mutation.what)
    _report(outcomes, "mistakes in the augmentation", fault_counts)


def _with_mistake(mutation: Mutation) -> Callable[..., str]:
    return lambda *args, **more: mutation.apply(generate_c_source(*args, **more))


def _compile(source: str) -> ctypes.CDLL:
    arguments = [*library._FLAGS, "netlet.c", "-lm"]
    return load_library(
        compile_file(find_compiler(), {"netlet.c": source}, arguments, "netlet.so")[1]
    )


def _report(outcomes: dict[str, list[str]], what: str, fault_counts: FaultCounts) -> None:
    caught, missed = len(outcomes["caught"]), len(outcomes["missed"])
    fault_counts.add(
        "compiled",
        what,
        sum(map(len, outcomes.values())),
        caught=caught,
        harmless=len(outcomes["harmless"]),
        failed=missed,
    )
    assert caught >= 30 or what.endswith("augmentation")
    assert caught >= 0.95 * (caught + missed), outcomes["missed"]


def test_a_mutation_of_a_text_that_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="the program has no 'x' number 0"):
        Mutation("gone", "x", "y").apply("z")
