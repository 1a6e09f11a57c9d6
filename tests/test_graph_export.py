"""Nets as graphs: captured, folded, refused; and ONNX models that ONNX Runtime runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import Netlet
from nets_to_export import digits, nets
from torch import nn
from torch.nn import functional as F

from netlet.budgets import Score
from netlet.data import Split
from netlet.data.batches import normalized
from netlet.errors import NetError, ShipError
from netlet.experiments import TrainedNet
from netlet.export import (
    Agreement,
    Graph,
    Runtime,
    TrainedModel,
    agreement,
    capture,
    export_onnx,
    folded,
    images_to_calibrate,
    images_to_compare,
    onnx_model,
    origin,
    quantized,
    reference,
)
from netlet.export.exported import accept_int8
from netlet.export.graph import Convolution, Pooling
from netlet.nets import NETS, build
from netlet.nets.outputs import logits_of
from netlet.recipes import Recipe

NAMES = ("mnistnet_1", "pyramid", "speck", "braid", "smooth")
SHAPE = (1, 28, 28)


def images(n: int) -> torch.Tensor:
    return digits().held_out.images[:n]


def captured(net: nn.Module) -> Graph:
    return capture(net, SHAPE, 0.1307, 0.3081)


def some(n: int = 40) -> Split:
    return digits().held_out.take(torch.arange(n))


def of_net(net: nn.Module, n: int = 12) -> torch.Tensor:
    with torch.no_grad():
        return logits_of(net.eval()(normalized(images(n), Recipe())))


def stirred(net: nn.Module) -> nn.Module:
    """With statistics, scales and shifts of batch norm as different from the first ones as training leaves them."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
    with torch.no_grad():
        for _ in range(2):
            net.train()(normalized(images(12), Recipe()))
    return net.eval()


def test_every_net_of_ours_is_its_graph_before_and_after_folding() -> None:
    for name, entry in NETS.items():
        net = stirred(build(entry.builder, 0))
        graph = captured(net)
        wanted = of_net(net)
        for each in (graph, folded(graph)):
            torch.testing.assert_close(
                reference.logits(each, images(12)), wanted, atol=1e-5, rtol=1e-4, msg=name
            )


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_net_is_its_graph(name: str) -> None:
    source = origin(nets()[name])
    found = agreement(
        source, lambda x: reference.logits(source.graph, x), "scribble", digits().held_out
    )
    assert found.faithful, str(found)
    assert (
        found.net.percent > 30
    )  # it has learnt something (a tenth is chance), so that equality means something
    assert all(layer.weight.dtype == np.float32 for layer in source.graph.convolutions())


def test_norms_and_normalisation_are_folded_away() -> None:
    kinds = [layer.kind for layer in origin(nets()["mnistnet_1"]).graph.layers]
    assert kinds == ["convolution"] * 3 + ["max pooling"] + ["convolution"] * 3 + [
        "mean pooling",
        "convolution",
    ]
    # Where zeros are put around a map after its norm, the norm stays: they are other numbers before
    # it.
    pyramid = origin(nets()["pyramid"]).graph
    assert [layer.name for layer in pyramid.convolutions() if layer.scales_only] == [
        "input",
        "edges.2",
    ]


def test_a_folded_net_is_smaller_than_it_was_written() -> None:
    source = origin(nets()["mnistnet_1"])
    # Each norm's two numbers for a channel become one bias, the squeeze and the head get one.
    assert source.cost.parameters == 7_416
    assert source.graph.weights == 7_416 - (8 + 16 + 3 * 16) + 8 + 10


def test_scale_is_not_moved_behind_a_maximum_that_it_would_turn() -> None:
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
        graph = folded(captured(net))
        assert [layer.kind for layer in graph.layers] == kinds
        torch.testing.assert_close(
            reference.logits(graph, images(8)), of_net(net, 8), atol=1e-5, rtol=1e-4
        )


def test_relu_after_pooling_and_pointwise_before_a_mean_change_places() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(4, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    graph = folded(captured(net))
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
        reference.logits(graph, images(8)), of_net(net, 8), atol=1e-5, rtol=1e-4
    )


class _Functional(nn.Module):
    """A module around a function of an image's maps."""

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


