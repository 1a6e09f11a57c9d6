"""Graphs of nets (traced, folded, refused), and ONNX models run by ONNX Runtime."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from fixtures.course_nets import BOTH_FORMS
from helpers import Netlet, few_fast
from nets_to_export import digits, net_named
from torch import nn
from torch.nn import functional as F

from netlet.budgets import Score
from netlet.data import Dataset, Split, make_scribble, save_npz
from netlet.data.batches import normalize
from netlet.errors import ExportError, NetError
from netlet.experiments import TrainedNet, load_trained_net
from netlet.export import (
    InferenceGraph,
    OnnxPredictor,
    TracedModel,
    Verification,
    build_inference_graph,
    build_onnx,
    compare_with_pytorch,
    export_c,
    export_onnx,
    export_page,
    fold_graph,
    int8_reference,
    quantize_onnx,
    reference,
    select_calibration_images,
    select_verification_images,
    trace_model,
)
from netlet.export.calibration import limit_constant_inputs, measure_channels
from netlet.export.inference_graph import Convolution, Pooling
from netlet.export.quantize import quantize_graph
from netlet.export.result import check_int8
from netlet.export.zero_level import fold_normalization
from netlet.nets import NETS, build, save_weights
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe

NAMES = ("mnistnet_1", "pyramid", "speck", "braid", "smooth")
SHAPE = (1, 28, 28)


def images(n: int) -> torch.Tensor:
    return digits().held_out.images[:n]


def trace(net: nn.Module) -> InferenceGraph:
    return build_inference_graph(net, SHAPE, 0.1307, 0.3081)


def sample(n: int = 40) -> Split:
    return digits().held_out.take(torch.arange(n))


def net_logits(net: nn.Module, n: int = 12) -> torch.Tensor:
    with torch.no_grad():
        return extract_logits(net.eval()(normalize(images(n), Recipe())))


def randomize_batch_norm(net: nn.Module) -> nn.Module:
    """Give batch norm statistics, scales and shifts that are as different as after training."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.affine:
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
    with torch.no_grad():
        for _ in range(2):
            net.train()(normalize(images(12), Recipe()))
    return net.eval()


def test_graph_of_every_registered_net_computes_its_logits() -> None:
    for name, entry in NETS.items():
        net = randomize_batch_norm(build(entry.builder, 0))
        graph = trace(net)
        expected = net_logits(net)
        for each in (graph, fold_graph(graph)):
            torch.testing.assert_close(
                reference.compute_logits(each, images(12)), expected, atol=1e-5, rtol=1e-4, msg=name
            )


@pytest.mark.parametrize("name", few_fast(("speck", "mnistnet_1", "pyramid", "braid", "smooth"), 1))
def test_graph_of_a_trained_net_matches_it(name: str) -> None:
    model = trace_model(net_named(name))
    verification = compare_with_pytorch(
        model, lambda x: reference.compute_logits(model.graph, x), "scribble", digits().held_out
    )
    assert verification.matches, str(verification)
    assert (
        verification.pytorch.percent > 30
    )  # chance is 10%: equality of an untrained net says little
    assert all(layer.weight.dtype == np.float32 for layer in model.graph.convolutions())


def test_batch_norm_and_normalization_are_folded() -> None:
    kinds = [layer.kind for layer in trace_model(net_named("mnistnet_1")).graph.layers]
    assert kinds == ["convolution"] * 3 + ["max pooling"] + ["convolution"] * 3 + [
        "mean pooling",
        "convolution",
    ]
    # Batch norm before a padded convolution stays: before it the zeros would be other numbers.
    pyramid = trace_model(net_named("pyramid")).graph
    assert [layer.name for layer in pyramid.convolutions() if layer.is_channel_scale] == [
        "input",
        "edges.2",
    ]


def test_folding_reduces_the_number_of_weights() -> None:
    model = trace_model(net_named("mnistnet_1"))
    # Scale and shift of each batch norm channel become one bias; squeeze and head get a bias.
    assert model.cost.parameters == 7_416
    assert model.graph.weights == 7_416 - (8 + 16 + 3 * 16) + 8 + 10


def test_negative_scale_does_not_move_past_max_pooling() -> None:
    layers = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.ReLU(),
        nn.BatchNorm2d(2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(338, 10),
    )
    net = layers.eval()
    for sign, kinds in (
        (1, ["convolution", "max pooling", "convolution"]),
        (-1, ["convolution", "convolution", "max pooling", "convolution"]),
    ):
        layers[2].weight.data.fill_(sign * 0.7)
        layers[2].bias.data.uniform_(0.1, 0.2)
        graph = fold_graph(trace(net))
        assert [layer.kind for layer in graph.layers] == kinds
        torch.testing.assert_close(
            reference.compute_logits(graph, images(8)), net_logits(net, 8), atol=1e-5, rtol=1e-4
        )


