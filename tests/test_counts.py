"""Multiply-adds and parameters: what is not known is unknown, and how a net is written is no matter."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable

import pytest
import torch
from fixtures import slips
from fixtures.course_nets import BOTH_FORMS, COURSE_NETS
from helpers import few_fast
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from netlet.analysis import check, cost, receptive_field, summary, trace
from netlet.analysis.no_multiply_adds import NO_MULTIPLY_ADDS
from netlet.budgets import Budget
from netlet.data import Dataset
from netlet.errors import NetError, TrainingError
from netlet.recipes import QUICK
from netlet.training import fit

Function = Callable[[torch.Tensor], torch.Tensor]
VECTOR = (12,)
FEW_MACS = Budget(macs_below=10**9)


class Calls(nn.Module):
    """A function of the images that may read the module's parts."""

    def __init__(self, function: Callable[..., torch.Tensor], **parts: object) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def macs_of(function: Callable[..., object], shape: tuple[int, ...], **parts: object) -> int | None:
    def first(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        out = function(net, x)
        return out if isinstance(out, torch.Tensor) else out[0]  # type: ignore[index]

    return cost(Calls(first, **parts), shape).macs


def parameter(*shape: int) -> nn.Parameter:
    torch.manual_seed(1)
    return nn.Parameter(torch.randn(shape))


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 3, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    ).eval()


SMALL_NET_MACS = 26 * 26 * 72 + 11 * 11 * 4 * 18 + 40


