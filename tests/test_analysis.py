"""Counts and receptive fields against independent sources: numel, MACs by hand, torch, gradients."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from helpers import few_fast
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from netlet import nets
from netlet.analysis import (
    check,
    check_input_shape,
    cost,
    gradient_support,
    receptive_field,
    summary,
    trace,
)
from netlet.analysis.field_rules import RULES
from netlet.analysis.multiply_adds import COUNTS
from netlet.budgets import Budget
from netlet.errors import BudgetError, NetError
from netlet.graph import Tracer, dependence, operations, rare_operations


class Residual(nn.Module):
    """Two paths with different receptive fields, joined by a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2)
        )
        self.short = nn.Conv2d(1, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.long(x) + self.short(x))


class Inception(nn.Module):
    """Paths joined by concatenation, one of them dilated."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 2, 1)
        self.three = nn.Conv2d(1, 2, 3, padding=1)
        self.dilated = nn.Conv2d(1, 2, 3, padding=3, dilation=3)
        self.pooled = nn.MaxPool2d(3, 1, 1)
        self.end = nn.Conv2d(7, 4, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(
            torch.cat([self.one(x), self.three(x), self.dilated(x), self.pooled(x)], dim=1)
        )


class Gated(nn.Module):
    """Squeeze and excite: every element depends on the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class Functional(nn.Module):
    """No layers at all, only functions on its own parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 1, 3, 3))
        self.dense = nn.Parameter(torch.randn(10, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(F.conv2d(x, self.kernel)), 2)
        x = F.adaptive_avg_pool2d(F.dropout(x, 0.1, self.training), 1)
        return F.log_softmax(F.linear(x.view(-1, 6), self.dense), dim=1)


class SharedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for _ in range(3):
            x = self.again(x)
        return x.mean((2, 3))


class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 1, 3)
        self.two = nn.Conv2d(1, 1, 3)
        self.two.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x))


class Chooses(nn.Module):
    """Chooses a path by the mean of a feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.one, self.other = (
            nn.Conv2d(1, 2, 3),
            nn.Conv2d(2, 2, 3),
            nn.Conv2d(2, 2, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        return self.one(x) if x.mean() > 0 else self.other(x)


SLIDING = {
    "residual": Residual(),
    "inception": Inception(),
    "depthwise": nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, stride=2, groups=6), nn.Conv2d(6, 8, 1, groups=2)
    ),
    "oblong": nn.Sequential(
        nn.Conv2d(1, 4, (1, 5), stride=(1, 2)),
        nn.MaxPool2d((2, 3), (2, 1)),
        nn.Conv2d(4, 4, (3, 1)),
    ),
    "uneven padding": nn.Sequential(
        nn.ZeroPad2d((2, 0, 1, 0)), nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 4, padding="same")
    ),
    "dilated pool": nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.MaxPool2d(3, 2, dilation=2), nn.AvgPool2d(2)
    ),
    "sliced": nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, stride=3)),
}


@pytest.mark.parametrize("name", SLIDING)
def test_receptive_fields_agree_with_the_gradient(name: str) -> None:
    """On an input larger than the field, the middle element's gradient covers the computed field."""
    net, shape = SLIDING[name], (1, 60, 66)
    traced, support = trace(net, shape), gradient_support(net, shape)
    compared = 0
    for step in traced.ops:
        if step.module is None:
            continue
        assert step.field is not None
        assert (
            tuple(axis.interval(axis.length // 2) for axis in step.field) == support[step.path]
        ), step.path
        compared += 1
    assert compared >= 3


LARGE_LAST = sorted(nets.NETS, key=lambda name: name in ("code_1", "code_4", "expand_squeeze"))


@pytest.mark.parametrize("name", few_fast(LARGE_LAST, 4))
def test_receptive_fields_of_registered_nets_agree_with_the_gradient(name: str) -> None:
    """Exact before the global pooling, on an image larger than any field; the whole image after it."""
    net, big = nets.NETS[name].builder().eval(), (1, 120, 120)
    native, support = trace(net), gradient_support(net, big)
    compared = 0
    for step in native.leaves():
        assert step.field is not None
        if any(axis.length == 1 for axis in step.field):
            break  # on the larger image, this map and those after it have other sizes
        if step.module is not None:
            sizes = tuple(last - first + 1 for first, last in support[step.path])
            assert sizes == tuple(axis.extent for axis in step.field), step.path
            compared += 1
    assert compared >= 5
    whole = gradient_support(net, (1, 28, 28))[""]
    assert native.field is not None
    for axis, (first, last) in zip(native.field, whole, strict=True):
        # Padding is part of the arithmetic, but no gradient reaches it; nor the border that a
        # pooling leaves over.
        assert axis.extent >= last - first + 1 >= 26


def test_gated_maps_depend_on_the_whole_image() -> None:
    net = Gated()
    assert gradient_support(net, (1, 28, 28))[""] == ((0, 27), (0, 27))
    assert receptive_field(net).size == (30, 30)  # 28 and the padding of a 3x3 on both sides


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)])
def test_group_and_instance_norm_depend_on_the_whole_map_and_batch_norm_does_not(
    norm: nn.Module,
) -> None:
    def size(layer: nn.Module) -> object:
        return receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3), layer)).size

    assert size(nn.BatchNorm2d(4)) == (3, 3)
    assert size(norm) == (28, 28)