def test_relu_moves_before_max_pooling_and_pointwise_after_the_mean() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(4, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    graph = fold_graph(trace(net))
    first, pool, mean, last = graph.layers
    assert isinstance(first, Convolution)
    assert first.clamp == (0, float("inf"))
    assert isinstance(mean, Pooling)
    assert [pool.kind, mean.kind, mean.shape, last.shape] == [
        "max pooling",
        "mean pooling",
        (4, 1, 1),
        (10, 1, 1),
    ]
    torch.testing.assert_close(
        reference.compute_logits(graph, images(8)), net_logits(net, 8), atol=1e-5, rtol=1e-4
    )


def without_names(graph: InferenceGraph) -> list[object]:
    """Return what the layers of a graph compute, as values that can be compared."""
    return [
        (
            type(layer),
            *(
                value.tolist() if isinstance(value, np.ndarray) else value
                for name, value in vars(layer).items()
                if name not in ("name", "sources")  # what the code calls it, and where
            ),
        )
        for layer in graph.layers
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH_FORMS)
def test_modules_and_functions_give_the_same_layers(name: str) -> None:
    torch.manual_seed(0)
    module, functional = (form() for form in BOTH_FORMS[name])
    randomize_batch_norm(module)
    for tensors in (nn.Module.parameters, nn.Module.buffers):
        for mine, other in zip(tensors(functional), tensors(module), strict=True):
            mine.data.copy_(other.data)
    try:
        expected = fold_graph(trace(module))
    except ExportError as error:
        with pytest.raises(ExportError, match=re.escape(str(error).partition(": ")[2])):
            trace(functional)
        return
    actual = fold_graph(trace(functional))
    assert without_names(actual) == without_names(expected)
    assert actual.final_softmax == expected.final_softmax


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(28, 4, batch_first=True), nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x[:, 0])[0][:, -1])


class _Functional(nn.Module):
    """A net with a function of feature maps in its middle."""

    def __init__(
        self, of_maps: Callable[[torch.Tensor], torch.Tensor], *modules: nn.Module
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=3)  # 4 9 9
        self.inner = nn.ModuleList(modules)
        self.head = nn.LazyLinear(10)
        self.of_maps = of_maps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.of_maps(self.conv(x))
        for module in self.inner:
            x = module(x)
        return self.head(x.flatten(1))


def _multiply_twice(x: torch.Tensor) -> torch.Tensor:
    constant = torch.tensor(2.0)
    x = F.relu(x * constant)
    return x * constant.mul_(3)


SUPPORTED_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "adaptive to 3x3": lambda x: F.adaptive_avg_pool2d(x, 3),
    "adaptive maximum": lambda x: F.adaptive_max_pool2d(x, 1),
    "amax": lambda x: x.amax((2, 3)),
    "ceil_mode": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "mean, ceil_mode": lambda x: F.avg_pool2d(x, 2, ceil_mode=True),
    "mean of means": lambda x: x.mean(3).mean(2),
    "maximum of rows": lambda x: x.amax(3, keepdim=True),
    "mean counting zeros": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "clamp": lambda x: x.clamp(-0.2, 0.3),
    "clamp_min": lambda x: x.clamp(min=0.1),
    "clamp by tensors": lambda x: x.clamp(torch.tensor(-0.1), torch.tensor([0.2])),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5),
    "constants": lambda x: 2 - (x * 0.5 + 1) / 3,
    "subtraction": lambda x: torch.sub(x, 0.5, alpha=2),
    "one for each channel": lambda x: x * torch.tensor([1.0, -2.0, 0.5, 3.0]).view(4, 1, 1),
    "a constant that changes later": _multiply_twice,
    "expanding to the same shape": lambda x: x.expand_as(x),
    "a crop": lambda x: F.pad(x, (-1, -2, 0, -3)),
    "a crop of padding": lambda x: F.relu(F.pad(F.pad(x, (1, 2, 0, 1)), (-2, -2, 0, -1))),
    "negative": lambda x: F.relu(-x),
    "padding of its own": lambda x: F.conv2d(F.pad(x, (1, 2, 3, 0)), torch.ones(2, 4, 2, 2) / 9),
    "a gate": lambda x: x * x.mean((2, 3), keepdim=True),
    "a sum with a vector": lambda x: x.amax((2, 3), keepdim=True) + x,
    "a map twice": lambda x: x + x,
    "in place": lambda x: F.relu_(x.clone()),
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu": F.gelu,
    "elu": lambda x: F.elu(x, 0.7),
    "softmax last": lambda x: x,
    "softmax of 1x1 maps last": lambda x: x,
}


# The first elements of a map, which are at the same places as in a map of their own.
FIRST_PARTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "channels": lambda x: F.relu(x.chunk(2, 1)[0]),
    "rows": lambda x: x[:, :1, :4],
    "means": lambda x: F.relu(x).mean((2, 3))[:, :3],
    "means, scaled": lambda x: x.mean((2, 3))[:, :3] * torch.tensor([2.0, -1.0, 0.5]),
    "of a vector": lambda x: x.flatten(1).chunk(2, 1)[0],
}
SUPPORTED_FUNCTIONS = {
    **{f"first part: {name}": function for name, function in FIRST_PARTS.items()},
    **SUPPORTED_FUNCTIONS,
}


@pytest.mark.parametrize("what", few_fast(SUPPORTED_FUNCTIONS, 15 + len(FIRST_PARTS)))
def test_supported_function_is_traced_and_runs_as_onnx(what: str) -> None:
    torch.manual_seed(0)
    net = _Functional(SUPPORTED_FUNCTIONS[what])
    net_logits(net, 2)
    if what == "softmax last":
        net = nn.Sequential(net, nn.Softmax(1))  # type: ignore[assignment]
    elif what == "softmax of 1x1 maps last":
        end = (nn.Unflatten(1, (-1, 1, 1)), nn.LogSoftmax(1), nn.Flatten())
        net = nn.Sequential(net, *end)  # type: ignore[assignment]
    model = trace_model(
        TrainedNet(what, net.eval(), SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None)
    )
    for answers in (
        lambda x: reference.compute_logits(model.graph, x),
        OnnxPredictor(build_onnx(model)),
    ):
        verification = compare_with_pytorch(model, answers, "scribble", digits().held_out)
        assert verification.max_logit_diff < 1e-4, str(verification)