SAME_AS_IN_PYTORCH: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "adaptive to 3x3": lambda x: F.adaptive_avg_pool2d(x, 3),
    "adaptive maximum": lambda x: F.adaptive_max_pool2d(x, 1),
    "amax": lambda x: x.amax((2, 3)),
    "ceil_mode": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "mean, ceil_mode": lambda x: F.avg_pool2d(x, 2, ceil_mode=True),
    "mean counting zeros": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "clamp": lambda x: x.clamp(-0.2, 0.3),
    "clamp_min": lambda x: x.clamp(min=0.1),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5),
    "constants": lambda x: 2 - (x * 0.5 + 1) / 3,
    "subtraction": lambda x: torch.sub(x, 0.5, alpha=2),
    "one for each channel": lambda x: x * torch.tensor([1.0, -2.0, 0.5, 3.0]).view(4, 1, 1),
    "padding of its own": lambda x: F.conv2d(F.pad(x, (1, 2, 3, 0)), torch.ones(2, 4, 2, 2) / 9),
    "a gate": lambda x: x * x.mean((2, 3), keepdim=True),
    "a sum with a vector": lambda x: x.amax((2, 3), keepdim=True) + x,
    "a map twice": lambda x: x + x,
    "in place": lambda x: F.relu_(x.clone()),
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu": F.gelu,
    "elu": lambda x: F.elu(x, 0.7),
    "softmax last": lambda x: x,
}


@pytest.mark.parametrize("what", SAME_AS_IN_PYTORCH)
def test_what_people_write_is_captured_and_runs_as_onnx(what: str) -> None:
    torch.manual_seed(0)
    net = _Functional(SAME_AS_IN_PYTORCH[what])
    of_net(net, 2)
    if what == "softmax last":
        net = nn.Sequential(net, nn.Softmax(1))  # type: ignore[assignment]
    source = origin(
        TrainedNet(what, net.eval(), SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None)
    )
    for answers in (lambda x: reference.logits(source.graph, x), Runtime(onnx_model(source))):
        found = agreement(source, answers, "scribble", digits().held_out)
        assert found.largest < 1e-4, str(found)


