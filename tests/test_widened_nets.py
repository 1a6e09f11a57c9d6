"""Nets that are trained within wider ones, which have their weights and more."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

from netlet.data import Dataset
from netlet.errors import DamagedRecordError, TrainingError
from netlet.evaluation import evaluate
from netlet.nets import find_net
from netlet.nets.weights import weights_digest
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training import fit, run_range_test
from netlet.training.rng import RandomStreams
from netlet.training.state import start_training
from netlet.training.step_backend import select_step_backend
from netlet.training.training_form import make_training_form
from netlet.training.widened_net import WidenedNet
from netlet.training.widening import WidenedCopy

FAST = Recipe(
    epochs=2,
    batch_size=100,
    peak_lr=0.01,
    averaging="ema",
    ema_decay=0.5,
    precision="float32",
    backend="eager",
    train_as="widened",
    widen_factor=3,
)
SHAPE = (1, 28, 28)


def with_linear() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 12),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(12, 10),
    )


def multiplied() -> nn.Module:
    """Return a net whose depthwise convolution makes three channels of each."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 5, stride=3, bias=False),
        nn.Conv2d(2, 6, 3, groups=2),
        nn.BatchNorm2d(6, affine=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(6, 10, 1),
        nn.Flatten(),
        nn.LogSoftmax(1),
    )


def one_line(notation: str) -> Callable[[], nn.Module]:
    return find_net(notation).builder


NETS: dict[str, Callable[[], nn.Module]] = {
    "options": one_line("c3 6b+ d12pb*2 P m6+ 4 x4*2 4 W"),
    "plain": one_line("4 4 P d6p m6 x6p"),
    "linear": with_linear,
    "multiplied": multiplied,
    "catalog": find_net("mnistnet_3").builder,
}


def build(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return NETS[name]()


def widen(net: nn.Module, factor: int = 3) -> WidenedNet:
    recipe = Recipe(train_as="widened", widen_factor=factor)
    form = make_training_form(net, SHAPE, recipe, torch.Generator().manual_seed(0))
    assert isinstance(form.trained, WidenedNet)
    return form.trained


def scramble(net: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)


# --- the wider nets


@pytest.mark.parametrize("name", few_fast(NETS, 1))
def test_every_width_contains_all_narrower_ones(name: str) -> None:
    """A wider net computes what a narrower one does if the weights that it adds are 0."""
    net = build(name)
    before = weights_digest(net)
    trained = widen(net, 4)
    assert weights_digest(net) == before == weights_digest(trained.net)
    scramble(trained)
    images = torch.randn(6, *SHAPE)
    places = list_places(trained)
    for factor in (1, 2, 3):
        narrow, wide = trained.copy_wide(factor), trained.copy_wide(factor + 1)
        used = torch.zeros(sum(p.numel() for p in trained.parameters()), dtype=torch.bool)
        for numbers in trained.iterate_weights(narrow, lambda p: places[p]):
            assert not used[numbers].any()  # no weight is in two places
            used[numbers] = True
        set_weights(trained, narrow, lambda p: p)
        set_weights(trained, wide, lambda p, used=used: p * used[places[p]])
        logits = [run(one.net, images) for one in (narrow, wide)]
        torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-4)
        assert logits[0].std() > 1e-3  # the logits say something


def list_places(trained: WidenedNet) -> dict[nn.Parameter, torch.Tensor]:
    """Return a number for each weight."""
    places, count = {}, 0
    for parameter in trained.parameters():
        numbers = torch.arange(count, count + parameter.numel())
        places[parameter] = numbers.view(parameter.shape)
        count += parameter.numel()
    return places


@torch.no_grad()
def set_weights(
    trained: WidenedNet, wide: WidenedCopy, read: Callable[[nn.Parameter], torch.Tensor]
) -> None:
    for parameter, values in zip(
        wide.net.parameters(), trained.iterate_weights(wide, read), strict=True
    ):
        parameter.copy_(values)