class InInferenceMode(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.body(x)


def test_operations_that_pytorch_dispatches_whole_are_counted() -> None:
    net = InInferenceMode(small_net())
    assert cost(net).macs == SMALL_NET_MACS == cost(small_net()).macs
    assert summary(net).field == summary(small_net()).field
    assert check(net, Budget(macs_below=1000)).failed


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_traced_and_frozen_nets_are_counted() -> None:
    traced = torch.jit.trace(small_net(), torch.zeros(1, 1, 28, 28))
    assert cost(traced).macs == SMALL_NET_MACS
    assert cost(torch.jit.freeze(torch.jit.script(small_net()))).macs == SMALL_NET_MACS
    assert cost(InInferenceMode(traced)).macs == SMALL_NET_MACS


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["attention", "recurrent", "encoder"])
def test_traced_layers_of_sequences_are_counted(kind: str) -> None:
    functions: dict[str, tuple[Callable[..., torch.Tensor], nn.Module]] = {
        "attention": (lambda s, x: s.m(x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
        "recurrent": (lambda s, x: s.m(x)[0], nn.LSTM(8, 5, batch_first=True)),
        "encoder": (lambda s, x: s.m(x), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
    }
    function, layer = functions[kind]
    net = Calls(function, m=layer).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.zeros(2, 12, 8), check_trace=False)
    assert cost(traced, (12, 8)).macs == cost(net, (12, 8)).macs is not None


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*:DeprecationWarning")
def test_a_traced_state_for_another_number_of_images_is_refused() -> None:
    """PyTorch would write beyond the memory of the state."""

    def run(net: Calls, x: torch.Tensor) -> torch.Tensor:
        state = net.state.expand(1, len(x), 5).contiguous()
        return net.m(x, (state, state))[0]

    net = Calls(run, m=nn.LSTM(8, 5, batch_first=True), state=parameter(1, 1, 5)).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.zeros(5, 12, 8), check_trace=False)
    with pytest.raises(NetError, match="failed in the TorchScript interpreter"):
        summary(traced, (12, 8))


W = parameter(12, 12).detach()
SQUARE = (12, 12)
COMPOSITE: dict[str, tuple[Callable[..., object], tuple[int, ...], int]] = {
    "linear": (lambda s, x: F.linear(x, s.w), VECTOR, 144),
    "matmul": (lambda s, x: x @ s.w, VECTOR, 144),
    "matmul of matrices": (lambda s, x: x @ s.w, SQUARE, 12**3),
    "einsum": (lambda s, x: torch.einsum("nij,jk->nik", x, s.w), SQUARE, 12**3),
    "tensordot": (lambda s, x: torch.tensordot(x, s.w, 1), SQUARE, 12**3),
    "inner": (lambda s, x: torch.inner(x, s.w), VECTOR, 144),
    "outer": (lambda s, x: x[:, :, None] * s.w[0], VECTOR, 0),
    "bmm": (lambda s, x: torch.bmm(x, x), SQUARE, 12**3),
    "baddbmm": (lambda s, x: torch.baddbmm(x, x, x, beta=0.5), SQUARE, 12**3),
    "addmm": (lambda s, x: torch.addmm(s.w[0], x, s.w, alpha=2), VECTOR, 144),
    "addbmm": (lambda s, x: torch.addbmm(s.w, x, x), SQUARE, 12**3),
    "mv": (lambda s, x: torch.stack([s.w.mv(row) for row in x]), VECTOR, 144),
    "dot": (lambda s, x: torch.stack([s.w[0].dot(row) for row in x]), VECTOR, 12),
    "conv1d": (lambda s, x: F.conv1d(x, s.w.view(4, 12, 3)), SQUARE, 10 * 144),
    "conv_tbc": (
        lambda s, x: torch.conv_tbc(
            x.permute(2, 0, 1).contiguous(), s.w.view(3, 12, 4), s.w[0, :4]
        ),
        SQUARE,
        10 * 144,
    ),
    "conv_transpose1d": (lambda s, x: F.conv_transpose1d(x, s.w.view(12, 4, 3)), SQUARE, 12 * 144),
    "attention": (lambda s, x: F.scaled_dot_product_attention(x, x, x), SQUARE, 2 * 12**3),
    "grouped attention": (
        lambda s, x: F.scaled_dot_product_attention(
            x.view(-1, 4, 3, 12),
            x[:, :6].view(-1, 2, 3, 12),
            x[:, :6].view(-1, 2, 3, 12),
            enable_gqa=True,
        ),
        SQUARE,
        2 * 4 * 3 * 3 * 12,
    ),
    "bags": (lambda s, x: F.embedding_bag((x > 0).long(), s.w), VECTOR, 0),
    "affine grid": (
        lambda s, x: F.affine_grid(x.view(-1, 2, 3), [len(x), 1, 5, 5], align_corners=False),
        (6,),
        25 * 2 * 3,
    ),
}


@pytest.mark.parametrize("name", COMPOSITE)
@pytest.mark.parametrize("inference", few_fast([False, True], 1))
def test_products_of_any_form_are_counted(name: str, inference: bool) -> None:
    function, shape, expected = COMPOSITE[name]

    def run(net: nn.Module, x: torch.Tensor) -> object:
        with torch.inference_mode(inference):
            return function(net, x)

    assert macs_of(run, shape, w=nn.Parameter(W.clone())) == expected


@torch.library.custom_op("netlet_tests::multiply", mutates_args=())
def multiply(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight


@torch.library.custom_op("netlet_tests::multiply_into", mutates_args=("out",))
def multiply_into(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(x @ weight)


def _multiplied_into(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    multiply_into(x, net.w, out)
    return out


def _through_numpy(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy() @ W.numpy())


UNKNOWN: dict[str, tuple[Callable[..., object], tuple[int, ...]]] = {
    "fft": (lambda s, x: torch.fft.rfft(x).abs(), VECTOR),
    "fft of weights": (lambda s, x: x + torch.fft.fft(s.w).real[0], VECTOR),
    "solve": (lambda s, x: torch.linalg.solve(s.w, x.unsqueeze(2)), VECTOR),
    "inverse of weights": (lambda s, x: x * torch.linalg.inv(s.w)[0], VECTOR),
    "svd": (lambda s, x: torch.linalg.svdvals(x), SQUARE),
    "determinant": (lambda s, x: torch.linalg.det(x), SQUARE),
    "matrix exponential": (lambda s, x: torch.matrix_exp(x), SQUARE),
    "nuclear norm": (lambda s, x: torch.linalg.matrix_norm(x, "nuc"), SQUARE),
    "bilinear": (lambda s, x: F.bilinear(x, x, s.w.view(1, 12, 12)), VECTOR),
    "distances": (lambda s, x: torch.cdist(x, x), SQUARE),
    "sparse image": (lambda s, x: torch.sparse.mm(x.to_sparse(), s.w), VECTOR),
    "custom operation": (lambda s, x: multiply(x, s.w), VECTOR),
    "custom operation in place": (_multiplied_into, VECTOR),
    "numpy": (_through_numpy, VECTOR),
}


@pytest.mark.parametrize("name", few_fast(UNKNOWN, 7))
def test_the_count_of_an_operation_on_no_list_is_unknown(name: str) -> None:
    function, shape = UNKNOWN[name]

    def first(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        out = function(net, x)
        assert isinstance(out, torch.Tensor)
        return out

    net = Calls(first, w=nn.Parameter(W.clone()))
    assert cost(net, shape).macs is None
    verdict = check(net, FEW_MACS, shape)
    assert verdict.failed
    assert "UNKNOWN" in str(verdict)
    assert "note: the MACs of " in str(verdict) or "reads a tensor's value" in str(verdict)


def test_operations_without_a_known_count_are_named() -> None:
    class Mixer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.irfft(torch.fft.rfft(torch.fft.rfft(x).real))

    layers = nn.Sequential(Mixer(), nn.Linear(6, 10))
    (note,) = summary(
        Calls(lambda net, x: net.layers(x) / torch.cdist(x, x).sum(), layers=layers), (12,)
    ).notes
    assert note == (
        "note: the MACs of fft and irfft in layers.0 (Mixer) and cdist are not known, so those of the net are "
        "unknown, and a limit on them cannot be judged"
    )


def test_products_with_sparse_and_quantized_constants_are_counted() -> None:
    sparse = torch.eye(12).to_sparse()
    assert macs_of(lambda s, x: torch.sparse.mm(sparse, x.t()).t(), VECTOR) == 12
    whole = torch.randint(-9, 9, (16, 16), dtype=torch.int8)
    images = (32, 16)
    assert (
        macs_of(lambda s, x: torch._int_mm(x.flatten(0, 1).to(torch.int8), whole), images)
        == 32 * 16 * 16
    )


def test_element_wise_functions_of_pytorch_have_no_multiply_adds() -> None:
    """PyTorch marks its element-wise operations; each is on a list."""
    schemas = torch._C._jit_get_all_schemas()
    packets = {s.name.removeprefix("aten::") for s in schemas if s.name.startswith("aten::")}
    missing = set()
    for packet in packets:
        overloads = getattr(torch.ops.aten, packet, None)
        for overload in overloads.overloads() if overloads else ():
            function = getattr(overloads, overload)
            if torch.Tag.pointwise in function.tags and not (
                torch._C._dispatch_has_kernel_for_dispatch_key(
                    function.name(), "CompositeImplicitAutograd"
                )
            ):
                missing.add(packet.strip("_"))
    missing = {name for name in missing - NO_MULTIPLY_ADDS if "backward" not in name}
    polynomials = {name for name in missing if "polynomial" in name}
    assert missing == polynomials


def test_products_of_weights_are_counted() -> None:
    low_rank = Calls(lambda s, x: F.linear(x, s.a @ s.b), a=parameter(64, 4), b=parameter(4, 64))
    assert cost(low_rank, (64,)).macs == 64 * 64 + 64 * 4 * 64
    row = next(row for row in summary(low_rank, (64,)).rows if row.kind == "matmul")
    assert (row.output, row.macs) == ((64, 64), 64 * 4 * 64)
    assert "Linear" in cost(low_rank, (64,)).kinds
    two_rows = Calls(lambda s, x: x + (s.a @ s.b)[0], a=parameter(2, 4), b=parameter(4, 12))
    assert cost(two_rows, VECTOR).macs == 2 * 4 * 12  # not one row for each of two images
    assert (
        receptive_field(low_rank, (64,)).why_unknown
        == receptive_field(nn.Sequential(nn.Linear(64, 64)), (64,)).why_unknown
    )


def test_cells_of_recurrent_layers_count_their_first_state() -> None:
    def cell(layer: nn.Module) -> int | None:
        return macs_of(lambda s, x: s.cell(x), (8,), cell=layer)

    assert cell(nn.LSTMCell(8, 16)) == 64 * 8 + 64 * 16
    assert cell(nn.GRUCell(8, 16)) == 48 * 8 + 48 * 16
    assert cell(nn.RNNCell(8, 16)) == 16 * 8 + 16 * 16


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("precision", few_fast([torch.float32, torch.float64], fast=1))
def test_recurrent_layers_agree_in_kind(
    kind: type[nn.RNNBase], bidirectional: bool, layers: int, precision: torch.dtype
) -> None:
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]  # type: ignore[type-abstract]
    layer = kind(28, 5, layers, batch_first=True, bidirectional=bidirectional).to(precision)
    ways = 1 + bidirectional
    each = [28, *[5 * ways] * (layers - 1)]
    expected = sum(28 * ways * gates * 5 * (n + 5) for n in each)
    assert macs_of(lambda s, x: s.rows(x.squeeze(1)), (1, 28, 28), rows=layer) == expected


ENCODER = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
ENCODER_MACS = 12 * (3 * 64 + 64 + 2 * 128) + 2 * 12 * 12 * 8


def test_layers_of_transformers_are_counted_in_all_forms() -> None:
    shape = (12, 8)
    for train in (True, False):
        assert cost(copy.deepcopy(ENCODER).train(train), shape).macs == ENCODER_MACS
    stack = nn.TransformerEncoder(ENCODER, 2)
    assert cost(stack.eval(), shape).macs == 2 * ENCODER_MACS
    fused = ENCODER.eval()

    def call_fused(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        layer, attention = net.layer, net.layer.self_attn
        return torch._transformer_encoder_layer_fwd(
            x,
            8,
            2,
            attention.in_proj_weight,
            attention.in_proj_bias,
            attention.out_proj.weight,
            attention.out_proj.bias,
            False,
            False,
            layer.norm1.eps,
            layer.norm1.weight,
            layer.norm1.bias,
            layer.norm2.weight,
            layer.norm2.bias,
            layer.linear1.weight,
            layer.linear1.bias,
            layer.linear2.weight,
            layer.linear2.bias,
        )

    assert macs_of(call_fused, shape, layer=fused) == ENCODER_MACS

    def attend_fused(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        layer = net.layer.self_attn
        return torch._native_multi_head_attention(
            x,
            x,
            x,
            8,
            2,
            layer.in_proj_weight,
            layer.in_proj_bias,
            layer.out_proj.weight,
            layer.out_proj.bias,
        )[0]

    assert macs_of(attend_fused, shape, layer=fused) == 12 * 4 * 64 + 2 * 12 * 12 * 8
    assert torch.backends.mha.get_fastpath_enabled()


NORMS: dict[str, tuple[Function, bool]] = {  # and whether it looks at single positions
    "normalize": (lambda x: F.normalize(x, p=1.0, dim=1), True),
    "norm of order 3": (lambda x: x.norm(p=3, dim=1), True),
    "norm of order infinity": (lambda x: x.norm(float("inf"), dim=1), True),
    "largest": (lambda x: torch.linalg.vector_norm(x, ord=torch.inf, dim=1), True),
    "Frobenius": (lambda x: torch.linalg.matrix_norm(x, "fro"), False),
    "norm of all": (lambda x: x / torch.linalg.norm(x), False),
    "distance": (lambda x: F.pairwise_distance(x.movedim(1, 3), x.movedim(1, 3) + 1, p=3), True),
    "cosine": (lambda x: F.cosine_similarity(x, x + 1, dim=1), True),
    "renorm": (lambda x: torch.renorm(x, 2, 0, 1.0), False),
    "named softmax": (lambda x: torch.softmax(input=x, dim=1), True),
    "variance": (lambda x: torch.var(x, dim=1, correction=0), True),
    "named maximum": (lambda x: torch.max(input=x, dim=1).values, True),
    "named leaky": (lambda x: torch.ops.aten.leaky_relu(self=x, negative_slope=0.5), True),
    "named slice": (lambda x: torch.ops.aten.slice.Tensor(self=x, dim=1, end=3), True),
    "named sum": (lambda x: torch.ops.aten.sum.dim_IntList(self=x, keepdim=True, dim=[1]), True),
    "named difference": (lambda x: torch.ops.aten.sub.Tensor(other=x, self=x, alpha=2), True),
    "named threshold": (lambda x: torch.ops.aten.clamp(self=x, max=1.0), True),
    "named pooling": (
        lambda x: torch.ops.aten.max_pool2d_with_indices(self=x, stride=1, kernel_size=1)[0],
        True,
    ),
}


@pytest.mark.parametrize("name", few_fast(NORMS, 9))
def test_arguments_are_read_by_their_names(name: str) -> None:
    function, positions = NORMS[name]
    net = nn.Sequential(nn.Conv2d(1, 4, 3), Calls(lambda s, x: function(x)))
    assert cost(net).macs == 26 * 26 * 36
    if positions:
        assert receptive_field(net).size == (3, 3)
    else:
        assert receptive_field(net).size in ((28, 28), None)


class Cosine(nn.Module):
    """Compares the direction of an image's features with those of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 8, 3, 2)
        self.classes = nn.Parameter(torch.randn(10, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.body(x).mean((2, 3))
        return 10 * F.linear(F.normalize(features), F.normalize(self.classes))


ONE_EPOCH = QUICK.replace(epochs=1)


def test_a_cosine_head_is_shown_checked_and_trained(blob_data: Dataset) -> None:
    net = Cosine()
    assert summary(net).macs == 13 * 13 * 72 + 80
    assert summary(net).field == (27, 27)
    assert check(net, FEW_MACS).state == "PASS"
    assert fit(net, blob_data, ONE_EPOCH).epochs


class CalledByParts(nn.Module):
    """Uses its modules without calling them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 16, 3), nn.Linear(16, 5)
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))])
        self.named = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(5))})
        self.table = nn.Embedding(3, 5)
        self.half_used = nn.Linear(5, 5)
        self.idle = nn.Linear(5, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc.forward(self.conv(x).mean((2, 3)))
        x = x * self.scales[0] * self.scales[1].data + self.named["bias"] + self.table.weight[1:2]
        return F.linear(x, self.half_used.weight)


def test_never_ran_is_said_only_of_modules_of_which_nothing_was_read() -> None:
    value = summary(CalledByParts())
    assert [row.name for row in value.rows if "never ran" in row.kind] == ["idle"]
    assert [note for note in value.notes if "never ran" in note] == [
        "note: layer idle (Linear) has 42 parameters and never ran"
    ]
    rows = {row.name: (row.kind, row.parameters) for row in value.rows if row.name != "(net)"}
    assert rows["fc"] == ("Linear (its own)", 85)
    assert rows["scales"] == ("ParameterList (its own)", 10)
    assert rows["half_used"] == ("Linear (its own)", 30)
    assert value.parameters == sum(row.parameters or 0 for row in value.rows)
    spending = dict(cost(CalledByParts()).spending["parameters"])
    assert spending["fc (Linear)"] == 85
    assert sum(spending.values()) == value.parameters


@pytest.mark.parametrize(
    ("name", "idle", "when"),
    [
        ("AuxiliaryHead", "second", "runs in training only"),
        ("UnusedLayers", "norm", "never ran"),
        ("ChoosesByValue", "bright", "did not run on a blank image"),
    ],
)
def test_table_notes_and_spending_say_the_same_of_a_module_that_did_not_run(
    name: str, idle: str, when: str
) -> None:
    net = getattr(slips, name)()
    value = summary(net)
    (row,) = (row for row in value.rows if row.name == idle)
    assert row.kind.endswith(f"({when})")
    assert [note for note in value.notes if f"layer {idle} " in note and note.endswith(when)]
    assert f"{idle} ({when})" in dict(cost(net).spending["parameters"])


class ComplexLayer(nn.Module):
    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.shape = layer, shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(len(x), *self.shape).to(self.layer.weight.dtype)
        return self.layer(x).abs().flatten(1)


@pytest.mark.parametrize(
    ("kind", "arguments", "shape", "macs"),
    [
        (nn.Conv2d, {"out_channels": 8, "kernel_size": 3, "stride": 2}, (1, 28, 28), 8 * 169 * 9),
        (nn.Conv2d, {"out_channels": 6, "kernel_size": 3, "padding": "same"}, (1, 28, 28), 42_336),
        (nn.Conv1d, {"out_channels": 4, "kernel_size": 3, "groups": 2}, (28, 28), 4 * 26 * 14 * 3),
        (nn.ConvTranspose2d, {"out_channels": 4, "kernel_size": 3}, (1, 28, 28), 784 * 4 * 9),
        (nn.ConvTranspose1d, {"out_channels": 4, "kernel_size": 3}, (28, 28), 28 * 28 * 4 * 3),
        (nn.ConvTranspose3d, {"out_channels": 2, "kernel_size": 3}, (1, 7, 7, 16), 784 * 2 * 27),
        (nn.Conv1d, {"out_channels": 4, "kernel_size": 4, "padding": "same"}, (28, 28), 12_544),
        (
            nn.Conv2d,
            {"out_channels": 4, "kernel_size": (4, 3), "padding": "same", "dilation": (1, 2)},
            *((1, 28, 28), 784 * 4 * 12),
        ),
        (nn.Linear, {"out_features": 10}, (784,), 7_840),
    ],
)
def test_a_product_of_complex_numbers_counts_once(
    kind: type[nn.Module], arguments: dict[str, object], shape: tuple[int, ...], macs: int
) -> None:
    net = ComplexLayer(kind(shape[0], dtype=torch.cfloat, **arguments), shape)
    value = summary(net)
    assert value.macs == macs
    assert [row.macs for row in value.rows if row.macs] == [macs]


class OneByOne(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self.layer.weight.dtype)
        return torch.stack([self.layer(image) for image in x]).abs().flatten(1)


@pytest.mark.parametrize(
    ("around", "layer"),
    few_fast(
        itertools.product(
            (functools.partial(ComplexLayer, shape=(1, 28, 28)), OneByOne),
            (
                functools.partial(nn.Conv2d, 1, 4, 4, padding="same"),
                functools.partial(nn.ConvTranspose2d, 1, 4, 3, stride=2),
            ),
        ),
        2,  # a net that takes its images one by one is slow
    ),
)
def test_complex_convolutions_have_the_shapes_and_fields_of_real_ones(
    around: Callable[[nn.Module], nn.Module], layer: Callable[..., nn.Module]
) -> None:
    rows = {}
    for precision in (torch.cfloat, torch.float32):
        rows[precision] = [
            (row.name, row.output, row.macs, row.field, row.jump, row.kernel, row.padding)
            for row in summary(around(layer(dtype=precision))).rows
            if row.name == "layer"
        ]
    assert rows[torch.cfloat] == rows[torch.float32]


class SpareLazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3)
        self.spare = nn.LazyLinear(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


def test_a_lazy_layer_that_never_ran_is_a_row(blob_data: Dataset) -> None:
    net = SpareLazy()
    value = summary(net)
    assert [(row.kind, row.parameters) for row in value.rows if row.name == "spare"] == [
        ("LazyLinear (never ran)", None)
    ]
    assert "spare (LazyLinear) never ran, so its parameters are unknown" in str(value)
    assert value.parameters == 100
    assert value.to_dict()["parameters"] == 100
    assert check(net, Budget(params_below=101)).state == "PASS"
    with pytest.raises(TrainingError, match=r"^spare \(LazyLinear\) never ran.* remove it$"):
        fit(net, blob_data, ONE_EPOCH)


@pytest.mark.parametrize(
    "precision", few_fast([torch.float16, torch.bfloat16, torch.float64], fast=1)
)
def test_nets_of_another_precision_are_counted_like_float32(precision: torch.dtype) -> None:
    attention = nn.Sequential(
        nn.Conv2d(1, 8, 7, 7), nn.Flatten(2), Calls(lambda s, x: x.transpose(1, 2)), ENCODER
    )
    rows = Calls(lambda s, x: s.m(x.squeeze(1))[0][:, -1], m=nn.LSTM(28, 5, batch_first=True))
    norms = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.LocalResponseNorm(2), nn.Flatten(), nn.RMSNorm(2704)
    )
    nets = (attention, rows, norms)
    copies = [functools.partial(copy.deepcopy, net) for net in nets]
    for make in (small_net, Cosine, *copies):
        expected, found = cost(make()), cost(make().to(precision))
        assert found.parameters == expected.parameters
        assert found.macs == expected.macs is not None
        assert found.activation_bytes == expected.activation_bytes
        twin, value = summary(make()), summary(make().to(precision))
        assert value.field == twin.field
        assert value.forward_backward_bytes == twin.forward_backward_bytes
        assert value.input_bytes == twin.input_bytes
        assert [row.macs for row in value.rows] == [row.macs for row in twin.rows]


