"""Nets whose convolutions are trained as several layers, and folded into the net's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

import netlet as package
from netlet.data import Dataset
from netlet.errors import DamagedRecordError, TrainingError
from netlet.evaluation import evaluate
from netlet.nets import find_net
from netlet.nets.weights import weights_digest
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training import fit, run_range_test
from netlet.training.folded_layers import ConvBranches, ExpandedConv
from netlet.training.training_form import TrainingForm, make_training_form

FAST = Recipe(
    epochs=2,
    batch_size=100,
    peak_lr=0.01,
    averaging="ema",
    ema_decay=0.5,
    precision="float32",
    backend="eager",
)
FORMS = ("branches", "expanded")


class Shared(nn.Module):
    """Runs one convolution three times, with a norm each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 5, stride=3)
        self.block = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm in self.norms:
            x = x + F.relu(norm(self.block(x)))
        y: torch.Tensor = self.head(x.mean((2, 3)))
        return y


def without_scale(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    norm.register_parameter("weight", None)
    return norm


def odd() -> nn.Module:
    """Return a net of unusual convolutions and norms: even kernels, groups, biases, no scale."""
    return nn.Sequential(
        nn.Conv2d(1, 4, (2, 5), stride=(2, 3), padding=(2, 1)),
        nn.BatchNorm2d(4, affine=False),
        nn.ReLU(),
        nn.Conv2d(4, 4, 4, padding="same", groups=2),
        nn.BatchNorm2d(4, eps=0.01, momentum=0.3),
        nn.Conv2d(4, 6, 3, dilation=2, padding=1, groups=2, bias=False),
        nn.LeakyReLU(),
        nn.Conv2d(6, 6, 1),
        without_scale(nn.BatchNorm2d(6)),
        nn.Flatten(),
        nn.LazyLinear(10),
    )


def one_line(notation: str) -> Callable[[], nn.Module]:
    return find_net(notation).builder


NETS: dict[str, Callable[[], nn.Module]] = {
    "notation": one_line("4 4 P d6p m6 x6p"),
    "odd": odd,
    "shared": Shared,
    "options": one_line("6b d6pb*2 P c6 6b"),
}


PAIRS = [
    ("notation", "branches"),
    ("odd", "expanded"),
    ("odd", "branches"),
    ("notation", "expanded"),
    ("options", "branches"),
    ("options", "expanded"),
    ("shared", "branches"),
    ("shared", "expanded"),
]


def build(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = NETS[name]()
    net(torch.zeros(2, 1, 28, 28))
    return net


def make_form(net: nn.Module, train_as: str, factor: int = 2) -> TrainingForm:
    recipe = Recipe(train_as=train_as, expand_factor=factor)  # type: ignore[arg-type]
    return make_training_form(net, (1, 28, 28), recipe, torch.Generator().manual_seed(0))


def scramble(net: nn.Module) -> None:
    """Give a net any weights and statistics."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor.copy_(drawn + 0.5 if name.endswith("_var") else drawn - 0.5)


# --- folding


@pytest.mark.parametrize(("name", "train_as"), few_fast(PAIRS, 4))
def test_any_weights_fold_exactly(name: str, train_as: str) -> None:
    net = build(name)
    form = make_form(net, train_as, 3)
    scramble(form.trained.double())
    net.double()
    images = torch.randn(5, 1, 28, 28, dtype=torch.float64)
    wanted = form.trained.eval()(images)
    assert form.fold(form.trained) is net
    found = net.eval()(images)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    assert wanted.std() > 1e-3  # the logits say something


@pytest.mark.parametrize(("name", "train_as"), few_fast(PAIRS, 2))
def test_training_begins_with_what_the_net_computes(name: str, train_as: str) -> None:
    net = build(name)
    scramble(net)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    form = make_form(net, train_as)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    images = torch.randn(4, 1, 28, 28)
    for mode in (True, False):
        twins = [module.train(mode)(images) for module in (net, form.trained)]
        torch.testing.assert_close(*twins, rtol=1e-3, atol=1e-4)
    again, other = make_form(net, train_as), make_form(build(name), train_as)
    states = [one.trained.state_dict() for one in (form, again, other)]
    assert states[0].keys() == states[1].keys() == states[2].keys()


def test_the_branches_are_those_that_the_shapes_allow() -> None:
    form = make_form(build("notation"), "branches")
    found = {
        path: tuple(
            part
            for part in ("norm", "point", "point_norm", "identity_norm")
            if getattr(layer, part) is not None
        )
        for path, layer in form.trained.named_modules()
        if isinstance(layer, ConvBranches)
    }
    assert found == {
        "1_4.0": ("norm", "point", "point_norm"),  # 1 to 4 channels
        "2_4.0": ("norm", "point", "point_norm", "identity_norm"),
        "4_d6p.0": ("point",),  # no norm follows the depthwise convolution
        "5_m6.0": ("norm", "point", "point_norm", "identity_norm"),
        "5_m6.3": ("norm", "identity_norm"),  # 1x1
        "6_x6p.0": ("norm", "identity_norm"),
    }
    # A 1x1 convolution of 4 to 6 channels has no other branch, and the head has no norm.
    assert isinstance(form.trained.get_submodule("4_d6p.1"), nn.Conv2d)
    extra = form.extra_parameters - sum(p.numel() for p in form.net.parameters())
    points = 4 + 16 + 4 + 6
    norms = 2 * (4 + 4 + 4 + 6 + 6 + 6 + 6)
    assert extra == points + norms


def test_an_expanded_convolution_has_so_many_times_the_channels() -> None:
    form = make_form(build("notation"), "expanded", 3)
    layer = form.trained.get_submodule("2_4.0")
    assert isinstance(layer, ExpandedConv)
    assert layer.middle is not None
    shapes = [tuple(one.weight.shape) for one in (layer.first, layer.middle, layer.last)]
    assert shapes == [(12, 4, 1, 1), (12, 12, 3, 3), (4, 12, 1, 1)]
    pair = form.trained.get_submodule("4_d6p.1")  # 1x1, 4 to 6 channels
    assert isinstance(pair, ExpandedConv)
    assert pair.middle is None
    assert (pair.first.weight.shape, pair.last.weight.shape) == ((18, 4, 1, 1), (6, 18, 1, 1))
    assert isinstance(form.trained.get_submodule("4_d6p.0"), nn.Conv2d)  # depthwise
    # Every channel within takes part from the first step.
    form.trained.train()(torch.randn(8, 1, 28, 28)).square().sum().backward()
    for one in (layer.first, layer.middle, layer.last):
        assert one.weight.grad is not None
        assert (one.weight.grad.abs().flatten(1).amax(1) > 0).all()


# --- training


def train(data: Dataset, recipe: Recipe, name: str = "notation", **more: Any) -> Run:
    return fit(build(name), data, recipe, **more)


@pytest.mark.parametrize(("name", "train_as"), few_fast(PAIRS, 1))
def test_the_folded_net_is_scored_and_recorded(
    blob_data: Dataset, name: str, train_as: str
) -> None:
    net = build(name)
    recipe = FAST.replace(train_as=train_as, norm_statistics="plain")
    run = fit(net, blob_data, recipe)
    own = sum(p.numel() for p in net.parameters())
    assert run.cost["parameters"] == own
    assert run.cost["training_parameters"] == make_form(net, train_as).extra_parameters > own
    assert run.weights_digest == weights_digest(net)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert run.last_epoch.score == evaluate(net, blob_data.held_out, recipe, 10).score
    assert run.train_score == evaluate(net, blob_data.train, recipe, 10).score
    assert {type(module) for module in net.modules()} == {type(m) for m in build(name).modules()}
    assert Run.from_json(run.to_json()) == run
    assert run.weights_digest != train(blob_data, FAST, name).weights_digest
    record = json.loads(run.to_json())  # which must have the parameters of the form
    del record["cost"]["training_parameters"]
    with pytest.raises(DamagedRecordError, match=r"training_parameters and recipe\.train_as do"):
        Run.from_json(json.dumps(record))


def test_a_fold_that_differs_is_not_recorded(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = ExpandedConv.fold
    monkeypatch.setattr(
        ExpandedConv, "fold", lambda layer: fold(layer)._replace(weight=1.1 * fold(layer).weight)
    )
    with pytest.raises(TrainingError, match=r"folded from train_as=expanded differs from what was"):
        train(blob_data, FAST.replace(train_as="expanded", epochs=1), "shared")


@pytest.mark.slow
@pytest.mark.parametrize("averaging", ["none", "ema", "tail"])
@pytest.mark.parametrize("train_as", FORMS)
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "soap"])
def test_other_forms_train_compiled(
    blob_data: Dataset, averaging: str, train_as: str, optimizer: str
) -> None:
    recipe = FAST.replace(
        backend="compiled", averaging=averaging, train_as=train_as, optimizer=optimizer, epochs=4
    )
    run = train(blob_data, recipe)
    assert run.backend == "compiled"
    assert run.epochs[-1].train_loss < run.epochs[0].train_loss


@pytest.mark.slow
@pytest.mark.parametrize("train_as", FORMS)
def test_a_range_test_trains_the_form(blob_data: Dataset, train_as: str) -> None:
    recipe = FAST.replace(batch_size=25)
    net = build("shared")
    before = weights_digest(net)
    plain, other = (
        run_range_test(net, blob_data, one) for one in (recipe, recipe.replace(train_as=train_as))
    )
    assert weights_digest(net) == before
    assert other.losses[0] == pytest.approx(plain.losses[0], rel=1e-3)
    assert other.losses != plain.losses


# --- what cannot be trained so


class UsesWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 5, 5), nn.Linear(2, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.conv(x).mean((2, 3)) * self.conv.weight.sum())
        return y


class CallsAnAlias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 5, 5), nn.Linear(2, 10)
        self.alias = [self.conv]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.alias[0](x).mean((2, 3)))
        return y


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 1, 5, 5), nn.Conv2d(1, 1, 5, 5)
        self.two.weight, self.head = self.one.weight, nn.Linear(1, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head((self.one(x) + self.two(x)).mean((2, 3)))
        return y


def with_first(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))


def frozen() -> nn.Module:
    net = with_first(nn.Conv2d(1, 2, 5))
    net[0].requires_grad_(False)  # type: ignore[index]
    return net


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (
        lambda: with_first(nn.ConvTranspose2d(1, 2, 3)),
        r"0 \(ConvTranspose2d\), which is not a Conv2d",
    ),
    (
        lambda: with_first(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")),
        "which pads with padding_mode='circular'",
    ),
    (frozen, r"for 0 \(Conv2d\), which has frozen weights"),
    (Tied, r"for one \(Conv2d\), which shares its weights with another layer"),
    (
        lambda: with_first(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3))),
        "computes more than a convolution with its own weights",
    ),
    (UsesWeights, "whose forward uses a layer in another way than calling it"),
    (CallsAnAlias, r"in another way than calling it \(conv does not run\)"),
    (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        "changes nothing in Sequential: it has no convolution",
    ),
]


@pytest.mark.parametrize(("builder", "message"), REFUSED)
@pytest.mark.parametrize("train_as", FORMS)
def test_what_cannot_be_trained_so_is_named(
    builder: Callable[[], nn.Module], message: str, train_as: str
) -> None:
    net = builder()
    net(torch.zeros(2, 1, 28, 28))
    with pytest.raises(TrainingError, match=message) as caught:
        make_form(net, train_as)
    assert str(caught.value).startswith(f"train_as={train_as} ")
    assert str(caught.value).endswith("; use train_as=net")
    assert "\n" not in str(caught.value)


def test_nothing_is_trained_if_a_form_is_refused(blob_data: Dataset) -> None:
    net = frozen()
    net(torch.zeros(2, 1, 28, 28))
    before = weights_digest(net)
    with pytest.raises(TrainingError, match="which has frozen weights; use train_as=net"):
        fit(net, blob_data, FAST.replace(train_as="branches"))
    assert weights_digest(net) == before


def test_the_plan_names_the_form(blob_data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    from netlet.cli.training_progress import TrainingProgress

    recipe = FAST.replace(train_as="expanded", epochs=1)
    run = train(blob_data, recipe, "shared", callbacks=[TrainingProgress()])
    text = f"trained as expanded with {run.cost['training_parameters']:,} parameters"
    assert text in capsys.readouterr().err


# --- nets that average over shifts of the image

SHIFTED = "4b d6b P d7b W S"


@pytest.mark.parametrize("averaging", ["none", "tail"])
def test_strided_training_is_that_of_the_net_without_shifts(
    blob_data: Dataset, averaging: str
) -> None:
    recipe = FAST.replace(averaging=averaging, epochs=2)
    alone, averaged = (package.build(find_net(line).builder, 3) for line in (SHIFTED[:-2], SHIFTED))
    fit(alone, blob_data, recipe, seed=3)
    run = fit(averaged, blob_data, recipe.replace(train_as="strided"), seed=3)
    assert averaged.state_dict().keys() == alone.state_dict().keys()
    for mine, other in zip(
        averaged.state_dict().values(), alone.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, other)
    # What is scored is the mean over the shifts.
    assert run.last_epoch.score == evaluate(averaged, blob_data.held_out, recipe, 10).score
    losses = [evaluate(one, blob_data.held_out, recipe, 10).loss for one in (averaged, alone)]
    assert losses[0] != losses[1]
    assert run.cost["training_parameters"] == run.cost["parameters"]
    assert Run.from_json(run.to_json()) == run


def test_only_nets_with_shifts_are_trained_strided() -> None:
    with pytest.raises(TrainingError, match=r"^train_as=strided is only for .*; use train_as=net$"):
        make_form(package.build(find_net(SHIFTED[:-2]).builder, 0), "strided")