def test_a_softmax_that_saturates_is_exported() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.normal_(body[1].weight, std=3.0)
    plain = net_logits_of(body)
    assert (plain.max(1).values - plain.min(1).values).median() > 200  # below any probability
    for end in (nn.Softmax(1), nn.LogSoftmax(1)):
        net = nn.Sequential(body, end).eval()
        model = trace_model(
            TrainedNet("sure", net, SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None)
        )
        verification = compare_with_pytorch(
            model, OnnxPredictor(build_onnx(model)), "scribble", digits().held_out
        )
        assert verification.matches, str(verification)
        assert "match PyTorch, log-probabilities differ by at most" in str(verification)


def net_logits_of(net: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return extract_logits(net(normalize(images(50), Recipe())))


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "own statistics": (
        _Functional(lambda x: x, nn.BatchNorm2d(4, track_running_stats=False)),
        r"inner\.0 \(BatchNorm2d\): batch norm by each batch's own",
    ),
    "dropout at work": (
        _Functional(lambda x: F.dropout(x, 0.5)),
        r"_Functional: dropout in evaluation mode .*; use F\.dropout\(x, training=self\.training",
    ),
    "reading a value": (
        _Functional(lambda x: x if x.sum() > 0 else -x),
        r"_Functional: reading a tensor's value.*; use operations that are the same for every",
    ),
    "comparing values": (
        _Functional(lambda x: x if torch.allclose(x, x) else -x),
        r"_Functional: reading a tensor's value",
    ),
    "random numbers": (
        _Functional(lambda x: x + torch.rand(())),
        r"_Functional: an operation that is random in evaluation mode, too, .*only if self\.training",
    ),
    "random windows": (
        nn.Sequential(nn.FractionalMaxPool2d(2, output_size=3), nn.Flatten()),
        r"^0 \(FractionalMaxPool2d\): an operation that is random in evaluation mode",
    ),
    "a comparison": (
        _Functional(lambda x: torch.where(x > 0, x, 2 * x)),
        r"_Functional: a comparison, as for torch\.where, cannot .* use torch\.clamp",
    ),
    "a constant among maps": (
        _Functional(lambda x: torch.cat([x, torch.ones_like(x)], 1)),
        r"concatenation with a constant.*; use feature_map \+ constant, or concatenate x",
    ),
    "softmax amid": (
        _Functional(lambda x: x, nn.Softmax(1), nn.ReLU()),
        r"inner\.0 \(Softmax\): softmax of a feature map, before the net's end, cannot be exported; use a sigmoid",
    ),
    "softmax amid vectors": (
        nn.Sequential(_Functional(lambda x: x), nn.Softmax(1), nn.Linear(10, 3)),
        r"softmax before the net's end",
    ),
    "division that rounds": (
        _Functional(lambda x: torch.div(x, 0.3, rounding_mode="floor")),
        r"division that rounds",
    ),
    "softmax over images": (
        nn.Sequential(_Functional(lambda x: x), nn.Softmax(0)),
        r"softmax over anything but the classes",
    ),
    "a map's end": (nn.Sequential(nn.Conv2d(1, 3, 3)), r"not logits \(N, K\)"),
    "no image in it": (
        _Functional(lambda x: torch.zeros(2, 3)),
        r"not logits of shape \(N, K\) computed from the image",
    ),
    "a threshold with another value": (
        _Functional(lambda x: F.threshold(x, 1.0, 3.0)),
        r"_Functional: a threshold of 1 with 3 below it cannot be exported; use nn\.ReLU\(\) or",
    ),
    "softplus with a low threshold": (
        _Functional(lambda x: F.softplus(x, threshold=3.0)),
        r"_Functional: softplus with threshold=3 cannot be exported; use the default of 20",
    ),
    "a root": (
        _Functional(lambda x: x.abs() ** 0.5),
        r"_Functional: a power with the exponent 0\.5 cannot .* use whole exponents from 1 to 8",
    ),
    "LocalResponseNorm": (
        _Functional(lambda x: x, nn.LocalResponseNorm(3)),
        r"inner\.0 \(LocalResponseNorm\): pooling over channels, .*; use nn\.BatchNorm2d",
    ),
    "RMSNorm": (
        _Functional(lambda x: x, nn.RMSNorm(9)),
        r"inner\.0 \(RMSNorm\): a square root, as in RMSNorm, .*LayerNorm",
    ),
    "a quotient": (
        _Functional(lambda x: x / (x.abs() + 1)),
        r"_Functional: a feature map divided by another cannot be exported; use their product",
    ),
    "a sum over images": (
        _Functional(lambda x: x - x.sum(0, keepdim=True)),
        r"_Functional: sum over the images cannot be exported",
    ),
    "images in another order": (
        _Functional(lambda x: x.flip(0)),
        r"_Functional: flip across the images of a batch cannot .* keep the images apart",
    ),
    "a constant for each image": (
        _Functional(lambda x: x + torch.ones(len(x), 1, 1, 1) * torch.arange(2.0).view(2, 1, 1, 1)),
        r"a constant for each image cannot be exported; use one that all images share",
    ),
    "a three-dimensional convolution": (
        _Functional(lambda x: x.unsqueeze(1), nn.Conv3d(1, 2, 3)),
        r"inner\.0 \(Conv3d\): a three-dimensional convolution",
    ),
    "dilated pooling": (
        _Functional(lambda x: F.max_pool2d(x, 2, dilation=2)),
        r"dilated pooling cannot be exported",
    ),
    "a layer of several operations": (
        _Functional(lambda x: x, nn.LPPool2d(2, 2)),
        r"^inner\.0 \(LPPool2d\): sign cannot be exported",
    ),
    "a layer of its own": (
        nn.Sequential(nn.RReLU(), nn.Flatten(), nn.Linear(784, 10)),
        r"^0 \(RReLU\): rrelu_with_noise cannot be exported",
    ),
    "a function of several operations": (
        _Functional(F.normalize),
        r"^_Functional: normalize \(linalg_vector_norm\) cannot be exported",
    ),
    "a method of several operations": (
        _Functional(lambda x: x / x.norm(dim=1, keepdim=True)),
        r"^_Functional: norm \(linalg_vector_norm\) cannot be exported",
    ),
    "a product by einsum": (
        _Functional(lambda x: torch.einsum("nchw,nchw->nc", x, x)),
        r"^_Functional: einsum \(a matrix product of feature maps, as in attention\) cannot be",
    ),
    "a recurrent layer": (
        _Recurrent(),
        r"^lstm \(LSTM\): transpose across the images of a batch cannot be exported",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_unsupported_operation_is_refused_by_name_with_an_alternative(what: str) -> None:
    net, message = REFUSED[what]
    if what != "reading a value":
        net_logits(net, 2)  # takes the lazy layer's shape
    with pytest.raises(ExportError, match=message) as error:
        trace(net)
    assert "\n" not in str(error.value)


class _Deceptive(nn.Module):
    """Nets that a single traced run does not show completely."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.head, self.how = nn.Conv2d(1, 4, 9), nn.Linear(1600, 10), how
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if self.how == "alias":  # the in-place ReLU changes what the view shows
            seen = x.flatten(1)
            x.relu_()
            return self.head(seen)
        if self.how == "autocast":
            with torch.autocast("cpu", torch.bfloat16):
                return self.head(x.flatten(1)).float()
        self.seen += 1
        return self.head(x.flatten(1)) * self.seen


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("alias", r"^head: reading a tensor after an in-place operation on another view of it"),
        ("counts its images", r"depends on the values of the images"),
        ("autocast", r"computes in 16 bits \(as with torch.autocast in forward\)"),
    ],
)
def test_net_that_a_single_run_misrepresents_is_refused(how: str, message: str) -> None:
    torch.manual_seed(0)
    trained = TrainedNet(
        how, _Deceptive(how).eval(), SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None
    )
    with pytest.raises(ExportError, match=message):
        trace_model(trained)


def test_a_constant_that_all_images_share_is_exported() -> None:
    class Shares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.bias = nn.Linear(784, 10), nn.Parameter(torch.randn(10))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.head(x.flatten(1))
            out += self.bias.unsqueeze(0).expand_as(out)
            return out * torch.full((len(x), 10), 0.5)

    net = Shares().eval()
    trace_model(TrainedNet("shares", net, SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None))


def test_softmax_beside_the_logits_is_not_the_final_softmax() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(784, 10)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self.head(x.flatten(1))
            return logits, logits.softmax(1)

    assert trace(Aside().eval()).final_softmax == ""
    assert (
        trace(
            nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.LogSoftmax(1)).eval()
        ).final_softmax
        == "log_softmax"
    )


def test_there_are_as_many_labels_as_logits() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 12)).eval()
    model = trace_model(
        TrainedNet("twelve", net, SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None)
    )
    assert model.labels == tuple(map(str, range(12)))
    assert json.loads(model.metadata["labels"]) == list(model.labels)


def test_non_finite_weights_are_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    net[1].bias.data[3] = float("nan")
    trained = TrainedNet("broken", net, SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None)
    diverged = "holds NaN or infinite values, so the training diverged; train it again with a lower"
    with pytest.raises(ExportError, match=rf"broken: 1\.bias {diverged}"):
        trace_model(trained)
    net[1].bias.data[3] = float("inf")
    with pytest.raises(ExportError, match=rf"broken: 1\.bias {diverged}"):
        trace_model(trained)
    net[1].bias.data[3] = 0
    net.register_buffer("mask", torch.tensor([0, float("nan")]))
    with pytest.raises(ExportError, match=rf"broken: mask {diverged}"):
        trace_model(trained)
    net.mask[1] = float("-inf")
    with pytest.raises(
        ExportError,
        match=r"broken: the buffer mask holds infinite values, which cannot be exported; use large",
    ):
        trace_model(trained)


@pytest.mark.slow
def test_net_trained_on_other_data_is_not_scored_on_digits(
    netlet: Netlet, digits_file: Path
) -> None:
    words = ("--dataset", str(digits_file), "--set", "epochs=1")
    netlet("train", "speck", *words)
    (run,) = Path("runs").iterdir()
    code, out, err = netlet("export", str(run), "--to", "onnx", "-o", "a.onnx")
    assert code == 0
    assert "digits.npz is not a public data set; without --dataset PATH, a float32" in err
    assert "verified on scribble: 1,000 of 1,000 predictions match PyTorch" in out
    assert "accuracy" not in out
    code, out, err = netlet("export", str(run), "--to", "onnx", "--int8")
    assert (code, out) == (2, "")
    assert err.startswith(f"netlet: {run}: int8 needs images of the data set that the net was")
    assert len(err.splitlines()) == 1
    run.rename("typed")
    code, _, err = netlet("export", "typed", "--to", "c", "--int8")
    assert code == 2
    assert err.startswith("netlet: typed (speck): int8 needs images of the data set that")
    assert len(err.splitlines()) == 1


def test_net_that_does_not_run_is_a_one_line_error() -> None:
    with pytest.raises(NetError, match="Conv2d: does not run on an image 1x28x28"):
        trace(nn.Conv2d(3, 3, 3))


@pytest.mark.parametrize("name", few_fast(NAMES, 2))
@pytest.mark.parametrize("input_type", ["uint8", "float"])
def test_onnx_runtime_computes_the_nets_logits(name: str, input_type: str) -> None:
    model = trace_model(net_named(name))
    runtime = OnnxPredictor(build_onnx(model, input_type))  # type: ignore[arg-type]
    verification = compare_with_pytorch(model, runtime, "scribble", digits().held_out)
    assert verification.matches, str(verification)
    assert verification.images == 400
    one, seven = runtime(images(1)), runtime(images(7))
    assert (one.shape, seven.shape) == ((1, 10), (7, 10))
    torch.testing.assert_close(one[0], seven[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", few_fast(["speck", "braid"], 1))
def test_one_wrong_number_in_any_weight_tensor_is_noticed(name: str) -> None:
    model = trace_model(net_named(name))
    proto = build_onnx(model)
    for index, tensor in enumerate(proto.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if not values.shape or values.dtype.kind != "f":
            continue  # a bound of a clamp, or an index
        # At least one of its numbers has an effect that no ReLU cuts off.
        assert any(
            not _verify_changed(model, proto, index, place).matches for place in range(values.size)
        ), tensor.name


def _verify_changed(
    model: TracedModel, proto: onnx.ModelProto, index: int, place: int
) -> Verification:
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    tensor = changed.graph.initializer[index]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[place] += 0.5
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return compare_with_pytorch(model, OnnxPredictor(changed), "scribble", sample())


def test_onnx_model_is_one_file_that_describes_itself(tmp_path: Path) -> None:
    model = trace_model(net_named("speck"))
    result = export_onnx(model, tmp_path / "speck.onnx", digits())
    assert list(tmp_path.iterdir()) == [tmp_path / "speck.onnx"]
    assert result.size_bytes == (tmp_path / "speck.onnx").stat().st_size
    proto = onnx.load(tmp_path / "speck.onnx")
    metadata = {prop.key: prop.value for prop in proto.metadata_props}
    assert (metadata["net"], metadata["budget"], metadata["labels"]) == (
        "speck",
        "speck",
        '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]',
    )
    assert metadata["digest"] == model.digest
    assert metadata["parameters"] == "1285"
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert not {node.op_type for node in proto.graph.node} & {
        "BatchNormalization",
        "Dropout",
        "Sub",
        "Div",
    }


@pytest.mark.parametrize("name", ["mnistnet_1", "braid"])
def test_int8_onnx_loses_little_accuracy(name: str) -> None:
    model = trace_model(net_named(name))
    small = quantize_onnx(model, select_calibration_images(model, digits())[1][:100])
    # Quantizing leaves the model unchanged.
    assert compare_with_pytorch(
        model, OnnxPredictor(build_onnx(model)), "scribble", sample()
    ).matches
    verification = compare_with_pytorch(model, OnnxPredictor(small), "scribble", digits().held_out)
    assert verification.accuracy_drop <= 1.5, str(verification)
    assert verification.max_logit_diff > 1e-3  # it does compute in int8
    weights = [
        value
        for value in small.graph.initializer
        if value.data_type == onnx.TensorProto.INT8 and len(value.dims) == 4
    ]
    assert len(weights) == len(list(fold_normalization(model.graph).convolutions()))
    # Two products with activations of 0..255 fit into 16 bits, which is all that x86-64 processors
    # without VNNI have for their sum.
    largest = max(np.abs(onnx.numpy_helper.to_array(value)).max() for value in weights)
    assert 63 <= largest <= 64
    scales = {value.name: value.dims for value in small.graph.initializer}
    by_channel = [scales[f"{value.name.removesuffix('_quantized')}_scale"] for value in weights]
    assert [list(dims) for dims in by_channel] == [[value.dims[0]] for value in weights]
    metadata = {prop.key: prop.value for prop in small.metadata_props}
    assert (metadata["precision"], metadata["digest"]) == ("int8", model.digest)


def net_with_dead_units(
    activation: type[nn.Module], next_layer: Callable[[], nn.Module], shift: float = -20.0
) -> TracedModel:
    """Return a net with batch norm after an activation; two channels do not depend on the image."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2),
        activation(),
        nn.BatchNorm2d(8, momentum=None),
        next_layer(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(10),
    )
    with torch.no_grad():
        net[0].bias[:2] += shift
        net.train()(normalize(images(300), Recipe()))
    assert net[2].running_var[:2].max() < 1e-6 < 1e-3 < net[2].running_var[2:].max()
    digits_only = tuple("0123456789")
    return trace_model(
        TrainedNet("dead", net.eval(), SHAPE, digits_only, 0.1307, 0.3081, None, None)
    )


DEAD_UNITS = {
    "a convolution": (nn.ReLU, partial(nn.Conv2d, 8, 16, 3)),
    "a padded convolution": (nn.ReLU, partial(nn.Conv2d, 8, 16, 3, padding=1)),
    "a pointwise convolution": (nn.ReLU6, partial(nn.Conv2d, 8, 16, 1)),
    "a depthwise convolution": (nn.ReLU, partial(nn.Conv2d, 8, 8, 3, groups=8)),
    "a padded depthwise convolution": (nn.ReLU, partial(nn.Conv2d, 8, 8, 3, padding=1, groups=8)),
    "groups": (nn.ReLU, partial(nn.Conv2d, 8, 16, 3, groups=4)),
    "saturated units": (nn.Tanh, partial(nn.Conv2d, 8, 16, 3)),
}


@pytest.mark.parametrize("case", DEAD_UNITS)
def test_dead_units_before_batch_norm_cost_int8_no_accuracy(case: str) -> None:
    model = net_with_dead_units(*DEAD_UNITS[case])
    expected = reference.compute_logits(model.graph, images(60))
    quantized = quantize_graph(model.graph, images(60))
    found = int8_reference.numpy_predictor(quantized)(images(60))
    error = (found - expected).square().mean().sqrt() / expected.std(0).mean()
    assert error < 0.15


def test_dead_units_before_batch_norm_cost_int8_onnx_no_accuracy(tmp_path: Path) -> None:
    model = net_with_dead_units(*DEAD_UNITS["a convolution"])
    path = tmp_path / "dead.onnx"
    export_onnx(model, path, digits(), int8=True, max_accuracy_drop=100.0)
    expected = reference.compute_logits(model.graph, images(60))
    found = OnnxPredictor(onnx.load(path))(images(60))
    assert (found - expected).square().mean().sqrt() / expected.std(0).mean() < 0.15


def test_weights_of_nets_without_dead_units_are_left_as_they_are() -> None:
    for name in ("speck", "mote", "crest"):
        graph = trace_model(load_trained_net(name)).graph
        assert limit_constant_inputs(graph, measure_channels(graph, images(60))) is graph


def test_constant_inputs_are_limited_without_changing_the_logits() -> None:
    for case in DEAD_UNITS.values():
        graph = net_with_dead_units(*case).graph
        limited = limit_constant_inputs(graph, measure_channels(graph, images(60)))
        weights = [
            max(float(np.abs(layer.weight).max()) for layer in each.convolutions())
            for each in (graph, limited)
        ]
        assert weights[0] > 5 * weights[1]
        torch.testing.assert_close(
            reference.compute_logits(limited, images(60)),
            reference.compute_logits(graph, images(60)),
            atol=1e-3,
            rtol=1e-3,
        )


@pytest.mark.parametrize("steepness", [100, 1e4, 1e8])
@pytest.mark.parametrize(
    ("clamp", "layer"),
    [
        (nn.ReLU6, partial(nn.Conv2d, 8, 8, 3, groups=8)),
        (nn.ReLU6, partial(nn.Conv2d, 8, 8, 3)),
        (nn.Hardtanh, partial(nn.Conv2d, 8, 8, 1)),
    ],
)
def test_a_steep_channel_before_a_clamp_costs_int8_no_accuracy(
    clamp: type[nn.Module], layer: Callable[[], nn.Module], steepness: float
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2),
        nn.ReLU(),
        layer(),
        nn.BatchNorm2d(8, momentum=None),
        clamp(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    with torch.no_grad():
        net.train()(normalize(images(300), Recipe()))
        net[3].weight[0] *= steepness
    names = tuple("0123456789")
    model = trace_model(TrainedNet("steep", net.eval(), SHAPE, names, 0.1307, 0.3081, None, None))
    expected = reference.compute_logits(model.graph, images(60))
    found = int8_reference.numpy_predictor(quantize_graph(model.graph, images(60)))(images(60))
    error = (found - expected).square().mean().sqrt() / expected.std(0).mean()
    assert error < 0.15


def test_a_refusal_says_where_int8_loses_accuracy() -> None:
    with pytest.raises(ExportError, match="because of conv1; nothing was written; raise --max"):
        check_int8(lose(8), describe_loss=lambda: "because of conv1")


def test_int8_that_loses_too_much_accuracy_is_refused() -> None:
    lost = Verification(
        "scribble", 1_000, 900, 1.0, 9.0, Score("test", 990, 1_000), Score("test", 985, 1_000)
    )
    with pytest.raises(
        ExportError,
        match=r"int8 loses 0\.50 points of accuracy on scribble "
        r"\(99\.00% before, 98\.50% after\).*--force",
    ):
        check_int8(lost, 0.4)
    check_int8(lost, 0.5)
    tenth = Verification(
        "mnist test",
        10_000,
        9_990,
        1.0,
        9.0,
        Score("test", 9_957, 10_000),
        Score("test", 9_947, 10_000),
    )
    check_int8(tenth, 0.1)  # the limit itself is allowed
    check_int8(tenth)
    check_int8(lost, float("inf"))


def lose(images: int) -> Verification:
    """Return the verification of an export that loses images of 300 test images."""
    scores = Score("test", 294, 300), Score("test", 294 - images, 300)
    return Verification("own test and train", 1_000, 990, 1.0, 9.0, *scores)


def test_by_default_int8_may_lose_one_image_of_few() -> None:
    check_int8(lose(1))
    with pytest.raises(
        ExportError,
        match=r"int8 loses 2\.67 points of accuracy on own test \(98\.00% before, 95\.33% after\), "
        r"more than 0\.333 \(one of 300 images\); nothing was written",
    ):
        check_int8(lose(8))
    with pytest.raises(ExportError, match=r"loses 0\.33 points .*, more than 0\.3; nothing was"):
        check_int8(lose(1), 0.3)
    with pytest.raises(ExportError, match=r"loses 0\.33 points .*, more than 0; nothing was"):
        check_int8(lose(1), 0)


def test_accuracies_are_those_on_test_images_alone() -> None:
    model, few = trace_model(net_named("speck")), make_scribble(400, 30)
    image_set, split = select_verification_images(model, few)
    assert (image_set, len(split)) == ("scribble test and train", 430)

    def predict_zero(images: torch.Tensor) -> torch.Tensor:
        return F.one_hot(torch.zeros(len(images), dtype=torch.int64), 10).float()

    found = compare_with_pytorch(model, predict_zero, image_set, split)
    held_out = few.held_out
    logits = reference.compute_logits(model.graph, held_out.images)
    correct = int((logits.argmax(1) == held_out.labels).sum())
    zeros = int((held_out.labels == 0).sum())
    assert found.images == 430
    assert (found.pytorch, found.export) == (Score("test", correct, 30), Score("test", zeros, 30))
    assert found.accuracy_drop == round(100 * (correct - zeros) / 30, 6)
    assert f"accuracy on scribble test (30) {correct / 0.3:.2f}% in PyTorch" in str(found)


def test_a_tie_that_rounding_decides_otherwise_is_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, split = trace_model(net_named("speck")), make_scribble(400, 30).held_out
    logits = reference.compute_logits(model.graph, split.images).float()
    best = logits.argmax(1)
    rest = logits.scatter(1, best[:, None], -torch.inf).amax(1)

    def verify(gap: float) -> Verification:
        """Compare a net whose first image has two logits that this gap separates, exchanged."""
        net, export = logits.clone(), logits.clone()
        net[0, best[0]] = rest[0] + gap
        export[0, best[0]] = rest[0] - gap
        monkeypatch.setattr("netlet.export.verification._net_outputs", lambda *_: net)
        return compare_with_pytorch(model, lambda _: export, "scribble", split)

    tied, other = verify(1e-6), verify(1e-4)
    assert tied.matches
    assert str(tied).startswith("verified on scribble: 29 of 30 predictions match PyTorch (1 of")
    assert not other.matches
    assert other.max_logit_diff < other.limit


def test_export_that_differs_from_the_net_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trace_model(net_named("speck"))
    with torch.no_grad():
        first = next(model.source.net.parameters())
        kept = first.clone()
        first.view(-1)[0] += 0.5  # the net no longer computes what was traced
    try:
        with pytest.raises(
            ExportError,
            match=r"verification failed: the exported ONNX model differs .* nothing was written",
        ):
            export_onnx(model, tmp_path / "speck.onnx", digits())
        assert not list(tmp_path.iterdir())
    finally:
        with torch.no_grad():
            first.copy_(kept)


def test_classes_are_matched_by_name() -> None:
    model, expected = trace_model(net_named("speck")), digits()
    reversed_names = expected.with_classes(expected.class_names[::-1])
    _, split = select_verification_images(model, reversed_names)
    assert not torch.equal(reversed_names.held_out.labels, expected.held_out.labels)
    assert torch.equal(split.labels, select_verification_images(model, expected)[1].labels)


def test_images_of_another_shape_are_refused() -> None:
    model = trace_model(net_named("speck"))
    with pytest.raises(
        ExportError,
        match=r"has images of 3x28x28, but speck takes 1x28x28; pass the data set that it was",
    ):
        select_verification_images(model, digits().with_channels(3))
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 3)).eval()
    three = trace_model(TrainedNet("tiny", net, (1, 28, 28), tuple("abc"), 0.0, 1.0, None, None))
    with pytest.raises(ExportError, match=r"has 10 classes, but tiny has 3 outputs; pass"):
        select_verification_images(three, digits())
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid()).eval()
    one = trace_model(TrainedNet("one", net, (1, 28, 28), tuple("ab"), 0.0, 1.0, None, None))
    for dataset in (digits(), None):
        for select in (select_verification_images, select_calibration_images):
            with pytest.raises(ExportError, match=r"one has 1 output, .* by Linear\(n, 2\)") as e:
                select(one, dataset)
            # Both steps at once: with two outputs, the net would not fit a data set of ten classes.
            says = "scribble has 10 classes, so pass the data set with 2 with --dataset" in str(
                e.value
            )
            assert says == (dataset is not None), e.value