class OfTwoPrecisions(nn.Module):
    """Converts its features; the images are those that its first layer takes."""

    def __init__(self, first: torch.dtype, second: torch.dtype) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3, dtype=first), nn.Linear(4, 90, dtype=second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).mean((2, 3)).to(self.fc.weight.dtype))


@pytest.mark.parametrize("first", [torch.float32, torch.float16])
@pytest.mark.parametrize("second", [torch.float32, torch.float16])
def test_nets_of_several_precisions_are_counted(first: torch.dtype, second: torch.dtype) -> None:
    assert cost(OfTwoPrecisions(first, second)).macs == 26 * 26 * 36 + 360


def totals(net: nn.Module, shape: tuple[int, ...] = (1, 28, 28)) -> tuple[object, ...]:
    value = summary(net, shape)
    sizes = (value.forward_backward_bytes, value.activation_bytes, value.total_bytes)
    return (value.parameters, value.trainable, value.macs, value.field, *sizes)


@pytest.mark.parametrize(  # gelu_silu has one mean, or two
    "name", few_fast(sorted(BOTH_FORMS.keys() - {"gelu_silu"}), fast=6)
)
def test_modules_and_functions_have_the_same_totals(name: str) -> None:
    with_modules, with_functions = (make() for make in BOTH_FORMS[name])
    assert totals(with_modules) == totals(with_functions)