@torch.no_grad()
def run(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return logits with the statistics of the batch and without dropout."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    logits: torch.Tensor = net(images)
    return logits


def test_layers_have_so_many_times_the_channels() -> None:
    trained = widen(build("options"))
    for factor in (1, 2, 3):
        wide = trained.copy_wide(factor).net
        shapes = [list(p.shape[:2]) for p in wide.parameters() if p.ndim == 4]
        stem, joined, head = shapes[0], shapes[1], shapes[-1]
        assert stem == [3 * factor, 1]
        assert joined == [6 * factor, 6 * factor]  # reads both halves of CReLU
        assert head == [10, 4 * factor]
        assert [1, 1] in shapes  # the weights of places, which all channels share
    widest = sum(p.numel() for p in trained.copy_wide(3).net.parameters())
    assert sum(p.numel() for p in trained.parameters()) == widest


# --- gradients


def compute_by_hand(trained: WidenedNet, factor: int, x: torch.Tensor, y: torch.Tensor) -> Any:
    """Return the gradients of both losses for a net without branches: channels are in order."""
    wide = trained.copy_wide(factor).net.train()
    values = {}
    for name, own in trained.net.named_parameters():
        key, size = name.replace(".", "/"), dict(wide.named_parameters())[name].shape
        rows = torch.cat([own, trained.right[key]], 1) if key in trained.right else own
        whole = torch.cat([rows, trained.below[key]]) if key in trained.below else rows
        values[name] = whole[: size[0], : size[1]] if whole.ndim > 1 else whole[: size[0]]
    logits = torch.func.functional_call(wide, values, x)
    loss = F.cross_entropy(trained(x), y, label_smoothing=0.1)
    loss = loss + 0.7 * F.cross_entropy(logits, y, label_smoothing=0.1)
    return torch.autograd.grad(loss, list(trained.parameters()), materialize_grads=True)


@pytest.mark.parametrize("backend", few_fast(["eager", "compiled"], 1))
def test_gradients_are_those_of_both_losses(blob_data: Dataset, backend: str) -> None:
    recipe = FAST.replace(backend=backend, widened_weight=0.7, label_smoothing=0.1)
    trained = widen(build("plain")).train()
    generator = torch.Generator().manual_seed(4)
    x, y = torch.randn(40, *SHAPE, generator=generator), torch.arange(40) % 10
    wanted = {factor: compute_by_hand(trained, factor, x, y) for factor in (2, 3)}
    random, drawn = RandomStreams(0), []
    random.start_epoch(1)
    with (
        start_training(trained, recipe, 10) as state,
        select_step_backend(state, blob_data, recipe, "float32", random) as step,
    ):
        assert step.name == backend
        for _ in range(5):
            step.compute_gradients(x, y)
            found = [parameter.grad for parameter in trained.parameters()]
            drawn += [f for f in wanted if all(map(nearly_equal, found, wanted[f]))]
        losses, _ = step.read_losses()
    assert len(drawn) == 5
    assert set(drawn) == {2, 3}
    assert losses == pytest.approx([losses[0]] * 5)


def nearly_equal(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6)


# --- training


@pytest.fixture
def few(blob_data: Dataset) -> Dataset:
    """Return a data set of a few images."""
    train = blob_data.train.take(torch.arange(200))
    held_out = blob_data.held_out.take(torch.arange(100))
    return dataclasses.replace(blob_data, train=train, held_out=held_out)


def train(data: Dataset, recipe: Recipe, name: str = "plain", **more: Any) -> Run:
    return fit(build(name), data, recipe, **more)


@pytest.mark.parametrize("name", few_fast(sorted(NETS, reverse=True), 1))
def test_the_net_within_is_scored_and_recorded(few: Dataset, name: str) -> None:
    net = build(name)
    recipe = FAST.replace(norm_statistics="plain")
    run = fit(net, few, recipe)
    own = sum(p.numel() for p in net.parameters())
    assert run.cost["parameters"] == own
    assert run.cost["training_parameters"] == sum(p.numel() for p in widen(net).parameters()) > own
    assert run.weights_digest == weights_digest(net)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert run.last_epoch.score == evaluate(net, few.held_out, recipe, 10).score
    assert run.train_score == evaluate(net, few.train, recipe, 10).score
    assert Run.from_json(run.to_json()) == run
    record = json.loads(run.to_json())
    del record["cost"]["training_parameters"]
    with pytest.raises(DamagedRecordError, match=r"training_parameters and recipe\.train_as do"):
        Run.from_json(json.dumps(record))


@pytest.mark.parametrize("optimizer", few_fast(["adamw", "sgd", "muon"], 1))
def test_a_wider_net_without_weight_changes_nothing(few: Dataset, optimizer: str) -> None:
    recipe = FAST.replace(optimizer=optimizer, averaging="none", epochs=1, peak_lr=0.002)
    nets = [build("linear"), build("linear"), build("linear")]
    for net, changes in zip(
        nets, ({"train_as": "net"}, {"widened_weight": 1e-20}, {"widened_weight": 3}), strict=True
    ):
        fit(net, few, recipe.replace(**changes))
    alone, without, within = (torch.cat([p.flatten() for p in n.parameters()]) for n in nets)
    near, far = ((one - alone).norm().item() for one in (without, within))
    assert near < 1e-3 * far
    assert far > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("averaging", ["none", "ema", "tail"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "soap"])
def test_wider_nets_train_compiled(blob_data: Dataset, averaging: str, optimizer: str) -> None:
    recipe = FAST.replace(backend="compiled", averaging=averaging, optimizer=optimizer, epochs=4)
    run = train(blob_data, recipe)
    assert run.backend == "compiled"
    assert "compiler" in run.environment
    assert run.epochs[-1].train_loss < run.epochs[0].train_loss


@pytest.mark.slow
def test_a_range_test_trains_wider_nets(blob_data: Dataset) -> None:
    recipe = FAST.replace(batch_size=25)
    net = build("plain")
    before = weights_digest(net)
    plain, other = (
        run_range_test(net, blob_data, one) for one in (recipe.replace(train_as="net"), recipe)
    )
    assert weights_digest(net) == before
    assert other.losses[0] == pytest.approx(plain.losses[0], rel=1e-3)
    assert other.losses != plain.losses


# --- what cannot be trained so


def with_first(*layers: nn.Module) -> nn.Module:
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))
    net(torch.zeros(2, *SHAPE))
    return net