def test_export_from_the_command_line(netlet: Netlet, digits_file: Path) -> None:
    code, out, err = netlet("export", "speck", "--to", "onnx", "--dataset", str(digits_file))
    assert (code, err) == (0, "")
    assert out.startswith("speck.onnx: ")
    assert "verified on digits.npz test and train: 400 of 400 predictions match PyTorch" in out
    code, out, _ = netlet(
        "export",
        "speck",
        "--to",
        "onnx",
        "--int8",
        "--dataset",
        str(digits_file),
        "--max-loss",
        "5",
        "--json",
    )
    told = json.loads(out)
    assert (code, told["files"], told["net"]) == (0, ["speck-int8.onnx"], "speck")
    assert told["verification"]["images"] == 400
    assert Path("speck-int8.onnx").stat().st_size == told["size_bytes"]


@pytest.mark.parametrize("target", few_fast(["onnx", "c", "arduino", "page"], 2))
def test_an_export_of_another_net_is_not_replaced_unless_it_is_named(
    target: str, netlet: Netlet, tmp_path: Path
) -> None:
    """Two runs of one class have the same default name."""
    save_npz(make_scribble(300, 50), tmp_path / "ten.npz")
    few = make_scribble(300, 50)
    names = tuple(f"class {k}" for k in range(10))
    save_npz(dataclasses.replace(few, class_names=names), tmp_path / "named.npz")
    save_npz(few.with_channels(3), tmp_path / "color.npz")
    for name in ("ten", "named", "color"):
        (tmp_path / f"{name}.py").write_text(
            "from torch import nn\n\n\ndef zoo():\n    return nn.Sequential("
            f"nn.Conv2d({3 if name == 'color' else 1}, 4, 5, stride=4), "
            "nn.Flatten(), nn.Linear(144, 10))\n"
        )
        words = ("--dataset", f"{name}.npz", "--epochs", "1", "--out", f"runs/{name}")
        code, _, err = netlet("train", f"{name}.py:zoo", *words)
        assert code == 0, err
    export = ("--to", target, "--trust")

    def run(name: str, *words: str, data: str = "") -> tuple[int, str]:
        dataset = ("--dataset", f"{data or name}.npz")
        code, _, err = netlet("export", f"runs/{name}", *export, *dataset, *words)
        return code, err

    code, err = run("named", data="ten")
    assert (code, "its class '0' is not among the expected classes" in err) == (2, True)
    assert run("ten")[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("zoo[.-]*/**/*") if path.is_file()}
    assert run("ten")[0] == 0
    code, err = run("named")
    assert code == 2
    assert "is the export of another net, for other classes, and would be lost; name another" in err
    code, err = run("color")
    assert code == 2
    assert "is the export of another net, for images of 1x28x28, and would be lost; name an" in err
    assert before == {path: path.read_bytes() for path in before}
    ending = {"onnx": ".onnx", "page": ".html"}.get(target, "")
    assert run("named", "--out", f"other{ending}")[0] == 0
    assert run("color", "--out", f"other{ending}")[0] == 0  # its name was given