def test_layers_that_are_called_differently_have_the_same_totals() -> None:
    conv, fc = nn.Conv2d(1, 8, 3), nn.Linear(8, 10)

    def forward(calls: Callable[..., torch.Tensor]) -> nn.Module:
        return Calls(lambda s, x: calls(s, x).mean(1), conv=conv, fc=fc)

    forms = (
        lambda s, x: s.fc(s.conv(x).flatten(2).transpose(1, 2)),
        lambda s, x: s.fc.forward(s.conv.forward(x).flatten(2).transpose(1, 2)),
        lambda s, x: F.linear(
            F.conv2d(x, s.conv.weight, s.conv.bias).flatten(2).transpose(1, 2),
            s.fc.weight,
            s.fc.bias,
        ),
    )
    found = [totals(forward(form)) for form in forms]
    assert found[0] == found[1] == found[2]


def test_forward_and_backward_bytes_are_those_of_all_operations() -> None:
    net = Calls(
        lambda s, x: s.fc(F.relu(s.conv(x)).mean((2, 3))),
        conv=nn.Conv2d(1, 8, 3),
        fc=nn.Linear(8, 10),
    )
    assert summary(net).forward_backward_bytes == 2 * 4 * (8 * 676 + 8 * 676 + 8 + 10)
    low_rank = Calls(lambda s, x: x @ (s.a @ s.b), a=parameter(12, 2), b=parameter(2, 12))
    assert summary(low_rank, VECTOR).forward_backward_bytes == 2 * 4 * 12


@pytest.mark.parametrize("name", few_fast(sorted(COURSE_NETS), fast=6))
def test_counts_do_not_depend_on_the_number_of_images(name: str) -> None:
    net = COURSE_NETS[name]().eval()
    counted = trace(net)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(3, 1, 28, 28))
    assert counted.macs() is not None
    assert 2 * 3 * (counted.macs() or 0) == counter.get_total_flops()
