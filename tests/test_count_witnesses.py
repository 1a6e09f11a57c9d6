"""Other programs count the same multiply-adds: PyTorch's own counter, fvcore and thop."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from fixtures.course_nets import BOTH_FORMS, COURSE_NETS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netlet.analysis import cost

pytestmark = pytest.mark.slow

IMAGE = (1, 28, 28)
# What fvcore calls the operations that have multiply-adds; it also counts norms and pooling.
PRODUCTS = ("addmm", "bmm", "conv", "einsum", "linear", "matmul")


class InInferenceMode(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.body(x)


class OnChannels(nn.Module):
    """Applies a layer along the channels of a map, as a dense layer of N H W C."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attends(nn.Module):
    """Self-attention between the positions of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return x + self.attention(tokens, tokens, tokens)[0].transpose(1, 2).view(x.shape)


def random_net(seed: int) -> nn.Module:
    """Return a chain of random layers and a dense head."""
    draw, layers, channels, side = random.Random(seed), [], 1, 28
    for _ in range(draw.randint(2, 6)):
        wider = draw.choice([4, 6, 8])
        kind = draw.choice(["conv", "grouped", "transposed", "dense", "pool", "norm", "attend"])
        if kind == "conv" and side > 8:
            k, stride = draw.choice([1, 3, 5]), draw.choice([1, 2])
            layers.append(nn.Conv2d(channels, wider, k, stride, bias=draw.random() < 0.5))
            channels, side = wider, (side - k) // stride + 1
        elif kind == "grouped" and channels > 1 and side > 4:
            layers.append(nn.Conv2d(channels, channels, 3, padding=2, dilation=2, groups=2))
        elif kind == "transposed" and side < 20:
            layers.append(nn.ConvTranspose2d(channels, wider, 2, 2))
            channels, side = wider, 2 * side
        elif kind == "dense":
            layers.append(OnChannels(nn.Linear(channels, wider)))
            channels = wider
        elif kind == "pool" and side > 4:
            layers.append(draw.choice([nn.MaxPool2d(2), nn.AvgPool2d(2)]))
            side //= 2
        elif kind == "norm":
            layers += [nn.BatchNorm2d(channels), nn.GELU(), nn.Dropout(0.1)]
        elif kind == "attend" and channels > 1 and side < 14:
            layers.append(Attends(channels))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    ).eval()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("seed", range(60))
def test_pytorch_counts_the_same_in_random_nets(seed: int) -> None:
    net = random_net(seed)
    # With gradients, since PyTorch does not count its layers of transformers that have none.
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(2, *IMAGE))
    expected = counter.get_total_flops() // 4
    assert cost(net).macs == expected
    assert cost(InInferenceMode(net)).macs == expected
    assert cost(copy.deepcopy(net).double()).macs == expected
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.zeros(2, *IMAGE), check_trace=False)
    assert cost(traced).macs == expected


@pytest.mark.parametrize("name", COURSE_NETS)
def test_fvcore_counts_the_same(name: str) -> None:
    fvcore = pytest.importorskip("fvcore.nn")
    net = COURSE_NETS[name]().eval()
    analysis = fvcore.FlopCountAnalysis(net, torch.zeros(2, *IMAGE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    found = analysis.by_operator()
    if "aten::_convolution_mode" in analysis.unsupported_ops():
        pytest.skip("fvcore leaves out convolutions with padding='same' or 'valid'")
    assert 2 * (cost(net).macs or 0) == sum(found[product] for product in PRODUCTS)


@pytest.mark.parametrize("name", BOTH_FORMS)
def test_thop_counts_the_same(name: str) -> None:
    thop = pytest.importorskip("thop")
    net = BOTH_FORMS[name][0]().eval()
    counted = (nn.Conv2d, nn.Linear)
    others = {type(module) for module in net.modules() if not isinstance(module, counted)}
    uncounted = {kind: _count_nothing for kind in others if kind.__module__.startswith("torch.nn")}
    found, _ = thop.profile(
        copy.deepcopy(net), (torch.zeros(1, *IMAGE),), custom_ops=uncounted, verbose=False
    )
    assert cost(net).macs == found


def _count_nothing(*_: object) -> None:
    """Count no operations, as thop expects it of a module."""