def frozen() -> nn.Module:
    net = with_first(nn.Conv2d(1, 2, 5))
    net[0].requires_grad_(False)  # type: ignore[index]
    return net


def tied() -> nn.Module:
    conv = nn.Conv2d(1, 1, 5)
    return with_first(conv, conv)


class OwnForward(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return y * 2


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (
        lambda: with_first(nn.Conv2d(1, 2, 3), nn.PReLU()),
        r"for 1 \(PReLU\), which is none of the layers that can be widened",
    ),
    (
        lambda: OwnForward(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1352, 10)),
        r"for the net \(OwnForward\), which is none of the layers",
    ),
    (frozen, r"for 0 \(Conv2d\), which has frozen weights"),
    (tied, r"for 1 \(Conv2d\), which shares its weights with another layer"),
    (
        lambda: with_first(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2)),
        r"for 1 \(Conv2d\), which has 2 groups, not 1 or one for each channel",
    ),
    (
        lambda: with_first(nn.Conv2d(1, 4, 3), nn.Softmax(1)),
        "whose layers mix channels in another way than by their weights",
    ),
    (
        lambda: nn.Sequential(nn.Conv2d(1, 10, 28), nn.Flatten()),
        "changes nothing in Sequential: it has no convolution before its last layer",
    ),
    (
        lambda: nn.Sequential(nn.Conv2d(1, 10, 3), nn.Conv2d(10, 10, 26, groups=10), nn.Flatten()),
        "whose logits are not those of a linear layer",
    ),
]


@pytest.mark.parametrize(("builder", "message"), few_fast(REFUSED, 4))
def test_what_cannot_be_widened_is_named(
    blob_data: Dataset, builder: Callable[[], nn.Module], message: str
) -> None:
    net = builder()
    before = weights_digest(net)
    with pytest.raises(TrainingError, match=message) as caught:
        fit(net, blob_data, FAST)
    assert str(caught.value).startswith("train_as=widened ")
    assert str(caught.value).endswith("; use train_as=net")
    assert "\n" not in str(caught.value)
    assert weights_digest(net) == before