def test_without_its_data_set_an_export_is_verified_on_synthetic_digits(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLET_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, out, err = netlet("export", "speck", "--to", "onnx", "-o", "a.onnx")
    assert code == 0
    assert "mnist is not on this machine; verifying on scribble" in err
    assert "verified on scribble test: 1,000 of 1,000 predictions match PyTorch" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "speck", "--to", "page", "--int8"), "the page computes in float32"),
        (
            ("export", "speck", "--to", "c", "--max-loss", "1"),
            "--max-loss is for exports in int8; leave it out, or add --int8",
        ),
        (
            ("export", "speck", "--to", "onnx", "--force"),
            "--force is for exports in int8; leave it out, or add --int8",
        ),
        (
            ("export", "speck", "--to", "c", "-o", "speck.c"),
            "speck.c: an export to c is a folder of files; name one without .c",
        ),
        (
            ("export", "speck", "--to", "c", "--input-type", "float"),
            "--input-type float is for ONNX without --int8",
        ),
        (("export", "sprint", "--to", "onnx"), "sprint: netlet has no trained weights"),
        (("export", "nowhere", "--to", "onnx"), "no experiment or net 'nowhere'"),
        (("export", "speck", "--to", "tflite"), "'tflite' is not one of"),
    ],
)
def test_bad_export_is_a_one_line_error(
    netlet: Netlet, words: tuple[str, ...], message: str
) -> None:
    code, out, err = netlet(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(Path().iterdir())


# --- sizes that pages state

DOCS = Path(__file__).parent.parent / "docs"


def stated_sizes(precision: str) -> dict[str, set[int]]:
    """Return the sizes of ONNX files that pages state, in bytes, by the name of the net."""
    page, found = (DOCS / "export.md").read_text(), dict[str, set[int]]()
    prose = r"`(\w+)`(?:, with [\d,]+ parameters,)?\s+(?:shrinks|grows) from ([\d,]+) to ([\d,]+)"
    rows = rf"\| `(\w+)` \| ONNX Runtime, {precision} \|.*?\| file: ([\d,]+) \|"
    pairs = [
        (name, (one, other)[precision == "int8"]) for name, one, other in re.findall(prose, page)
    ]
    pairs += re.findall(rows, page)
    if precision == "float32":
        command = r"(\w+)\.onnx: ([\d,]+) bytes"
        pairs += re.findall(command, page + (DOCS / "tracks" / "embedded.md").read_text())
    for name, size in pairs:
        found.setdefault(name, set()).add(int(size.replace(",", "")))
    return found


@pytest.mark.parametrize("export", [export_c, export_onnx, export_page])
def test_a_net_in_place_of_a_model_is_refused(export: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"the model is of the type Linear; pass what netlet\.exp"):
        export(nn.Linear(2, 3), str(tmp_path / "x"), None)


def test_an_onnx_model_in_place_of_a_model_is_refused() -> None:
    proto: Any = build_onnx(trace_model(load_trained_net("speck")))
    with pytest.raises(
        TypeError, match=r"the model is of the type ModelProto; pass what netlet\.exp"
    ):
        quantize_onnx(proto, images(10))


def test_pages_state_the_sizes_of_onnx_files(tmp_path: Path) -> None:
    # No trained weights come with netlet, and the size does not depend on their values.
    untrained = tmp_path / "mnistnet_1.safetensors"
    save_weights(build(NETS["mnistnet_1"].builder, 0), untrained)
    stated = stated_sizes("float32")
    assert stated.keys() >= {"crest", "mnistnet_1", "mnistnet_2", "mnistnet_3"}
    for name, sizes in stated.items():
        source = load_trained_net(name, untrained if name == "mnistnet_1" else None)
        assert sizes == {build_onnx(trace_model(source)).ByteSize()}, name


@pytest.mark.slow
@pytest.mark.mnist
def test_pages_state_the_sizes_of_int8_onnx_files(mnist: Dataset) -> None:
    stated = stated_sizes("int8")
    for name in stated.keys() - {"mnistnet_1"}:
        model = trace_model(load_trained_net(name))
        images = select_calibration_images(model, mnist)[1]
        assert stated[name] == {quantize_onnx(model, images).ByteSize()}, name
