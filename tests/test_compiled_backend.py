"""Compiled code computes the same as PyTorch; where it is not available, PyTorch is used."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from c_mutations import AUGMENTATION, STEP
from fixtures import compiled_nets
from helpers import few_fast, linux_only
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

import netlet
from netlet.backends import select_augmentation
from netlet.backends.cpu import CompilationError, CompiledStep, augmentation, c_source, library
from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.c_source import generate_c_source
from netlet.backends.cpu.errors import NoCompilerError, UnsupportedNetError
from netlet.backends.cpu.program_check import check_program
from netlet.data import Dataset, iterate_epoch
from netlet.errors import NetletWarning, TrainingError
from netlet.nets import NETS
from netlet.recipes import AUGMENTS, Recipe, Warp
from netlet.training import Callback, Checkpoint, Recorder, fit, load_checkpoint

pytestmark = linux_only

SMOOTHING = 0.1


def conv(*sizes: int, bias: bool = False, **more: int) -> list[nn.Module]:
    channels, out, kernel = sizes
    return [nn.Conv2d(channels, out, kernel, bias=bias, **more)]


def normed(*sizes: int, **more: int) -> list[nn.Module]:
    return [*conv(*sizes, **more), nn.BatchNorm2d(sizes[1]), nn.ReLU()]  # type: ignore[arg-type]


class StudentNet(nn.Module):
    """Like in a student's script: functions, views, log-probabilities, ReLU before the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 10, 3)
        self.norm = nn.BatchNorm2d(10)
        self.two = nn.Conv2d(10, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.norm(F.relu(self.one(x))), 2)
        x = self.last(torch.relu(self.two(x)))
        return F.log_softmax(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1), dim=1)


EXAMPLES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "sprint": (lambda: netlet.build(NETS["sprint"].builder, 0), (1, 28, 28)),
    "mnistnet_1, a bare 1x1": (lambda: netlet.build(NETS["mnistnet_1"].builder, 0), (1, 28, 28)),
    "a student's script": (StudentNet, (1, 13, 13)),
    "code_4 without its channel dropout": (
        lambda: NETS["code_4"].builder(dropout=0.0),
        (1, 28, 28),
    ),
    "color, not square, odd maps, a linear head": (
        lambda: nn.Sequential(
            *normed(3, 5, 3, stride=2),
            *normed(5, 33, 3, padding=2),
            nn.MaxPool2d(2),
            *normed(33, 7, 3, stride=2, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(7, 4),
        ),
        (3, 19, 14),
    ),
    "depthwise, strided, in two blocks": (
        lambda: nn.Sequential(
            *normed(2, 2, 3, padding=1, groups=2),
            *conv(2, 19, 1),
            *normed(19, 19, 3, stride=2, padding=2, groups=19),
            nn.Conv2d(19, 6, 1, bias=False),
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 6, 5, groups=6),
            nn.Conv2d(6, 8, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(8, 5, 1, bias=False),
        ),
        (2, 15, 12),
    ),
    "no norm, no head, a pooling that leaves a row": (
        lambda: nn.Sequential(
            *conv(1, 6, 4, bias=True),
            nn.MaxPool2d(2, 2),
            nn.ReLU(),
            *conv(6, 3, 4, bias=True, padding=3),
            nn.AvgPool2d(7),
            nn.Flatten(),
        ),
        (1, 12, 12),
    ),
    "a student's residual net, with every operation on maps": (
        compiled_nets.Everything,
        compiled_nets.SHAPES["Everything"],
    ),
    "linear layers": (compiled_nets.linear_layers, compiled_nets.SHAPES["linear_layers"]),
    "linear layers that are shared, with products of vectors": (
        compiled_nets.Residual,
        compiled_nets.SHAPES["Residual"],
    ),
    "maps whose rows are joined": (
        compiled_nets.JoinedRows,
        compiled_nets.SHAPES["JoinedRows"],
    ),
    "places of a map with a weight each": (
        compiled_nets.Weighed,
        compiled_nets.SHAPES["Weighed"],
    ),
    "kernels that channels share": (
        compiled_nets.SharedKernels,
        compiled_nets.SHAPES["SharedKernels"],
    ),
    "rows and columns repeated, mirrored and left out": (
        compiled_nets.Taken,
        compiled_nets.SHAPES["Taken"],
    ),
    "a softmax of its own, and rarer activations": (
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 9, 3), nn.Mish(), nn.Conv2d(9, 6, 1), nn.SELU()),
            *(nn.Softplus(2.0), nn.Conv2d(6, 6, 1), nn.CELU(0.7), nn.Softplus()),
            *(nn.GELU("tanh"), nn.Hardsigmoid(), nn.Conv2d(6, 4, 1), nn.ReLU6(), nn.SiLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)),
        ),
        (1, 7, 6),
    ),
}


