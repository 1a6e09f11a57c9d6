"""Which numbers besides parameters act as weights: tables, offsets, masks, packed integers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from helpers import few_fast
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from netlet.analysis import trace
from netlet.analysis.labels import count_stored
from netlet.graph.call import Call
from netlet.graph.mixing_aten import _grid_sample

Forward = Callable[[Any, torch.Tensor], torch.Tensor]
RANDOM = torch.Generator().manual_seed(0)


class Net(nn.Module):
    """Computes with a tensor of its own, which is a buffer or a plain attribute."""

    def __init__(self, own: torch.Tensor, forward: Forward, *, buffer: bool = True) -> None:
        super().__init__()
        self.compute = forward
        self.scale = nn.Parameter(torch.ones(1))
        self.dense = nn.Linear(784, 10, bias=False)
        if buffer:
            self.register_buffer("own", own)
        else:
            self.own = own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compute(self, x.flatten(1)) * self.scale


def count(net: nn.Module) -> int:
    return sum(weights.numbers for weights in trace(net).hidden)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=RANDOM)


def pick(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.own[torch.arange(784), (x > 0.5).long()].float().sum(1)


def embed(net: Any, x: torch.Tensor) -> torch.Tensor:
    return F.embedding((x > 0.5).long(), net.own).float().sum(1)


def gather(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.own.expand(len(x), -1).gather(1, (x[:, :10] > 0.5).long()).float()


@pytest.mark.parametrize("buffer", [True, False])
@pytest.mark.parametrize("dtype", few_fast([torch.float32, torch.int8, torch.int32, torch.bool], 2))
@pytest.mark.parametrize(
    ("shape", "look_up"), [((784, 2, 10), pick), ((9, 10), embed), ((1, 60), gather)]
)
def test_a_table_that_pixels_look_up_counts_whatever_its_type(
    shape: tuple[int, ...], look_up: Forward, dtype: torch.dtype, *, buffer: bool
) -> None:
    table = (random(*shape) * 50).clamp(-100, 100).to(dtype)
    assert count(Net(table, look_up, buffer=buffer)) == table.numel()


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: (x[:, None] - net.own).pow(2).sum(2),
        lambda net, x: (net.own - x[:, None]).abs().sum(2),
        lambda net, x: F.linear(x, net.own + 0 * x.sum()),
        lambda net, x: (x[:, None].expand(-1, 10, -1) + net.own).relu().sum(2),
        lambda net, x: (x[:, None] > net.own).float().mean(2),
        lambda net, x: torch.stack([(x - row).abs().sum(1) for row in net.own], 1),
        lambda net, x: torch.cat([x[:, None], net.own.expand(len(x), -1, -1)], 1).sum(2)[:, :10],
        lambda net, x: torch.where(net.own > 0, x[:, None], -x[:, None]).sum(2),
        lambda net, x: x[:, None].masked_fill(net.own > 0, 0).sum(2),
        lambda net, x: (x[:, None] * net.own).sum(2),
    ],
)
def test_a_buffer_with_more_numbers_than_the_values_counts(forward: Forward) -> None:
    assert count(Net(random(10, 784), forward)) == 7840


def test_integers_that_are_multiplied_count() -> None:
    own = torch.randint(-100, 100, (10, 784), dtype=torch.int8, generator=RANDOM)
    assert count(Net(own, lambda net, x: (x[:, None] * net.own).sum(2))) == 7840


@pytest.mark.parametrize(
    ("shape", "forward"),
    [
        ((784,), lambda net, x: net.dense(x - net.own)),
        ((1, 784), lambda net, x: net.dense((x > net.own).float())),
        ((784,), lambda net, x: net.dense(x * (net.own > 0))),
        ((784,), lambda net, x: net.dense(torch.where(net.own > 0, x, 0))),
        ((784,), lambda net, x: net.dense(x + net.own) + net.dense(x - net.own)),
        (
            (2, 28, 28),
            lambda net, x: net.dense(
                torch.cat([x.view(-1, 1, 28, 28), net.own.expand(len(x), -1, -1, -1)], 1)
                .mean(1)
                .flatten(1)
            ),
        ),
        (
            (784, 2),
            lambda net, x: net.dense(
                torch.cat([x[:, :, None], net.own.expand(len(x), -1, -1)], 2).amax(2)
            ),
        ),
        (
            (28, 28),
            lambda net, x: net.dense(
                (x.view(-1, 28, 28) @ x.view(-1, 28, 28) + net.own).softmax(2).flatten(1)
            ),
        ),
        (
            (28, 28),
            lambda net, x: net.dense(
                (x.view(-1, 28, 28) @ x.view(-1, 28, 28))
                .masked_fill(net.own > 0, 0)
                .softmax(2)
                .flatten(1)
            ),
        ),
        (
            (100, 28),
            lambda net, x: net.dense((x.view(-1, 28, 28) + net.own[:28]).relu().flatten(1)),
        ),
    ],
)
def test_positions_and_masks_in_a_buffer_are_free(shape: tuple[int, ...], forward: Forward) -> None:
    assert count(Net(random(*shape), forward)) == 0


def test_a_pruned_net_counts_its_parameters_only() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
    for layer in (net[1], net[3]):
        prune.random_unstructured(layer, "weight", amount=0.5)
    assert trace(net).parameters == 6370


@pytest.mark.parametrize("buffer", [True, False])
@pytest.mark.parametrize(
    ("forward", "hidden"),
    [
        (lambda net, x: F.linear(x, net.dense.weight * net.own), 0),
        (lambda net, x: F.linear(x, net.dense.weight.where(net.own > 0, 0)), 0),
        (lambda net, x: F.linear(x, net.dense.weight.masked_fill(net.own > 0, 0)), 0),
        (lambda net, x: F.linear(x, net.scale * net.own), 7840),
        (lambda net, x: F.linear(x, net.scale.expand(10, 784) * net.own), 7840),
        (lambda net, x: F.linear(x, net.dense.weight * (net.own * 2)), 7840),
    ],
)
def test_zeros_and_ones_that_switch_parameters_off_are_free(
    forward: Forward, hidden: int, *, buffer: bool
) -> None:
    own = (random(10, 784) > 0).float()
    assert count(Net(own, forward, buffer=buffer)) == hidden


def test_bits_of_a_parameter_count() -> None:
    def forward(net: Any, x: torch.Tensor) -> torch.Tensor:
        bits = (net.own[None] >> torch.arange(10)[:, None]) & 1
        return F.linear(x, bits * 2.0 - 1)

    packed = torch.randint(0, 2**62, (784,), generator=RANDOM)
    net = Net(packed, forward, buffer=False)
    del net.own
    net.own = nn.Parameter(packed, requires_grad=False)
    assert count(net) == 7 * 784


@pytest.mark.parametrize(
    ("low", "high", "bytes_"),
    [(0, 255, 1), (-128, 127, 1), (-1, 128, 2), (0, 256, 2), (0, 2**32 - 1, 4), (0, 2**32, 8)],
)
def test_integers_count_as_many_numbers_as_their_values_need(
    low: int, high: int, bytes_: int
) -> None:
    assert count_stored(torch.tensor([low, 0, high])) == 3 * bytes_
    assert count_stored(torch.empty(3, dtype=torch.int64, device="meta")) == 24
    assert count_stored(torch.tensor([0.5, 2**40])) == 2


@functools.lru_cache
def make_grid(size: int) -> torch.Tensor:
    line = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"))


class Cached(nn.Module):
    """Keeps what it computes in its first run, and may write into it afterwards."""

    def __init__(
        self, make: Callable[[], torch.Tensor], *, write: bool = False, by_array: bool = False
    ) -> None:
        super().__init__()
        self.by_array = by_array
        self.conv = nn.Conv2d(3, 10, 3)
        self.make, self.write = make, write
        self.kept: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is None:
            self.kept = self.make()
            self.array = self.kept.numpy()
        elif self.write:
            array = self.array if self.by_array else self.kept.numpy()
            array[:] = 0.5
        x = torch.cat([x, self.kept.expand(len(x), -1, -1, -1)], 1)
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_grid(28).clone(),
        lambda: make_grid(28),
        lambda: torch.triu(torch.ones(28, 28)).repeat(2, 1, 1) * float(2),
        lambda: (
            torch._prims.iota(
                28, start=0, step=1, dtype=torch.int64, device="cpu", requires_grad=False
            )
            .view(28, 1)
            .expand(2, 28, 28)
        ),
    ],
)
def test_a_constant_that_a_net_makes_once_and_keeps_is_no_weight(
    make: Callable[[], torch.Tensor],
) -> None:
    make_grid.cache_clear()
    net = Cached(make)
    assert count(net) == 0
    assert count(net) == 0  # as after its training


def test_a_constant_that_is_written_to_after_it_was_made_counts() -> None:
    for by_array in (True, False):
        net = Cached(lambda: torch.zeros(2, 28, 28), write=True, by_array=by_array)
        assert count(net) == 1568
    assert count(Cached(lambda: torch.randn(2, 28, 28))) == 1568


def test_a_constant_that_is_written_to_between_two_analyses_counts() -> None:
    net = Cached(lambda: torch.zeros(2, 28, 28))
    assert count(net) == 0
    net.array[0, 0, 0] = 1
    assert count(net) == 1568


def test_a_stored_tensor_that_is_kept_counts() -> None:
    stored = random(2, 28, 28)
    assert count(Cached(lambda: stored * 2)) == 1568


class Sampled(nn.Module):
    """Draws its weights from a distribution with a mean and a deviation for each, as Bayesian nets."""

    def __init__(self, draw: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(10, 784))
        self.rho = nn.Parameter(torch.zeros(10, 784))
        self.draw = draw

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = self.draw(self.mean)
        return F.linear(x.flatten(1), self.mean + F.softplus(self.rho) * noise)


def draw_after_a_seed(like: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn_like(like)


@pytest.mark.parametrize(
    ("draw", "hidden"),
    [
        (torch.randn_like, 0),
        (lambda like: torch.distributions.Normal(like, 1.0).rsample(), 0),
        (lambda like: torch.empty(10, 784).normal_(), 0),
        (draw_after_a_seed, 7840),
        (lambda like: torch.randn(10, 784, generator=torch.Generator().manual_seed(3)), 7840),
    ],
)
def test_noise_on_parameters_counts_if_it_is_the_same_in_each_run(
    draw: Callable[[torch.Tensor], torch.Tensor], hidden: int
) -> None:
    assert count(Sampled(draw)) == hidden


def test_a_layer_that_forward_creates_is_named() -> None:
    net = Net(random(1), lambda net, x: nn.Linear(784, 10)(x) + net.dense(x))
    (found,) = trace(net).hidden
    assert found.numbers >= 7840
    assert "random numbers made in forward" in found.name


def look_at_each(net: Any, x: torch.Tensor) -> torch.Tensor:
    kept = [image * 2 if image.mean() > 0.1 else image for image in x]
    return net.dense(torch.stack(kept) - net.own)


def scale_each(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.dense(torch.stack([image / (1 + float(image.max())) for image in x]))


@pytest.mark.parametrize(
    ("own", "forward"),
    [
        (random(784), look_at_each),
        (random(784), scale_each),
        (
            random(784),
            lambda net, x: torch.cat([net.dense(part - net.own) for part in x.split(32)]),
        ),
        (random(1, 784), lambda net, x: torch.cat([net.dense(one[None] - net.own) for one in x])),
        (
            torch.zeros(512, 784),
            lambda net, x: net.dense(
                x + net.dense.weight[0] @ net.own[: len(x)].T @ net.own[: len(x)]
            ),
        ),
    ],
    ids=["a choice for each", "a number of each", "parts", "one by one", "first states"],
)
def test_a_batch_that_is_run_in_parts_hides_nothing(own: torch.Tensor, forward: Forward) -> None:
    assert not trace(Net(own, forward)).hidden


def test_a_fixed_grid_is_followed_once_for_all_images() -> None:
    """For each image of a large batch, it took gigabytes."""
    images, grid = torch.zeros(500, 1, 6, 6), random(1, 6, 6, 2).expand(500, -1, -1, -1)
    maps = []

    def sample(image: torch.Tensor, *more: Any) -> torch.Tensor:
        maps.append(len(image))
        return torch.ops.aten.grid_sampler_2d.default(image, *more)

    words = {"interpolation_mode": 0, "padding_mode": 0, "align_corners": False}
    arguments = {"input": images, "grid": grid, **words}
    weight = cast(Any, None)
    _grid_sample(
        Call("grid_sampler_2d", arguments, images, lambda one: one is images, weight, sample)
    )
    assert maps == [1]
