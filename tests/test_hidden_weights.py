"""Weights cannot hide: what a net reads is counted or makes its verdict UNKNOWN, never PASS."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from fixtures import hiding_nets, honest_nets, sampling_nets
from helpers import FIXTURES, Netlet, few_fast
from torch import nn
from torch.nn import functional as F

import netlet
from netlet.analysis import trace
from netlet.budgets import Budget, budget_from_json
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.nets.eval_mode import EVALUATION_BATCH
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training import fit

LIMIT = Budget(params_below=80)


def nets_in(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, nn.Module)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def judge(net: nn.Module) -> str:
    try:
        return netlet.check(net, LIMIT).state
    except NetError:
        return "refused"


@pytest.mark.parametrize("name", few_fast(["scripted", *nets_in(hiding_nets)], 22))
def test_a_net_with_hidden_weights_never_passes(name: str) -> None:
    assert judge(getattr(hiding_nets, name)()) in ("FAIL", "UNKNOWN", "refused")


@pytest.mark.parametrize("name", few_fast(nets_in(honest_nets), 10))
def test_positions_masks_noise_and_statistics_are_no_weights(name: str) -> None:
    net = getattr(honest_nets, name)()
    traced = trace(net, (3, 28, 28) if name == "NormalizedByBuffers" else (1, 28, 28))
    assert traced.hidden == ()
    assert traced.parameters == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    "name",
    [
        "FoldsItsNormInTrain",
        "FoldsItsNormInEval",
        "FoldsItsNormIntoBuffers",
        "KeepsAKernelOfParameters",
        "MergesIntoItsWeights",
    ],
)
def test_weights_that_a_net_computes_on_entering_evaluation_are_its_parameters(name: str) -> None:
    net = getattr(honest_nets, name)().train()
    with torch.no_grad():
        scores = net(torch.ones(2, 1, 28, 28))
    traced = trace(net)
    assert traced.hidden == ()
    assert traced.parameters == sum(p.numel() for p in net.parameters())
    assert traced.idle == ()
    with torch.no_grad():  # it is in training mode as before, without what it keeps
        torch.testing.assert_close(net(torch.ones(2, 1, 28, 28)), scores)


def test_a_kernel_of_other_numbers_that_a_net_keeps_in_evaluation_is_found() -> None:
    (found,) = trace(hiding_nets.KernelKeptInEvaluation()).hidden
    assert found.numbers == 90


def test_weights_that_only_a_batch_of_evaluation_uses_are_found() -> None:
    (found,) = trace(hiding_nets.OnlyUsualBatches()).hidden
    assert found.numbers == 90


class _Sees(honest_nets._Head):
    """Notes how many images it gets, and takes no more than its limit."""

    def __init__(self, limit: int = 10_000) -> None:
        super().__init__()
        self.limit, self.batches = limit, list[int]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        if len(x) > self.limit:
            raise ValueError(len(x))
        return super().forward(x)


class _SeesOneByOne(_Sees):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        return torch.cat([honest_nets._Head.forward(self, image[None]) for image in x])


def test_a_net_is_seen_in_the_batch_of_evaluation_where_that_is_cheap() -> None:
    cheap, one_by_one, large = _Sees(), _SeesOneByOne(), _Sees()
    trace(cheap)
    trace(one_by_one)
    trace(large, (1, 1000, 1000))
    assert max(cheap.batches) == EVALUATION_BATCH
    assert 10 < max(one_by_one.batches) < EVALUATION_BATCH
    assert max(large.batches) < 10


@pytest.mark.parametrize("limit", [2, 3])
def test_a_net_that_runs_on_few_images_only_is_accepted(limit: int) -> None:
    assert trace(_Sees(limit)).hidden == ()


def test_layers_in_a_list_are_counted_and_the_remedy_is_named() -> None:
    verdict = netlet.check(hiding_nets.ListOfLayers(), LIMIT)
    text = str(verdict)
    assert verdict.state == "FAIL"
    assert "layers[0].weight (use nn.ModuleList) 90" in text
    assert "121" in text  # one registered parameter
    assert netlet.check(hiding_nets.ListOfLayers(), Budget(params_below=1_000)).state == "UNKNOWN"
    assert netlet.check(hiding_nets.ListOfLayers(), Budget(macs_below=10**9)).state == "UNKNOWN"


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32])
def test_integers_are_told_to_be_a_buffer(dtype: torch.dtype) -> None:
    class Net(nn.Module):
        def __init__(self, *, listed: bool) -> None:
            super().__init__()
            table = (torch.arange(7840).view(784, 10) % 2).to(dtype)
            self.kept = [table] if listed else table

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            table = self.kept[0] if isinstance(self.kept, list) else self.kept
            return x.flatten(1) @ table.float()

    trained = dtype.is_floating_point
    for listed, parameter in ((False, "use nn.Parameter"), (True, "use nn.ParameterList")):
        (found,) = trace(Net(listed=listed), (1, 28, 28)).hidden
        fixed = f"{parameter}, or register_buffer if fixed"
        assert found.remedy == (fixed if trained else "use register_buffer")
        assert found.numbers == 7840


def test_the_layer_table_adds_up_to_the_parameters_and_says_where_they_are() -> None:
    summary = netlet.summary(hiding_nets.ListOfLayers())
    assert sum(row.parameters for row in summary.rows) == summary.parameters == 121
    assert summary.trainable == 1
    assert "neither trained nor saved; use nn.ModuleList" in str(summary)


def test_a_weight_in_a_buffer_is_counted_by_name_and_may_pass() -> None:
    verdict = netlet.check(hiding_nets.Buffer(), Budget(params_below=92))
    assert verdict.passed
    row = next(row for row in netlet.summary(hiding_nets.Buffer()).rows if row.name == "kernel")
    assert (row.parameters, row.kind) == (90, "fixed weights in a buffer")


def test_a_record_of_a_net_with_hidden_weights_does_not_pass(blob_data: Dataset) -> None:
    torch.manual_seed(0)
    recipe = Recipe(epochs=1, batch_size=60, peak_lr=0.01)
    run = fit(hiding_nets.ListOfLayers(), blob_data, recipe, budget=Budget(params_below=1_000))
    assert run.verdict is not None
    assert run.verdict.state == "UNKNOWN"
    assert run.cost["parameters"] == 121
    assert budget_from_json(run.to_dict()["budget"]) == Budget(params_below=1_000)
    assert Run.from_json(run.to_json(), "run.json").cost == run.to_dict()["cost"]


def test_the_command_says_unknown_in_text_and_json(netlet: Netlet) -> None:
    address = f"{FIXTURES}/hiding_nets.py:Thread"
    code, out, _ = netlet("check", address, "--params-below", "1000")
    assert code == 1
    assert "UNKNOWN" in out
    code, out, _ = netlet("check", address, "--params-below", "1000", "--json")
    assert (code, json.loads(out)["state"]) == (1, "UNKNOWN")


def test_what_belongs_to_each_image_is_counted_for_one() -> None:
    class Net(honest_nets._Head):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = torch.randn(1, len(x), 4)
            return super().forward(x) + F.pad(state @ torch.eye(4), (0, 6))[0]

    assert trace(Net()).hidden == ()
    assert [w.numbers for w in trace(hiding_nets.Thread()).hidden] == [10]


class _ReadsAtRandom(honest_nets._Head):
    """Reads a map at places that it draws."""

    def __init__(self, read: Callable[[torch.Tensor], torch.Tensor], seed: int | None) -> None:
        super().__init__()
        self.read, self.seed = read, seed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.seed is not None:
            torch.manual_seed(self.seed)
        return self.head(self.read(F.relu(self.conv(x))).mean((2, 3)))


def _attend_to_some(x: torch.Tensor) -> torch.Tensor:
    tokens = x[:, :, ::4, ::4].flatten(2).transpose(1, 2)
    keys = tokens[:, torch.randint(0, tokens.shape[1], (20,))]
    return ((tokens @ keys.mT).softmax(-1) @ keys).mT[..., None]


def _displace(x: torch.Tensor) -> torch.Tensor:
    grid = 2 * torch.rand(len(x), 7, 7, 2) - 1
    return F.grid_sample(x, grid, align_corners=False)


@pytest.mark.parametrize(
    "read",
    [
        nn.FractionalMaxPool2d(2, output_ratio=0.7),
        lambda x: nn.FractionalMaxPool3d(2, output_ratio=0.7)(x.repeat(1, 2, 1, 1))[:, :8],
        lambda x: F.pad(x, (1, 1))[..., torch.randperm(30)[:28]],
        _attend_to_some,
        _displace,
    ],
)
def test_random_places_are_no_weights_and_have_a_note(
    read: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    traced = trace(_ReadsAtRandom(read, None))
    assert traced.hidden == ()
    assert any("draws random numbers in evaluation too" in note for note in traced.notes)


def test_places_that_a_seed_fixes_may_choose_weights() -> None:
    def multiply(x: torch.Tensor) -> torch.Tensor:
        signs = torch.stack([x.sum() * 0 - 1, x.sum() * 0 + 1])
        return F.conv2d(x, signs[torch.randint(0, 2, (8, 8, 1, 1))])

    (found,) = trace(_ReadsAtRandom(multiply, 3)).hidden
    assert found.numbers == 64


@pytest.mark.parametrize("kind", sampling_nets.HIDING)
def test_what_random_numbers_are_drawn_by_may_be_weights(kind: type[nn.Module]) -> None:
    assert sum(weights.numbers for weights in trace(kind()).hidden) >= 90


@pytest.mark.parametrize("kind", sampling_nets.HONEST)
def test_rates_and_deviations_of_noise_are_no_weights(kind: type[nn.Module]) -> None:
    net = kind()
    traced = trace(net)
    assert traced.hidden == ()
    assert traced.parameters == sum(p.numel() for p in net.parameters())


class LateTeacher(nn.Module):
    """Makes a layer in its first run, with weights that are written over the random ones."""

    def __init__(self, *, by_itself: bool = False) -> None:
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self._kept: list[nn.Linear] = []
        self._by_itself = by_itself

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of images ``N 1 28 28``."""
        if not self._kept:
            self._kept.append(nn.Linear(10, 10))
            for tensor in self._kept[0].state_dict().values():
                tensor.copy_(tensor if self._by_itself else torch.full_like(tensor, 0.5).exp())
        scores: torch.Tensor = self._kept[0](self.fc(x.flatten(1)))
        return scores


def test_random_weights_that_are_written_over_are_no_weights() -> None:
    assert trace(LateTeacher()).hidden == ()
    by_itself = trace(LateTeacher(by_itself=True)).hidden  # the random ones stay
    assert sum(weights.numbers for weights in by_itself) == 110


def test_weights_that_replace_random_ones_count_once() -> None:
    read = [torch.randn(10, 10), torch.randn(10)]

    class Reading(LateTeacher):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self._kept:
                self._kept.append(nn.Linear(10, 10))
                for own, given in zip(self._kept[0].state_dict().values(), read, strict=True):
                    own.copy_(given)
            scores: torch.Tensor = self._kept[0](self.fc(x.flatten(1)))
            return scores

    assert sum(weights.numbers for weights in trace(Reading()).hidden) == 110