def test_a_dense_layer_depends_on_the_whole_image() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))
    field = receptive_field(net)
    assert field.size == (28, 28)
    assert field.rows[1].k == (26, 26)
    assert cost(net).macs == 26 * 26 * 2 * 9 + 2 * 26 * 26 * 10


def test_functions_have_rows_and_are_counted() -> None:
    value = summary(Functional())
    kinds = [row.kind for row in value.rows]
    for kind in ("conv", "relu", "max_pool2d", "dropout", "linear", "log_softmax"):
        assert kind in kinds
    assert value.parameters == 54 + 60
    assert value.macs == 26 * 26 * 54 + 60
    assert value.field == (28, 28)
    assert sum(row.parameters for row in value.rows) == 114
    assert cost(Functional()).kinds["Linear"] == ["(net) (function)"]
    assert cost(Functional()).kinds["Dropout"] == ["(net) (function)"]


def test_shared_layers_are_counted_once_with_a_note() -> None:
    value = summary(SharedLayer())
    assert value.parameters == 40 + 148 == sum(row.parameters for row in value.rows)
    assert value.macs == 784 * (36 + 3 * 144)
    assert "layer again (Conv2d) runs 3 times" in str(value)
    assert [row.field for row in value.rows if row.name == "again"] == [(5, 5), (7, 7), (9, 9)]


def test_tied_parameters_are_counted_once_with_a_note() -> None:
    value = summary(TiedWeights())
    assert value.parameters == 9 + 1 + 1 == sum(row.parameters for row in value.rows)
    assert "layer two (Conv2d) shares parameters" in str(value)


def test_totals_after_a_value_dependent_path_are_unknown() -> None:
    value, field = summary(Chooses()), receptive_field(Chooses())
    assert value.macs is None
    assert value.field is None
    assert field.size is None
    assert "reads a tensor's value" in str(field)
    assert "?" in str(value)
    before = next(row for row in value.rows if row.name == "before")
    assert before.field == (3, 3)
    assert before.macs == 26 * 26 * 18
    assert "layer 0 (Chooses) reads a tensor's value" in str(summary(nn.Sequential(Chooses())))