def _slopes(n: int) -> nn.PReLU:
    module = nn.PReLU(n)
    module.weight.data = torch.rand(n)
    return module


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "GroupNorm": (
        _Functional(lambda x: x, nn.GroupNorm(2, 4)),
        r"inner\.0: GroupNorm.* cannot be exported; nn\.BatchNorm2d",
    ),
    "LayerNorm": (_Functional(lambda x: x, nn.LayerNorm(9)), r"inner\.0: LayerNorm"),
    "own statistics": (
        _Functional(lambda x: x, nn.BatchNorm2d(4, track_running_stats=False)),
        r"inner\.0: batch norm by each batch's own",
    ),
    "transposed": (
        _Functional(lambda x: x, nn.ConvTranspose2d(4, 2, 3)),
        r"inner\.0: a transposed.*; nn\.Conv2d would",
    ),
    "dropout at work": (
        _Functional(lambda x: F.dropout(x, 0.5)),
        r"_Functional: dropout or other chance.*training=self\.training",
    ),
    "reading a value": (
        _Functional(lambda x: x if x.sum() > 0 else -x),
        r"_Functional: sum cannot|reading a value",
    ),
    "PReLU by channel": (
        _Functional(lambda x: x, nn.Sequential(_slopes(4))),
        r"inner\.0\.0: PReLU.*LeakyReLU",
    ),
    "slicing": (
        _Functional(lambda x: x[:, 1:]),
        r"_Functional: slicing cannot be exported; a convolution",
    ),
    "permute": (_Functional(lambda x: x.permute(0, 2, 3, 1)), r"_Functional: permute"),
    "upsampling": (_Functional(lambda x: x, nn.Upsample(scale_factor=2)), r"inner\.0: upsampling"),
    "softmax amid": (
        _Functional(lambda x: x, nn.Softmax(1), nn.ReLU()),
        r"softmax over anything but the classes|softmax before the net's end",
    ),
    "uneven": (
        _Functional(lambda x: F.adaptive_avg_pool2d(x, 4)),
        r"from 9x9 to 4x4.*; an output that divides",
    ),
    "a constant for each place": (
        _Functional(lambda x: x * torch.arange(81.0).view(9, 9)),
        r"mul with a constant for each place.*; one for each channel",
    ),
    "softplus": (
        _Functional(F.softplus),
        r"_Functional: softplus cannot be exported; convolutions, dense",
    ),
    "padded pooling": (
        _Functional(lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3)),
        r"padding before anything but a convolution",
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
    "pooling of another view": (
        _Functional(lambda x: F.avg_pool2d(x.view(-1, 4, 81, 1), (3, 1))),
        r"view from|taken for another",
    ),
    "clamp by channel": (
        _Functional(lambda x: x.clamp(max=torch.ones(4, 1, 1))),
        r"_Functional: clamp.* cannot be exported",
    ),
    "padding with ones": (
        _Functional(lambda x: F.pad(x, (1, 1, 1, 1), value=1.0)),
        r"zeros cannot be exported",
    ),
    "a map's end": (nn.Sequential(nn.Conv2d(1, 3, 3)), r"not logits N K"),
    "no image in it": (
        _Functional(lambda x: torch.zeros(2, 3)),
        r"not logits N K that come from the image",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_known_is_refused_by_name_with_what_would_work(what: str) -> None:
    net, said = REFUSED[what]
    if what != "reading a value":
        of_net(net, 2)  # takes the lazy layer's shape
    with pytest.raises(ShipError, match=said) as error:
        captured(net)
    assert "\n" not in str(error.value)


class _Turning(nn.Module):
    """Nets that one run does not show as they are."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.head, self.how = nn.Conv2d(1, 4, 9), nn.Linear(1600, 10), how
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if self.how == "alias":  # the view shows the map as it is changed afterwards
            seen = x.flatten(1)
            x.relu_()
            return self.head(seen)
        self.seen += 1
        return self.head(x.flatten(1)) * self.seen


@pytest.mark.parametrize("how", ["alias", "counts its images"])
def test_what_one_run_does_not_show_is_noticed(how: str) -> None:
    torch.manual_seed(0)
    trained = TrainedNet(
        how, _Turning(how).eval(), SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None
    )
    with pytest.raises(ShipError, match=r"does not do the same to every image"):
        origin(trained)


def test_a_softmax_aside_is_not_the_nets_ending() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(784, 10)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self.head(x.flatten(1))
            return logits, logits.softmax(1)

    assert captured(Aside().eval()).ending == ""
    assert (
        captured(nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.LogSoftmax(1)).eval()).ending
        == "log_softmax"
    )


def test_labels_are_as_many_as_logits() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 12)).eval()
    source = origin(
        TrainedNet("twelve", net, SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None)
    )
    assert source.labels == tuple(map(str, range(12)))
    assert source.described["labels"] == ",".join(source.labels)


def test_weights_that_are_no_numbers_are_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    net[1].bias.data[3] = float("nan")
    with pytest.raises(ShipError, match=r"broken: 1\.bias holds what is no number"):
        origin(TrainedNet("broken", net, SHAPE, tuple("0123456789"), 0.1307, 0.3081, None, None))


def test_a_net_of_other_data_is_not_judged_on_drawn_digits(
    netlet: Netlet, digits_file: Path
) -> None:
    words = ("--dataset", str(digits_file), "--set", "epochs=1", "--out", "runs")
    netlet("train", "speck", *words)
    (run,) = Path("runs").iterdir()
    code, out, err = netlet("export", str(run), "--to", "onnx", "-o", "a.onnx")
    assert code == 0
    assert "digits.npz is data of one's own; comparing on scribble" in err
    assert "1,000 of 1,000 predictions on scribble are the net's" in out
    assert "accuracy" not in out
    code, out, err = netlet("export", str(run), "--to", "onnx", "--int8")
    assert (code, out) == (2, "")
    assert "int8 is calibrated and judged by images of what a net was taught on" in err


def test_a_net_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(NetError, match="Conv2d: does not run on an image 1x28x28"):
        captured(nn.Conv2d(3, 3, 3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("taking", ["uint8", "float"])
def test_onnx_runtime_gives_what_the_net_gives(name: str, taking: str) -> None:
    source = origin(nets()[name])
    runtime = Runtime(onnx_model(source, taking))  # type: ignore[arg-type]
    found = agreement(source, runtime, "scribble", digits().held_out)
    assert found.faithful, str(found)
    assert found.images == 400
    one, seven = runtime(images(1)), runtime(images(7))
    assert (one.shape, seven.shape) == ((1, 10), (7, 10))
    torch.testing.assert_close(one[0], seven[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["speck", "braid"])
def test_each_tensor_of_weights_counts(name: str) -> None:
    source = origin(nets()[name])
    model = onnx_model(source)
    for at, held in enumerate(model.graph.initializer):
        values = onnx.numpy_helper.to_array(held)
        if not values.shape:
            continue  # a bound of a clamp
        # One number of it, the first that is not cut off by a ReLU somewhere behind.
        assert any(
            not _with_one_changed(source, model, at, place).faithful for place in range(values.size)
        ), held.name


def _with_one_changed(
    source: TrainedModel, model: onnx.ModelProto, at: int, place: int
) -> Agreement:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    held = changed.graph.initializer[at]
    values = onnx.numpy_helper.to_array(held).copy()
    values.reshape(-1)[place] += 0.5
    held.CopyFrom(onnx.numpy_helper.from_array(values, held.name))
    return agreement(source, Runtime(changed), "scribble", some())


def test_a_model_says_what_it_is_and_lies_in_one_file(tmp_path: Path) -> None:
    source = origin(nets()["speck"])
    done = export_onnx(source, tmp_path / "speck.onnx", digits())
    assert list(tmp_path.iterdir()) == [tmp_path / "speck.onnx"]
    assert done.size_bytes == (tmp_path / "speck.onnx").stat().st_size
    model = onnx.load(tmp_path / "speck.onnx")
    told = {prop.key: prop.value for prop in model.metadata_props}
    assert (told["net"], told["budget"], told["labels"]) == (
        "speck",
        "speck",
        "0,1,2,3,4,5,6,7,8,9",
    )
    assert told["digest"] == source.digest
    assert told["parameters"] == "1285"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert not {node.op_type for node in model.graph.node} & {
        "BatchNormalization",
        "Dropout",
        "Sub",
        "Div",
    }


@pytest.mark.parametrize("name", ["mnistnet_1", "braid"])
def test_int8_is_smaller_and_nearly_as_good(name: str) -> None:
    source = origin(nets()[name])
    model = onnx_model(source)
    small = quantized(model, images_to_calibrate(source, digits())[1][:100])
    assert agreement(
        source, Runtime(model), "scribble", some()
    ).faithful  # what was quantized is as it was
    found = agreement(source, Runtime(small), "scribble", digits().held_out)
    assert found.lost_points <= 1.5, str(found)
    assert found.largest > 1e-3  # it is another arithmetic
    weights = [
        value
        for value in small.graph.initializer
        if value.data_type == onnx.TensorProto.INT8 and len(value.dims) == 4
    ]
    assert len(weights) == len(list(source.graph.convolutions()))
    scales = {value.name: value.dims for value in small.graph.initializer}
    by_channel = [scales[f"{value.name.removesuffix('_quantized')}_scale"] for value in weights]
    assert [list(dims) for dims in by_channel] == [[value.dims[0]] for value in weights]
    told = {prop.key: prop.value for prop in small.metadata_props}
    assert (told["precision"], told["digest"]) == ("int8", source.digest)


def test_int8_that_loses_too_much_is_refused_unless_forced() -> None:
    lost = Agreement(
        "scribble", 1_000, 900, 1.0, 9.0, Score("test", 990, 1_000), Score("test", 985, 1_000)
    )
    with pytest.raises(
        ShipError,
        match=r"int8 loses 0\.50 points on scribble \(99\.00 % before, 98\.50 % after\).*--force",
    ):
        accept_int8(lost, 0.4, forced=False)
    accept_int8(lost, 0.5, forced=False)
    tenth = Agreement(
        "mnist test",
        10_000,
        9_990,
        1.0,
        9.0,
        Score("test", 9_957, 10_000),
        Score("test", 9_947, 10_000),
    )
    accept_int8(tenth, 0.1, forced=False)  # a tenth is not more than a tenth
    accept_int8(lost, 0.1, forced=True)


def test_an_export_that_is_not_the_nets_equal_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = origin(nets()["speck"])
    with torch.no_grad():
        first = next(source.trained.net.parameters())
        kept = first.clone()
        first.view(-1)[0] += 0.5  # the net is another now than the graph that was taken of it
    try:
        with pytest.raises(ShipError, match="not the net's equal, and nothing was written"):
            export_onnx(source, tmp_path / "speck.onnx", digits())
        assert not list(tmp_path.iterdir())
    finally:
        with torch.no_grad():
            first.copy_(kept)


def test_images_that_are_not_the_nets_are_refused() -> None:
    source = origin(nets()["speck"])
    with pytest.raises(
        ShipError, match="has images of 3x28x28 in 10 classes, speck takes 1x28x28 and tells 10"
    ):
        images_to_compare(source, digits().with_channels(3))


def test_export_from_the_command_line(netlet: Netlet, digits_file: Path) -> None:
    code, out, err = netlet("export", "speck", "--to", "onnx", "--dataset", str(digits_file))
    assert (code, err) == (0, "")
    assert out.startswith("speck.onnx: ")
    assert "400 of 400 predictions on digits.npz test and train are the net's" in out
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
    assert told["agreement"]["images"] == 400
    assert Path("speck-int8.onnx").stat().st_size == told["size_bytes"]


def test_without_its_data_an_export_is_held_against_the_net_on_drawn_digits(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLET_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, out, err = netlet("export", "speck", "--to", "onnx", "-o", "a.onnx")
    assert code == 0
    assert "mnist is not on this machine; comparing on scribble" in err
    assert "1,000 of 1,000 predictions on scribble test" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "speck", "--to", "page", "--int8"), "the page computes in float32"),
        (
            ("export", "speck", "--to", "c", "--input", "float"),
            "--input float is for a float32 ONNX model",
        ),
        (("export", "swift", "--to", "onnx"), "swift: has weights to be told"),
        (("export", "nowhere", "--to", "onnx"), "no experiment or net 'nowhere'"),
        (("export", "speck", "--to", "tflite"), "'tflite' is not one of"),
    ],
)
def test_bad_exports_are_told_in_one_line(
    netlet: Netlet, words: tuple[str, ...], said: str
) -> None:
    code, out, err = netlet(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not list(Path().iterdir())