def net_of(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    make, shape = EXAMPLES[name]
    torch.manual_seed(1)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # values other than the initial 0 and 1
            if module.weight is not None:
                nn.init.uniform_(module.weight, -1, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return net, shape


def batch_of(
    n: int, shape: tuple[int, int, int], classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    return torch.randn(n, *shape, generator=random), torch.randint(classes, (n,), generator=random)


def by_torch(
    net: nn.Module, images: torch.Tensor, labels: torch.Tensor, half: bool = False
) -> tuple[float, int]:
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = net.train()(images).flatten(1)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=SMOOTHING)
    loss.backward()
    return loss.item(), int((logits.argmax(1) == labels).sum())


def gradients(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


# These are compiled as training does (the first in the fast suite), the next with less optimization.
OPTIMIZED = ("no norm, no head, a pooling that leaves a row", "sprint")
QUICKLY_COMPILED = (
    "a student's script",
    "color, not square, odd maps, a linear head",
    "depthwise, strided, in two blocks",
    "a student's residual net, with every operation on maps",
    "linear layers that are shared, with products of vectors",
    "maps whose rows are joined",
    "kernels that channels share",
    "rows and columns repeated, mirrored and left out",
    "a softmax of its own, and rarer activations",
)


@pytest.mark.parametrize(
    "name", few_fast([*OPTIMIZED, *(name for name in EXAMPLES if name not in OPTIMIZED)], 1)
)
def test_compiled_step_equals_pytorch(name: str, two_threads: None) -> None:
    compare_with_pytorch(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(QUICKLY_COMPILED, 3))
def test_quickly_compiled_step_equals_pytorch(
    name: str, two_threads: None, quick_compiler: None
) -> None:
    compare_with_pytorch(name)


def compare_with_pytorch(name: str) -> None:
    net, shape = net_of(name)
    theirs = copy.deepcopy(net)
    step = CompiledStep(net, shape, 24, half=False)
    classes = read_program(net, shape).classes
    for n in (24, 7, 2):
        images, labels = batch_of(n, shape, classes)
        loss, right = step.compute_gradients(images, labels, SMOOTHING, 0)
        expected, expected_right = by_torch(theirs, images, labels)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert right == expected_right
        wanted = gradients(theirs)
        largest = max(float(grad.norm()) for grad in wanted.values())
        for key, grad in gradients(net).items():
            # The gradient of a bias before a norm is zero except for rounding.
            assert (grad - wanted[key]).norm() <= 1e-3 * wanted[key].norm() + 1e-5 * largest, key
    for (key, mine), other in zip(net.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=key)
    images, _ = batch_of(24, shape, classes)
    with torch.no_grad():
        logits = theirs.eval()(images).flatten(1)
    scores = step.compute_logits(images)
    torch.testing.assert_close(scores.log_softmax(1), logits.log_softmax(1), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", few_fast(["color, not square, odd maps, a linear head", "sprint"], 1)
)
def test_compiled_bfloat16_is_as_accurate_as_autocast(name: str) -> None:
    if not getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        pytest.skip("this processor does not multiply bfloat16")
    net, shape = net_of(name)
    exact, cast = copy.deepcopy(net), copy.deepcopy(net)
    step = CompiledStep(net, shape, 64, half=True)
    images, labels = batch_of(64, shape, read_program(net, shape).classes)
    step.compute_gradients(images, labels, SMOOTHING, 0)
    by_torch(exact, images, labels)
    by_torch(cast, images, labels, half=True)
    wanted, accepted = gradients(exact), gradients(cast)
    for key, grad in gradients(net).items():
        error, theirs = (
            (g[key] - wanted[key]).norm() / wanted[key].norm() for g in ({key: grad}, accepted)
        )
        assert error < 2 * theirs + 0.01, key


def test_compiled_dropout_depends_on_the_seed_and_has_the_right_gradient(
    two_threads: None, quick_compiler: None
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        # No ReLU and no pooling, since finite differences need a smooth function.
        nn.Conv2d(1, 16, 3),
        nn.BatchNorm2d(16),
        nn.Dropout(0.25),
        nn.Conv2d(16, 10, 3),
        nn.AdaptiveAvgPool2d(1),
    )
    shape = (1, 12, 12)
    images, labels = batch_of(32, shape, 10)
    step = CompiledStep(net, shape, 32, half=False)

    def loss(seed: int) -> float:
        return step.compute_gradients(images, labels, 0.0, seed)[0]

    assert loss(3) == loss(3)
    assert len({loss(seed) for seed in range(20)}) == 20
    loss(3)
    found = {name: grad.clone() for name, grad in gradients(net).items()}
    random = torch.Generator().manual_seed(4)
    for name, parameter in net.named_parameters():
        way = torch.randn(parameter.shape, generator=random)
        way /= way.norm()
        size = 4e-3
        with torch.no_grad():
            parameter += size * way
            up = loss(3)
            parameter -= 2 * size * way
            down = loss(3)
            parameter += size * way
        assert (up - down) / (2 * size) == pytest.approx(
            float((way * found[name]).sum()), rel=0.05, abs=3e-4
        ), name


@pytest.mark.slow
def test_compiled_dropout_keeps_the_mean(two_threads: None, quick_compiler: None) -> None:
    # The input of the dropout is 1 everywhere, so the mean of its output is what dropout does.
    net = nn.Sequential(
        nn.Conv2d(1, 16, 1, bias=False),
        nn.BatchNorm2d(16, eps=0),
        nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(1),
    )
    nn.init.zeros_(net[0].weight)  # type: ignore[arg-type]
    nn.init.ones_(net[1].bias)  # type: ignore[arg-type]
    net[1].eps = 1.0  # type: ignore[assignment] # the variance is zero
    images, labels = batch_of(200, (1, 20, 20), 16)
    step = CompiledStep(net, (1, 20, 20), 200, half=False)
    bias = net[1].bias
    found = []
    for seed in range(5):
        step.compute_gradients(images, labels, 0.0, seed)
        assert bias.grad is not None
        found.append(bias.grad.clone())
    # The gradient of a bias is (softmax - target) times the scaled dropout mask, and sums to zero
    # only if dropout keeps the mean.
    total = torch.stack(found).sum(1).abs()
    assert float(total.max()) < 2e-3
    assert not torch.equal(found[0], found[1])


class Cube(nn.Module):
    """A power that has no compiled form."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x**3


def conv_then(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *layers)


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (conv_then(nn.ConvTranspose2d(4, 4, 3)), r"1 \(conv_transpose2d\) is not supported"),
        (conv_then(nn.GroupNorm(2, 4)), r"1 \(group_norm\) is not supported"),
        (conv_then(nn.PReLU()), r"1 \(prelu\) is not supported"),
        (conv_then(nn.Threshold(0.1, 0)), r"1 \(threshold\) is not supported"),
        (conv_then(Cube()), r"1 \(pow\) has an exponent other than 2"),
        (conv_then(nn.AlphaDropout(0.1)), r"1 \(alpha_dropout\) is not supported"),
        # Layers of several operations, or of one with another name.
        (conv_then(nn.InstanceNorm2d(4)), r"^1 \(InstanceNorm2d\) is not supported$"),
        (
            conv_then(nn.InstanceNorm2d(4, track_running_stats=True)),
            r"^1 \(InstanceNorm2d\) is not supported$",
        ),
        (conv_then(nn.LocalResponseNorm(3)), r"^1 \(LocalResponseNorm\) is not supported$"),
        (conv_then(nn.CrossMapLRN2d(3)), r"^1 \(CrossMapLRN2d\) is not supported$"),
        (conv_then(nn.LPPool2d(2, 2)), r"^1 \(LPPool2d\) is not supported$"),
        (conv_then(nn.Softsign()), r"^1 \(Softsign\) is not supported$"),
        (conv_then(nn.Linear(6, 6)), r"1 \(Linear\) is not supported for an input of 4x6x6$"),
        (conv_then(nn.Unfold(3)), r"^1 \(Unfold\) is not supported$"),
        (conv_then(nn.UpsamplingBilinear2d(8)), r"1 \(UpsamplingBilinear2d\) .* only mode="),
        (conv_then(nn.Dropout(1.0)), r"1 \(dropout\) has a rate of 1"),
        (
            conv_then(nn.BatchNorm2d(4, track_running_stats=False)),
            r"1 \(batch_norm\) lacks running statistics",
        ),
        (
            conv_then(nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 3)),
            r"2 \(batch_norm\) is of a flattened map",
        ),
        (
            conv_then(nn.Flatten(), nn.Unflatten(1, (9, 4, 4)), nn.Conv2d(9, 3, 4)),
            "makes 9x4x4 of 144, and only flattening is supported",
        ),
        (
            conv_then(nn.Softmax(1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            r"1 \(softmax\) is not supported",
        ),
        (
            conv_then(nn.AdaptiveAvgPool2d(1), nn.LogSoftmax(-1), nn.Flatten()),
            r"2 \(log_softmax\) is not over the classes",
        ),
        (conv_then(nn.MaxPool2d(2, 1, 1, dilation=7)), r"1 \(max_pool2d\) has windows without"),
        (
            conv_then(nn.Dropout3d(0.1)),
            r"1 \(dropout3d\) takes the images of a batch for channels",
        ),
        (conv_then(nn.Flatten()), "does not end in one number for each class"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "has nothing to train"),
    ],
)
def test_unsupported_operations_are_rejected_with_the_reason(net: nn.Module, why: str) -> None:
    with pytest.raises(UnsupportedNetError, match=why):
        read_program(net, (1, 8, 8))


def test_nets_that_do_more_than_their_graph_shows_are_rejected_with_the_reason() -> None:
    class WithConv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 8)
            self.register_buffer("seen", torch.zeros(()))

    class Chooses(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) if x.sum() > 0 else -self.conv(x)  # type: ignore[no-any-return]

    class Counts(WithConv):
        runs = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.runs += 1
            x = self.conv(x)
            return x if self.runs > 3 else x.relu()

    class Remembers(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.add_(1)
            return self.conv(x)  # type: ignore[no-any-return]

    class Noisy(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x + torch.randn_like(x))  # type: ignore[no-any-return]

    class SkipsALayer(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skip = self.training and random.random() < 1e-9
            return self.conv(x) if skip else self.conv(x).relu()  # type: ignore[no-any-return]

    class AlwaysDrops(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.dropout(self.conv(x))

    class Scales(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, self.conv.weight * 2)

    class ReadsAWeight(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert self.conv.bias is not None
            return self.conv(x) * float(self.conv.bias[0])  # type: ignore[no-any-return]

    class Mixes(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return x - x.mean(0)

    class ReadsOldView(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            before = x.view(len(x), -1)
            x.relu_()
            return before

    class Softens(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = super().forward(x)
            return x if self.training else x.relu()

    class HasAFixedFilter(WithConv):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("blur", torch.ones(1, 1, 3, 3) / 9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(F.conv2d(x, self.blur, padding=1))  # type: ignore[no-any-return]

    class LearnsAScale(WithConv):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([0.5]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) * self.scale.exp()  # type: ignore[no-any-return]

    class Centers(WithConv):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(x).flatten(1)) - self.norm.running_mean

    class NormalizesByTheBatch(Centers):
        always = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x, norm = self.conv(x), self.norm
            return F.batch_norm(x, norm.running_mean, norm.running_var, training=self.always)

    class NeverNormalizesByTheBatch(NormalizesByTheBatch):
        always = False

    class NormsInVain(Centers):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x).flatten(1)
            self.norm(x)
            return x

    class Truncates(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.long().float())  # type: ignore[no-any-return]

    class PoolsRows(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) + F.max_pool1d(x.amax(3), 8).unsqueeze(3)  # type: ignore[no-any-return]

    class Joins(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (
                self.conv(x)
                + torch.cat([x, torch.ones_like(x)], 1).mean(1, keepdim=True)[:, :, 7:, 7:]
            )  # type: ignore[no-any-return]

    class Enlarges(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            larger = F.interpolate(x, scale_factor=2, mode="bilinear")
            return self.conv(larger[:, :, 4:12, 4:12])  # type: ignore[no-any-return]

    class Norms(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(F.instance_norm(x)).flatten(1)  # type: ignore[no-any-return]

    class Remembering(WithConv):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = x.new_zeros(len(x), 4)
            for row in x.squeeze(1).unbind(1):
                state = self.cell(row, state)
            return state

    class KeepsNothing(WithConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(F.pad(x[:, :, 8:], (0, 0, 4, 4))).flatten(1) + x[:, :, 8:].mean((2, 3))

    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self[1].eval()
            return self

    hooked = nn.Sequential(nn.Conv2d(1, 4, 8))
    hooked[0].register_forward_hook(lambda module, given, found: found * 2)
    pruned = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    prune.l1_unstructured(pruned[1], "weight", 0.5)  # type: ignore[no-untyped-call]
    for net, why in (
        (Chooses(), "Chooses reads a tensor's value"),
        (Counts(), "changes its attributes in the forward pass"),
        (Remembers(), "writes to a tensor of the net"),
        (Noisy(), "draws random numbers"),
        (SkipsALayer(), "SkipsALayer draws random numbers"),
        (AlwaysDrops(), "drops values in evaluation mode"),
        (Scales(), "computes its weights from other tensors"),
        (ReadsAWeight(), "reads a weight as a number"),
        (HasAFixedFilter(), "has weights that are not trained"),
        (LearnsAScale(), "mul combines a map with a parameter"),
        (Centers(), "sub combines a map with running statistics"),
        (NormalizesByTheBatch(), "normalizes by the batch in evaluation mode"),
        (NeverNormalizesByTheBatch(), "normalizes by running statistics in training, too"),
        (NormsInVain(), "updates its statistics, though the output does not depend on it"),
        (Truncates(), "to_copy is not supported"),
        (PoolsRows(), "^max_pool1d is not supported$"),
        (Joins(), "cat is not supported as it is called here .some of its parts are constants"),
        (Enlarges(), "upsample_bilinear2d is not supported, only mode=.nearest. of maps is"),
        (Norms(), "^instance_norm is not supported$"),
        (Remembering(), r"cell .GRUCell. is not supported"),
        (Mixes(), "mean mixes the images of a batch"),
        (KeepsNothing(), "slice returns a map without elements"),
        (ReadsOldView(), "reads a tensor that has been written to through another one"),
        (Softens(nn.Conv2d(1, 4, 8)), "computes something else in evaluation mode"),
        (Frozen(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4)), "keeps layers in evaluation mode"),
        (hooked, "0 has hooks"),
        (pruned, "1 is pruned by a hook, until prune.remove.1, 'weight'."),
    ):
        with pytest.raises(UnsupportedNetError, match=why):
            read_program(net, (1, 8, 8))


class Branches(nn.Module):
    """Two convolutions; a subclass does something to the first one's output."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(1, 3, 8), nn.Conv2d(1, 3, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.between(self.one(x)) + self.other(x)).flatten(1)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Detaches(Branches):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


class KnowsTheBatchSize(Branches):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(2, 3, 1, 1)


@pytest.mark.parametrize("lacks", ["weight", "bias"])
def test_a_norm_may_lack_its_scale_or_its_bias(lacks: str) -> None:
    norm = nn.BatchNorm2d(4)
    setattr(norm, lacks, None)
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    check_program(nn.Sequential(nn.Conv2d(2, 4, 3), norm, *head), (2, 8, 8))


class ChangesItsInput(Branches):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.mul_(0.5).sub_(0.1))


def test_a_net_is_compared_with_its_program_even_if_the_library_is_cached(
    new_cache: Path, quick_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    CompiledStep(Branches(), (1, 8, 8), 9, half=False)
    forbid_compiler(monkeypatch)
    with pytest.raises(
        CompilationError,
        match=r"computes another gradient of one\.weight than PyTorch",
    ):
        CompiledStep(Detaches(), (1, 8, 8), 9, half=False)
    with pytest.raises(
        UnsupportedNetError, match="KnowsTheBatchSize does not run on a batch of 12 images"
    ):
        CompiledStep(KnowsTheBatchSize(), (1, 8, 8), 9, half=False)
    CompiledStep(Branches(), (1, 8, 8), 9, half=False)


@pytest.mark.slow
def test_a_net_may_change_its_input_and_have_no_gradient(
    new_cache: Path, quick_compiler: None
) -> None:
    CompiledStep(ChangesItsInput(), (1, 8, 8), 9, half=False)
    dead = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Sigmoid(), nn.Hardtanh(2, 3), nn.Flatten())
    CompiledStep(dead, (1, 8, 8), 9, half=False)


def test_a_clamp_at_zero_passes_the_gradient_of_zero_on(
    new_cache: Path, quick_compiler: None
) -> None:
    class Clamps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).clamp(min=0).flatten(1)

    net = Clamps()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    step = CompiledStep(net, (1, 8, 8), 9, half=False)
    images, labels = batch_of(9, (1, 8, 8), 3)
    step.compute_gradients(images, labels, SMOOTHING, 0)
    found = {name: grad.clone() for name, grad in gradients(net).items()}
    by_torch(net, images, labels)
    for name, grad in gradients(net).items():
        torch.testing.assert_close(found[name], grad, msg=name)


RECIPE = Recipe(
    epochs=2,
    batch_size=50,
    peak_lr=0.02,
    augment=(Warp(shift_px=0.5),),
    averaging="ema",
    ema_decay=0.9,
    backend="compiled",
)


def tiny() -> nn.Module:
    return nn.Sequential(
        *normed(1, 8, 5, stride=2),
        nn.MaxPool2d(2),
        *normed(8, 12, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


@pytest.fixture
def new_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(library, "_cache_folder", lambda: tmp_path / "native")
    monkeypatch.setattr(library, "_libraries", {})
    return tmp_path / "native"


@pytest.mark.slow
def test_compiled_training_with_a_new_library_matches_eager_training(
    blob_data: Dataset, new_cache: Path, two_threads: None
) -> None:
    runs = [
        fit(netlet.build(tiny, 0), blob_data, RECIPE.replace(backend=step, precision="float32"))
        for step in ("compiled", "eager")
    ]
    assert [run.backend for run in runs] == ["compiled", "eager"]
    assert any(new_cache.glob("*.so"))
    fast, plain = ([epoch.train_loss for epoch in run.epochs] for run in runs)
    assert fast == pytest.approx(plain, rel=1e-3)
    assert abs(runs[0].last_epoch.correct - runs[1].last_epoch.correct) <= 1


def forbid_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: object, **more: object) -> None:
        raise AssertionError("the compiler was called")

    monkeypatch.setattr(library, "compile_file", run)
    monkeypatch.setattr(library, "_libraries", {})


def test_library_is_compiled_once_and_cached(
    new_cache: Path, quick_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    CompiledStep(tiny(), (1, 28, 28), 8, half=False)
    (cached,) = new_cache.iterdir()
    assert cached.suffix == ".so"
    forbid_compiler(monkeypatch)
    CompiledStep(tiny(), (1, 28, 28), 8, half=False)
    with pytest.raises(AssertionError, match="the compiler was called"):
        CompiledStep(tiny(), (1, 28, 28), 9, half=False)


@pytest.mark.slow
def test_check_of_a_library_does_not_depend_on_the_weights_of_the_net(
    new_cache: Path, quick_compiler: None
) -> None:
    net = tiny()
    for parameter in net.parameters():
        nn.init.constant_(parameter, float("nan"))
    CompiledStep(net, (1, 28, 28), 20, half=False)
    assert len(list(new_cache.iterdir())) == 1


def test_wrong_library_is_rejected_and_not_cached(
    new_cache: Path, quick_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = c_source.generate_c_source

    def wrong(*args: object, **more: object) -> str:
        text = original(*args, **more)  # type: ignore[arg-type]
        kept = "weight_row(s, 0, t.i + i, t.place + p)"
        assert text.count(kept) == 1
        mirrored = kept.replace("t.place + p", "weight_places(s) - 1 - t.place - p")
        return text.replace(kept, mirrored)

    monkeypatch.setattr("netlet.backends.cpu.compiled_step.generate_c_source", wrong)
    with pytest.raises(
        CompilationError, match=r"the compiled gradient of 0\.weight differs from PyTorch's"
    ):
        CompiledStep(tiny(), (1, 28, 28), 8, half=False)
    assert not new_cache.exists()


@pytest.mark.parametrize(
    "trouble",
    [
        "switched off",
        pytest.param("switched off by the old name", marks=pytest.mark.slow),
        "no compiler",
        pytest.param("a broken compiler", marks=pytest.mark.slow),
        pytest.param("a cache that cannot be written", marks=pytest.mark.slow),
    ],
)
def test_training_falls_back_to_eager_mode_without_a_compiler(
    trouble: str,
    new_cache: Path,
    quick_compiler: None,
    blob_data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trouble == "switched off":
        monkeypatch.setenv("NETLET_COMPILE", "0")
    elif trouble == "switched off by the old name":
        monkeypatch.setenv("NETLET_NATIVE", "0")
    elif trouble == "no compiler":
        monkeypatch.setattr(
            library,
            "find_compiler",
            lambda: (_ for _ in ()).throw(NoCompilerError("there is no C compiler")),
        )
    elif trouble == "a broken compiler":
        monkeypatch.setenv("CC", "false")
    else:
        new_cache.write_text("a file, no folder")
    monkeypatch.setattr("netlet.backends.select._MIN_IMAGES_TO_COMPILE", 600)
    run = fit(netlet.build(tiny, 0), blob_data, RECIPE.replace(epochs=1, backend="auto"))
    assert run.backend == ("compiled" if trouble.endswith("written") else "eager")
    if run.backend == "eager":
        reason = {
            "switched off": "is turned off by NETLET_COMPILE=0; unset it, or use backend=auto",
            "switched off by the old name": "is turned off by NETLET_NATIVE=0; unset it, or use",
        }.get(trouble, "is not available: .+; use backend=auto")
        with pytest.raises(TrainingError, match=f"backend=compiled {reason}"):
            fit(netlet.build(tiny, 0), blob_data, RECIPE)


def test_training_says_which_layer_has_no_compiled_form(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.backends.select._MIN_IMAGES_TO_COMPILE", 0)
    net = nn.Sequential(
        nn.Conv2d(1, 10, 5, 4), nn.Threshold(0.1, 0), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    recipe = RECIPE.replace(epochs=1, backend="auto")
    with pytest.warns(
        NetletWarning, match=r"eager mode: this net has no compiled form .*threshold"
    ):
        assert fit(net, blob_data, recipe).backend == "eager"
    with pytest.raises(
        TrainingError,
        match=r"backend=compiled does not support this net: .*threshold.*; use backend=auto",
    ):
        fit(net, blob_data, recipe.replace(backend="compiled"))


def test_short_training_is_not_compiled(blob_data: Dataset) -> None:
    assert fit(netlet.build(tiny, 0), blob_data, RECIPE.replace(backend="auto")).backend == "eager"


@pytest.mark.slow
def test_compiled_run_resumes_bit_for_bit(blob_data: Dataset, two_threads: None) -> None:
    class KeepsCheckpoint(Callback):
        kept: Checkpoint | None = None

        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            self.kept = self.kept or (checkpoint if checkpoint.epochs else None)

    callback = KeepsCheckpoint()
    recipe = RECIPE.replace(epochs=3)
    whole = fit(netlet.build(tiny, 0), blob_data, recipe, callbacks=[callback])
    assert callback.kept is not None
    again = fit(netlet.build(tiny, 1), blob_data, recipe, resume=callback.kept)
    assert again.backend == whole.backend == "compiled"
    assert again.weights_digest == whole.weights_digest
    assert fit(netlet.build(tiny, 0), blob_data, recipe).weights_digest == whole.weights_digest


@pytest.mark.parametrize("augment", AUGMENTS)
def test_compiled_augmentation_equals_pytorch(augment: str, blob_data: Dataset) -> None:
    recipe = Recipe(augment=AUGMENTS[augment], batch_size=64)
    compiled, eager = (
        torch.cat(
            [
                x
                for x, _ in iterate_epoch(
                    blob_data.train,
                    r,
                    torch.Generator().manual_seed(3),
                    select_augmentation(blob_data.train, r),
                )
            ]
        )
        for r in (recipe, recipe.replace(backend="eager"))
    )
    # A pixel exactly on an edge may be rounded to either side.
    assert ((compiled - eager).abs() > 1e-4).double().mean() < 1e-5


@pytest.mark.slow
def test_a_wrong_score_of_the_compiled_backend_is_an_error_and_keeps_the_checkpoint(
    blob_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: CompiledStep, images: torch.Tensor) -> torch.Tensor:
        return self._bound.compute_logits(images).roll(1, 0)

    monkeypatch.setattr(CompiledStep, "compute_logits", wrong)
    recorder = Recorder(tmp_path / "run")
    with pytest.raises(
        TrainingError,
        match=r"the compiled backend scores \d+ of 100 test images, PyTorch \d+; .* nothing is "
        r"recorded; train again with NETLET_COMPILE=0",
    ):
        fit(netlet.build(tiny, 0), blob_data, RECIPE, callbacks=[recorder])
    assert not (tmp_path / "run" / "run.json").exists()
    assert len(load_checkpoint(tmp_path / "run")[0].epochs) == RECIPE.epochs


@pytest.mark.slow
def test_resuming_on_another_backend_warns_and_the_record_lists_both(blob_data: Dataset) -> None:
    class KeepsCheckpoint(Callback):
        kept: Checkpoint | None = None

        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            self.kept = self.kept or (checkpoint if checkpoint.epochs else None)

    callback = KeepsCheckpoint()
    whole = fit(netlet.build(tiny, 0), blob_data, RECIPE, callbacks=[callback])
    assert [(s.first_epoch, s.last_epoch, s.backend) for s in whole.stretches] == [
        (1, 2, "compiled")
    ]
    assert whole.stretches[0].environment == whole.environment
    with pytest.warns(NetletWarning, match="the eager backend instead of the compiled one") as seen:
        again = fit(
            netlet.build(tiny, 1), blob_data, RECIPE.replace(backend="eager"), resume=callback.kept
        )
    assert len([one for one in seen if one.category is NetletWarning]) == 1
    assert [(s.first_epoch, s.last_epoch, s.backend) for s in again.stretches] == [
        (1, 1, "compiled"),
        (2, 2, "eager"),
    ]
    assert "compiler" in again.stretches[0].environment
    assert "compiler" not in again.environment


@pytest.mark.slow
def test_evaluation_of_large_maps_takes_little_memory(
    new_cache: Path, quick_compiler: None
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 512, 1), nn.AvgPool2d(64), nn.Flatten(), nn.Linear(512, 3))
    step = CompiledStep(net, (1, 64, 64), 512, half=False, training=False)
    assert 16 <= step.images < 64  # a map takes 8 MiB
    images = batch_of(16, (1, 64, 64), 3)[0]
    torch.testing.assert_close(step.compute_logits(images), net.eval()(images))


_STEPS = """
import torch
from c_mutations import AUGMENTATION, STEP
from fixtures import compiled_nets
from netlet.backends.cpu import CompiledStep
from netlet.backends.cpu.parts.base import LANES

for name, shape in compiled_nets.SHAPES.items():
    torch.manual_seed(0)
    CompiledStep(getattr(compiled_nets, name)(), shape, 9, half=False)  # compares with PyTorch
print(LANES)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "lanes"), [("avx2", 8), ("default", 4)])
def test_vectors_have_the_width_of_the_processors_registers(
    capability: str, lanes: int, tmp_path: Path
) -> None:
    environment = os.environ | {
        "ATEN_CPU_CAPABILITY": capability,
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _STEPS], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(lanes)), done.stderr


@pytest.mark.parametrize("name", STEP)
def test_the_mistakes_of_the_fault_tests_are_in_the_program(name: str) -> None:
    # Those tests take long and run seldom: a text that was changed is found here.
    net, shape = getattr(compiled_nets, name)(), compiled_nets.SHAPES[name]
    registers = 30 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 6
    source = generate_c_source(
        read_program(net, shape), half=False, training=True, images=25, registers=registers
    )
    for mutation in STEP[name]:
        assert mutation.apply(source) != source


def test_the_mistakes_of_the_fault_tests_are_in_the_augmentation() -> None:
    source = augmentation.read_source()
    for mutation in AUGMENTATION:
        assert mutation.apply(source) != source