def test_the_field_after_an_unlisted_operation_is_unknown() -> None:
    class Exponential(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.matrix_exp(x)

    assert receptive_field(Exponential()).size is None


class Functions(nn.Module):
    """A convolution and a function of its output."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 4, 3), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


def _filtered_by_its_mean(x: torch.Tensor) -> torch.Tensor:
    weight = x.mean((0, 2, 3)).view(1, 4, 1, 1)
    return F.conv2d(x, weight)


def _scales_joined(x: torch.Tensor) -> torch.Tensor:
    both = (x, F.avg_pool2d(x, 2))
    return torch.cat([F.adaptive_avg_pool2d(map_, 1) for map_ in both], 1)


def _enlarged_by_expanding(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    larger = x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)
    return larger.mean((2, 3))


def _pasted_into_zeros(x: torch.Tensor) -> torch.Tensor:
    canvas = torch.zeros(len(x), 5, 26, 26)
    canvas[:, :4] = x
    return canvas * 2


@pytest.mark.parametrize(
    ("function", "size"),
    few_fast(
        [
            (lambda x: F.normalize(x, dim=1), (3, 3)),
            (lambda x: x.norm(dim=1), (3, 3)),
            (lambda x: torch.add(*x.split(13, dim=2)), (16, 3)),
            (lambda x: x.unbind(2)[5], (3, 3)),
            (lambda x: torch.mul(*x.max(1)), (3, 3)),
            (lambda x: torch.cat([x, torch.zeros(len(x), 1, 26, 26)], 1), (3, 3)),
            (lambda x: torch.stack([x, 2 * x]).sum(0), (3, 3)),
            (lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"), (3, 3)),
            (lambda x: F.max_pool1d(x.flatten(1, 2), 2), (3, 4)),
            (_filtered_by_its_mean, (28, 28)),
            (lambda x: x.flatten(1, 2).mean((1, 2)), (28, 28)),
            (lambda x: x.permute(0, 2, 3, 1) @ torch.ones(4, 2), (3, 3)),
            (lambda x: x.unflatten(2, (13, 2)).amax(3), (4, 3)),
            (lambda x: F.adaptive_avg_pool2d(x, 4), (9, 9)),
            (lambda x: F.conv_transpose2d(x, torch.ones(4, 2, 2, 2), stride=2), (3, 3)),
            (lambda x: F.local_response_norm(x, 3), (3, 3)),
            (_scales_joined, (28, 28)),
            (_enlarged_by_expanding, (28, 28)),
            (_pasted_into_zeros, (3, 3)),
            (lambda x: F.pixel_unshuffle(x, 2).flip(2), (3, 3)),
        ],
        12,
    ),
)
def test_fields_of_functions(
    function: Callable[[torch.Tensor], torch.Tensor], size: tuple[int, int] | None
) -> None:
    assert receptive_field(Functions(function)).size == size


def test_dropout_that_is_always_active_is_one_row() -> None:
    value = summary(Functions(F.dropout))
    assert [row.kind for row in value.rows] == ["Conv2d", "dropout"]


def test_a_layer_that_raises_an_exception_that_the_net_catches_is_left() -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                x = self.conv(x[:, :, :2])
            except RuntimeError:
                x = self.conv(x)
            return F.relu(x)

    value = summary(Tries())
    assert [(row.name, row.kind) for row in value.rows] == [
        ("conv", "Conv2d"),
        ("conv", "Conv2d"),
        ("(net)", "relu"),
    ]
    assert value.macs == 26 * 26 * 36
    assert value.field == (3, 3)


def test_a_hook_of_the_net_counts_to_the_net() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3))
    net.register_forward_hook(lambda module, x, out: F.max_pool2d(out, 2))
    assert summary(net).field == (4, 4)


def test_every_operation_of_the_vocabulary_has_a_count_and_a_field() -> None:
    def kinds_of(*modules: ModuleType) -> set[type]:
        return {
            kind
            for module in modules
            for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, operations.Operation)
        } - {operations.Operation, operations.NamedOperation, dependence.Dependence}

    kinds = kinds_of(operations, rare_operations)
    assert kinds == set(COUNTS)
    assert kinds | kinds_of(dependence) == set(RULES)


def test_recurrent_layers_are_counted_step_by_step() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.GRU(28, 5, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rows(x.squeeze(1))[1].squeeze(0)

    value = summary(Recurrent())
    assert value.macs == 28 * (15 * 28 + 15 * 5)
    assert value.field == (28, 28)
    assert value.parameters == sum(row.parameters for row in value.rows) == 15 * 28 + 15 * 5 + 30


def test_uncounted_arithmetic_makes_the_total_unknown() -> None:
    class Spectral(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft2(x).abs()

    assert summary(Spectral()).macs is None


def test_attention_depends_on_the_whole_image() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(1, 8, 7, stride=7)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)

    value = summary(Attends())
    assert (
        value.parameters
        == sum(p.numel() for p in Attends().parameters())
        == sum(row.parameters for row in value.rows)
    )
    assert value.field == (28, 28)


def test_the_field_of_a_tensor_that_is_written_to_is_that_of_all_its_parts() -> None:
    class Pastes(nn.Module):
        def __init__(self, into: str) -> None:
            super().__init__()
            self.into, self.conv = into, nn.Conv2d(1, 1, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            canvas = torch.zeros(len(x), 1, 28, 28) if self.into == "blank" else x.clone()
            canvas[:, :, 2:26, 2:26] = self.conv(x)
            return canvas

    assert receptive_field(Pastes("blank")).size == (5, 5)
    assert receptive_field(Pastes("image")).size == (5, 5)


def test_in_place_layers_give_the_same_results() -> None:
    def net(inplace: bool) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 2, 3),
            nn.ReLU(inplace),
            nn.Dropout(0.5, inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(2, 2, 3),
        )

    assert receptive_field(net(True)) == receptive_field(net(False))
    assert summary(net(True)).macs == summary(net(False)).macs


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_nets_are_counted() -> None:
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    scripted = summary(torch.jit.script(plain))
    assert (
        scripted.parameters
        == summary(plain).parameters
        == sum(row.parameters for row in scripted.rows)
    )
    assert scripted.macs in (summary(plain).macs, None)


def test_lazy_layers_are_counted_after_the_run() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))
    value = summary(net)
    assert (
        value.parameters
        == 40 + 8 + 4 * 26 * 26 * 10 + 10
        == sum(p.numel() for p in net.parameters())
    )


def test_layers_that_never_ran_are_shown_and_counted() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3))
    net.forward = lambda x: net[0](x)  # type: ignore[method-assign]
    net.add_module("dead", nn.Linear(3, 3))
    value = summary(net)
    assert value.parameters == 20 + 12 == sum(row.parameters for row in value.rows)
    assert "never ran" in str(value)


@pytest.mark.parametrize(
    "net", [nn.Conv1d(3, 4, 3), nn.Sequential(nn.Conv1d(3, 4, 3, 2), nn.Conv1d(4, 4, 3))]
)
def test_nets_with_one_axis_are_analyzed(net: nn.Module) -> None:
    assert summary(net, (3, 50)).field in ((3,), (7,))


def test_color_and_nonsquare_images_are_analyzed() -> None:
    value = summary(nn.Conv2d(3, 8, (3, 5)), (3, 20, 30))
    assert value.rows[0].output == (8, 18, 26)
    assert value.field == (3, 5)


@pytest.mark.parametrize(
    ("net", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 10), 100 * 8 * 27),
        (nn.Conv2d(8, 8, 3, groups=8), (8, 10, 10), 64 * 8 * 9),
        (nn.Conv2d(8, 4, 1, stride=2), (8, 10, 10), 25 * 4 * 8),
        (nn.Sequential(nn.Flatten(), nn.Linear(50, 7, bias=False)), (2, 5, 5), 350),
        (nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 5, 5), 25 * 2 * 3 * 4),
    ],
)
def test_macs_agree_with_counts_by_hand(net: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert summary(net, shape).macs == macs


@pytest.mark.parametrize("name", few_fast(LARGE_LAST, 9))
def test_parameters_and_macs_of_every_net_agree_with_torch(name: str) -> None:
    net = nets.NETS[name].builder().eval()
    value = summary(net)
    assert (
        value.parameters
        == sum(p.numel() for p in net.parameters())
        == sum(row.parameters for row in value.rows)
    )
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 1, 28, 28))
    assert value.macs is not None
    assert 2 * value.macs == counter.get_total_flops()
    assert value.macs == sum(row.macs or 0 for row in value.rows)


@pytest.mark.parametrize("net", [Residual(), Inception(), Gated(), Functional(), SharedLayer()])
def test_macs_of_unusual_nets_agree_with_torchs_counter(net: nn.Module) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(2, 1, 28, 28))
    found = cost(net).macs
    assert found is not None
    assert 2 * 2 * found == counter.get_total_flops()


def test_peak_activations_agree_with_counts_by_hand() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    # Norm and ReLU overwrite their input, so the peak is at the convolution, not at the ReLU.
    assert cost(plain).activation_bytes == 4 * (28 * 28 + 4 * 26 * 26)
    # The sum needs both paths: two maps of four channels, and the image while a path still reads it.
    assert cost(Residual()).activation_bytes == 4 * (28 * 28 + 2 * 4 * 28 * 28)


def test_analysis_leaves_the_net_unchanged() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    net[1].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    summary(net)
    gradient_support(net, (1, 28, 28))
    assert net.training
    assert not net[1].training
    assert net[2].training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not net[0]._forward_hooks


def test_maps_of_the_analyzed_runs_are_freed_without_a_search_for_cycles() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 10))
    summary(net)  # everything is imported
    gc.collect()
    gc.disable()
    try:
        before = _count_maps()
        summary(net)
        assert _count_maps() == before
    finally:
        gc.enable()


def _count_maps() -> int:
    return sum(type(one) is torch.Tensor and one.ndim == 4 for one in gc.get_objects())


def test_an_error_while_running_names_layer_and_shape() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(20), nn.Conv2d(2, 2, 7))
    with pytest.raises(
        NetError,
        match=r"2 \(Conv2d\) with input 2x1x1: .*the kernel of 7x7 is larger than the map of 1x1",
    ):
        summary(net)
    with pytest.raises(NetError, match=r"input 3x28x28"):
        summary(nets.mnistnet_1(), (3, 28, 28))


def test_the_check_of_a_shape_is_one_run_and_fails_as_an_analysis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class ReturnsNothing(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> None:  # type: ignore[override]
            super().forward(x)

    class KeepsARamp(nn.Conv2d):
        ramp: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.ramp is None:
                self.ramp = torch.linspace(0, 1, 28)
            return super().forward(x + self.ramp).mean((2, 3))

    for net in (ReturnsNothing(1, 4, 3), nn.Linear(3, 3), nn.Conv2d(3, 4, 3).bfloat16()):
        with pytest.raises(NetError) as expected:
            trace(net, (1, 28, 28))
        with pytest.raises(NetError) as found:
            check_input_shape(net, (1, 28, 28))
        assert str(found.value) == str(expected.value)
    runs: list[Tracer] = []
    run = Tracer.run
    monkeypatch.setattr(Tracer, "run", lambda tracer: (runs.append(tracer), run(tracer))[1])
    keeps = KeepsARamp(1, 10, 3)
    check_input_shape(keeps, (1, 28, 28))
    assert len(runs) == 1
    assert trace(keeps, (1, 28, 28)).hidden == ()  # it was made in a run, so it is no weight
    assert len(runs) == 4


def test_only_shape_errors_suggest_another_input_shape() -> None:
    class Fails(nn.Module):
        def __init__(self, message: str) -> None:
            super().__init__()
            self.message = message

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(self.message)

    for message, is_about_shapes in (
        ("mat1 and mat2 shapes cannot be multiplied (2x676 and 784x10)", True),
        ("shape '[2, 784]' is invalid for input of size 1352", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("CUDA out of memory. Tried to allocate 2.00 GiB; the size of the pool is 4 GiB", False),
        ("expected scalar type Float but found Double", False),
        ("I have a bug", False),
    ):
        with pytest.raises(NetError) as caught:
            summary(Fails(message))
        assert message in str(caught.value)
        assert ("--input C,H,W" in str(caught.value)) == is_about_shapes


@pytest.mark.parametrize(
    ("kind", "suggestion"),
    [
        ("con", "Conv2d"),
        ("Conv_", "Conv2d"),
        ("lin", "Linear"),
        ("Linaer", "Linear"),
        ("batchnor", "BatchNorm2d"),
        ("drop", "Dropout"),
        ("pixelshufle", "PixelShuffle"),
    ],
)
def test_an_unknown_kind_of_layer_gets_the_most_likely_suggestion(
    kind: str, suggestion: str
) -> None:
    budget = Budget(name="own", forbids=(kind,))
    with pytest.raises(BudgetError, match=f"is called '{kind}'; did you mean '{suggestion}'"):
        check(nets.swift(), budget)


def test_summary_is_a_value_with_text_html_and_dict() -> None:
    value = summary(nets.week4())
    assert "fc2.0" in str(value)
    assert "19,642" in str(value)
    page = value._repr_html_()
    assert page.count("<tr>") == len(value.rows) + 1
    record = value.to_dict()
    assert record["parameters"] == 19_642
    assert (
        record["total_bytes"]
        == record["input_bytes"] + record["forward_backward_bytes"] + record["parameter_bytes"]
    )
