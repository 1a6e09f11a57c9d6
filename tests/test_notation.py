"""The options of nets in one line: structure, size, formula, training, exports, widths."""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from helpers import ROOT, Netlet, set_options
from torch import nn
from torch.nn import functional as F

import netlet as package
from netlet.analysis import cost, judge_cost
from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.errors import UnsupportedNetError
from netlet.backends.cpu.program_check import check_program
from netlet.budgets import Budget
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.experiments.search.fitting import Images, count_parameters, fill_budget
from netlet.export import build_inference_graph, fold_graph, reference
from netlet.nets import find_net
from netlet.nets.blocks import Repeated, UnscaledBatchNorm2d
from netlet.nets.shift_average import ShiftAverage
from netlet.recipes import Recipe
from netlet.training import Callback, Checkpoint, fit

SHAPE = (2, 11, 10)
# For each option a net of it, with its parameters counted by hand: convolutions, norms, head.
LINES: dict[str, tuple[str, int]] = {
    "norm without scale": ("4k5b P m6pb", 4 * 2 * 25 + 4 + (4 * 9 + 4) + (4 * 6 + 6) + 60),
    "convolutions used several times": (
        "4 d4p*3 m4pb*2 P 6k2b*1",
        4 * 2 * 9 + 8 + (36 + 16 + 3 * 8) + (36 + 16 + 2 * 2 * 4) + (6 * 4 * 4 + 6) + 60,
    ),
    "leaky ReLU": (
        "4l d4pbl*2 P m5l",
        (72 + 8) + (36 + 16 + 2 * 4) + (36 + 8 + 20 + 10) + 50,
    ),
    "Mish": ("4m d4pbm*2 P m5m", (72 + 8) + (36 + 16 + 2 * 4) + (36 + 8 + 20 + 10) + 50),
    "CReLU": ("c3 P d6p c4k2s2b", 3 * 2 * 9 + 6 + (54 + 36 + 12) + (4 * 6 * 4 + 4) + 80),
    "input joined to the output": (
        "3 d4+ P 2p+ x5b*1 d5pb*2+",
        (54 + 6) + (27 + 12 + 8) + (7 * 2 * 9 + 4) + (45 + 5) + (45 + 25 + 2 * 5) + 100,
    ),
    "weighted pooling": ("3s2b d19 W", (54 + 3) + (27 + 57 + 38) + 3 * 2 + 190),
    "pooling before all convolutions": ("P 4 d6", (72 + 8) + (36 + 24 + 12) + 60),
    "shift average": ("4b d6 P 5k2l W S", (72 + 4) + (36 + 24 + 12) + (120 + 10) + 2 * 2 + 50),
}


def build(line: str, shape: tuple[int, int, int] = SHAPE) -> nn.Module:
    """Return a net with statistics, scales and biases that are as different as after training."""
    net = package.build(find_net(line).builder, 0, shape)
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.5, 0.5)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        for _ in range(2):
            net.train()(images(shape=shape))
    return net


def images(n: int = 12, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(n))


def normalize(y: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    """Return batch norm by the batch's own statistics, as its formula has it."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), False, keepdim=True)
    scale = 1 if norm.weight is None else norm.weight[:, None, None]
    return (y - mean) / (var + norm.eps).sqrt() * scale + norm.bias[:, None, None]


def classify(features: torch.Tensor, net: nn.Module) -> torch.Tensor:
    """Return the logits of the mean of a map."""
    weight: torch.Tensor = net.get_parameter("head.1.weight")
    return features.mean((2, 3)) @ weight.flatten(1).T


@pytest.mark.parametrize("what", LINES)
def test_parameters_are_those_counted_by_hand(what: str) -> None:
    line, parameters = LINES[what]
    net = build(line)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert cost(net, SHAPE).parameters == parameters
    assert net(images(3)).shape == (3, 10)


@pytest.mark.parametrize("what", LINES)
def test_compiled_training_computes_the_same(what: str) -> None:
    # Compares losses, gradients, statistics and logits of the program and the net in PyTorch.
    net = build(LINES[what][0])
    check_program(net.copy_strided() if isinstance(net, ShiftAverage) else net, SHAPE)


@pytest.mark.parametrize("what", LINES)
def test_the_exported_graph_computes_the_logits(what: str) -> None:
    net = build(LINES[what][0]).eval()
    mean, std = 0.1307, 0.3081
    pixels = torch.randint(256, (20, *SHAPE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = net((pixels / 255 - mean) / std)
    graph = build_inference_graph(net, SHAPE, mean, std)
    for each in (graph, fold_graph(graph)):
        found = reference.compute_logits(each, pixels.to(torch.uint8))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("what", LINES)
def test_copies_and_stored_weights_are_the_same_net(what: str) -> None:
    line = LINES[what][0]
    net = build(line).eval()
    other = package.build(find_net(line).builder, 5, SHAPE)
    other.load_state_dict(net.state_dict())
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), other):
        assert torch.equal(twin.eval()(images()), net(images()))


def test_the_example_of_the_page_has_as_many_parameters() -> None:
    line, stated = re.findall(
        r"^For example, `(.+?)` has ([\d,]+) parameters\.$",
        (ROOT / "docs" / "notation.md").read_text(),
        re.MULTILINE,
    )[0]
    assert f"{count_parameters(line):,}" == stated


def test_mish_takes_the_place_of_relu() -> None:
    net = build("3m 3pbm")
    first, second = list(net)[:2]
    x = images()
    for padding, layer in enumerate((first, second)):
        y = normalize(F.conv2d(x, layer[0].weight, padding=padding), layer[1])
        x = y * torch.tanh(torch.log1p(torch.exp(y)))
    torch.testing.assert_close(net(images()), classify(x, net), rtol=1e-4, atol=1e-5)


def test_leaky_relu_keeps_a_fifth_of_what_is_below_zero() -> None:
    net = build("3l 3p*2 3pl*2")
    first, plain, leaky = list(net)[:3]
    assert isinstance(plain, Repeated)
    assert isinstance(leaky, Repeated)
    y = normalize(F.conv2d(images(), first[0].weight), first[1])
    x = torch.where(y < 0, 0.2 * y, y)
    for layer, slope in ((plain, 0), (leaky, 0.2)):
        ((weight,),) = (
            [convolution.weight for convolution in group] for group in layer.convolutions
        )
        for norm in layer.norms:
            y = normalize(F.conv2d(x, weight, padding=1), norm)
            x = torch.where(y < 0, slope * y, y)
    torch.testing.assert_close(net(images()), classify(x, net), rtol=1e-4, atol=1e-5)


def test_a_norm_without_scale_adds_a_bias_only() -> None:
    net = build("4b m3b")
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [type(norm) for norm in norms] == [UnscaledBatchNorm2d] * 3
    assert [key for key in net.state_dict() if "1_4b.1" in key] == [
        f"1_4b.1.{name}" for name in ("bias", "running_mean", "running_var", "num_batches_tracked")
    ]
    one, deep, wide, _ = (m.weight for m in net.modules() if isinstance(m, nn.Conv2d))
    x = F.relu(normalize(F.conv2d(images(), one), norms[0]))
    x = F.relu(normalize(F.conv2d(x, deep, groups=4), norms[1]))
    x = F.relu(normalize(F.conv2d(x, wide), norms[2]))
    torch.testing.assert_close(net(images()), classify(x, net), rtol=1e-4, atol=1e-5)
    fresh = UnscaledBatchNorm2d(3)
    nn.init.ones_(fresh.bias)
    fresh.reset_parameters()
    assert not fresh.bias.any()


def test_a_norm_without_scale_is_batch_norm_for_a_budget() -> None:
    budget = Budget(requires=("BatchNorm >= 3",))
    assert judge_cost(cost(build("4b m3b"), SHAPE), budget).passed
    assert not judge_cost(cost(build("4b d3b"), SHAPE), budget).passed


def test_repeated_convolutions_have_a_norm_for_each_use() -> None:
    net = build("4 d4p*3 m4*2")
    once, again, both = list(net)[:3]
    assert isinstance(again, Repeated)
    assert isinstance(both, Repeated)
    deep, wide = (layer.weight for layer in again.convolutions[0])
    x = F.relu(normalize(F.conv2d(images(), once[0].weight), once[1]))
    for norm in again.norms:
        x = F.conv2d(F.conv2d(x, deep, padding=1, groups=4), wide)
        x = F.relu(normalize(x, norm))
    (deep,), (wide,) = ([layer.weight for layer in group] for group in both.convolutions)
    for i in (0, 2):
        x = F.relu(normalize(F.conv2d(x, deep, groups=4), both.norms[i]))
        x = F.relu(normalize(F.conv2d(x, wide), both.norms[i + 1]))
    assert len(again.norms) == 3
    assert len(both.norms) == 4
    torch.testing.assert_close(net(images()), classify(x, net), rtol=1e-4, atol=1e-5)
    # Each use has statistics of its own.
    assert not torch.equal(again.norms[0].running_mean, again.norms[1].running_mean)


def test_crelu_is_the_relu_of_a_map_and_of_its_negative() -> None:
    net = build("c3 4")
    first, second = list(net)[:2]
    y = normalize(F.conv2d(images(), first[0].weight), first[1])
    x = torch.cat((F.relu(y), F.relu(-y)), 1)
    x = F.relu(normalize(F.conv2d(x, second[0].weight), second[1]))
    torch.testing.assert_close(net(images()), classify(x, net), rtol=1e-4, atol=1e-5)


def test_an_input_is_joined_to_the_output_at_its_center() -> None:
    net = build("3 4k4+ d7+ x2+")
    first, second, third, fourth = list(net)[:4]
    x = F.relu(normalize(F.conv2d(images(), first[0].weight), first[1]))  # 3 9 8
    y = F.relu(normalize(F.conv2d(x, second.layer[0].weight), second.layer[1]))  # 4 6 5
    x = torch.cat((x[:, :, 1:7, 1:6], y), 1)
    y = F.conv2d(F.conv2d(x, third.layer[0].weight, groups=7), third.layer[1].weight)
    y = F.relu(normalize(y, third.layer[2]))  # 7 4 3
    x = torch.cat((x[:, :, 1:5, 1:4], y), 1)
    y = F.relu(normalize(F.conv2d(x, fourth.layer[0].weight), fourth.layer[1]))
    x = torch.cat((x, y), 1)
    torch.testing.assert_close(net(images()), classify(x, net), rtol=1e-4, atol=1e-5)


def test_the_mean_of_a_map_with_a_cropped_input_is_a_global_average() -> None:
    assert judge_cost(cost(build("3 4+"), SHAPE), Budget(requires=("GAP",))).passed


def test_all_channels_share_the_weights_of_places() -> None:
    net = build("3s2 4 W")
    weight = net.get_parameter("head.0.weight")
    assert weight.shape == (1, 1, 3, 2)
    assert torch.equal(weight, torch.full_like(weight, 1 / 6))
    average = build("3s2 4")
    torch.testing.assert_close(net(images()), average(images()))
    nn.init.normal_(weight)
    x = nn.Sequential(*list(net)[:-1])(images())
    logits = (x * weight).sum((2, 3)) @ net.get_parameter("head.1.weight").flatten(1).T
    torch.testing.assert_close(net(images()), logits)
    assert not judge_cost(cost(net, SHAPE), Budget(requires=("GAP",))).passed


@pytest.mark.parametrize(
    "line",
    [
        "4b d6b P d7b W",
        "3 P 4l+ P 5k2",
        "6s2 x8 d5+ W",
        "4 d4*3 P m6+ c3",
        "5k4 P 4k2s2",
        "P 4b 5k2",
    ],
)
def test_all_shifts_of_the_image_are_averaged(line: str) -> None:
    shape = (2, 27, 24)
    alone, averaged = (build(each, shape).double().eval() for each in (line, f"{line} S"))
    averaged.load_state_dict(alone.state_dict())
    x = images(shape=shape).double()
    bordered = F.pad(x, (1, 1, 1, 1), mode="replicate")
    places = [(down, right) for down in range(3) for right in range(3)]
    shifted = [alone(bordered[..., y : y + 27, z : z + 24]) for y, z in places]
    assert (shifted[0] - shifted[4]).abs().max() > 1e-5
    torch.testing.assert_close(averaged(x), sum(shifted) / 9, atol=1e-12, rtol=1e-9)
    assert isinstance(averaged, ShiftAverage)
    strided = averaged.copy_strided()
    assert [*map(str, strided.modules())] == [*map(str, alone.modules())]
    assert torch.equal(strided.eval()(x), alone(x))


def test_weights_of_places_that_are_not_trained_are_not_compiled() -> None:
    net = build("3s2 4 W")
    weight = net.get_submodule("head.0").weight
    del net.get_submodule("head.0").weight
    net.get_submodule("head.0").register_buffer("weight", weight.detach())
    with pytest.raises(UnsupportedNetError, match=r"head\.0 \(conv2d\) has weights that are not"):
        read_program(net, SHAPE)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "4 d6*3",
            r"layer 2 of '4 d6\*3', d6\*3, runs one layer 3 times, so .* \(6\) as .* \(4\); "
            r"write d6 d6\*2 for two layers",
        ),
        ("4 6p*2", r"output channels \(6\) as input channels \(4\); write 6p 6p for two layers"),
        ("4 4k5*4", r"layer 2 of '4 4k5\*4', 4k5\*4, has an empty feature map; add padding"),
        ("c2 c2*3", r"'c2\*3' in 'c2 c2\*3': a layer with CReLU is used once; write c2"),
        ("c2l 2", r"'c2l' in 'c2l 2': CReLU, of c, is its activation .*; drop the c or the l"),
        ("c2m 2", r"'c2m' in 'c2m 2': CReLU, of c, is its activation .*; drop the c or the m"),
        ("4 W 6", r"'W' in '4 W 6' is not at the end; write W and S last"),
        ("4 S W", r"'S' in '4 S W' is not at the end; write W and S last"),
        ("W 4", r"'W' in 'W 4' is not at the end; write W and S last"),
        ("W S", r"'W S' has no layer; write a number of channels \(16\), x16"),
        ("4 6p S", r"'6p' in '4 6p S' has padding, whose zeros .*; drop the p or the S"),
        ("4 6k2+ S", r"'6k2\+' in '4 6k2\+ S' joins .*; use an odd kernel size, like k3, or drop"),
        ("4 4s2*2 S", r"'4s2\*2' in '4 4s2\*2 S' has a stride and is used .*; drop the stride or"),
        ("4 6s2+", r"'6s2\+' in '4 6s2\+': a stride makes .*; drop the stride or the \+"),
        ("4 6k4p+", r"padding makes .*; use an odd kernel size, like k5"),
        ("4 6+*2", r"'6\+\*2' in '4 6\+\*2' is not a layer; write a number of"),
        ("4 4*0", r"'4\*0' in '4 4\*0' is not a layer; .*; docs/notation\.md lists"),
        ("4 4p*99 4p*99 4p*2", r"the notation 4 4p\*99 \.\.\. has 201 layers; write at most 200"),
    ],
)
def test_what_cannot_be_built_is_reported(line: str, why: str) -> None:
    with pytest.raises(NetError, match=why):
        package.build(find_net(line).builder, 0, SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("what", LINES)
def test_a_net_of_each_option_is_shown_checked_trained_and_exported(
    what: str, netlet: Netlet, blobs_for_mnist: Path
) -> None:
    line = LINES[what][0]
    code, out, _ = netlet("show", line)
    assert (code, line in out) == (0, True)
    Path("small.toml").write_text("params_below = 2_000\n")
    assert netlet("check", line, "--budget", "small.toml")[0] == 0
    words = ("train", line, "--recipe", "quick", "--budget", "small.toml", "--out", "run")
    options = set_options(epochs=4, batch_size=20, backend="compiled")
    code, out, err = netlet(*words, *options)
    assert code == 0, err
    record = json.loads(Path("run/run.json").read_text())
    assert record["cost"]["parameters"] == count_parameters(line)
    for to in (("onnx",), ("onnx", "--int8"), ("c",), ("c", "--int8"), ("page",)):
        code, out, err = netlet("export", "run", "--to", *to, *(["--force"] if to[1:] else []))
        assert (code, "predictions match PyTorch" in out or to[1:] != ()) == (0, True), err


class KeepsFirst(Callback):
    """Keeps the checkpoint after the first epoch."""

    kept: Checkpoint | None = None

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.kept = self.kept or (copy.deepcopy(checkpoint) if checkpoint.epochs else None)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_resumed_training_of_all_options_is_bit_identical(
    backend: str, blob_data: Dataset
) -> None:
    recipe = Recipe(epochs=3, batch_size=50, peak_lr=0.02, backend=backend)
    builder, callback = find_net("c3b P d6pl*2+ m7b W").builder, KeepsFirst()
    whole, resumed = (package.build(builder, seed) for seed in (0, 1))
    fit(whole, blob_data, recipe, callbacks=[callback])
    run = fit(resumed, blob_data, recipe, resume=callback.kept)
    assert run.resumed_after == (1,)
    for mine, other in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


SHAPES = {
    "norm without scale": "1b P m1.5pb 2b",
    "convolutions used several times": "1 d1.7 P d1.7p*4 2 2pb*2",
    "leaky ReLU": "1l P d1.5bl 2l",
    "Mish": "1m P m1.5bm 2m",
    "CReLU": "c1 d2p*2 P 2.5 c1.5",
    "input joined to the output": "1 d0.5+ P 1.5p*2+ 2",
    "weighted pooling": "1 P m1.5p W",
    "shift average": "1 d1.5b P 2 W S",
}


@pytest.mark.parametrize("what", SHAPES)
def test_widths_are_found_for_a_shape(what: str) -> None:
    shape = SHAPES[what]
    net = fill_budget(shape, Budget(params_below=900), Images())
    assert 800 < count_parameters(net) < 900
    words, ratios = net.split(), shape.split()
    assert [word.lstrip("xdmc0123456789.") for word in words] == [
        word.lstrip("xdmc0123456789.") for word in ratios
    ]


def test_a_layer_that_is_used_again_is_as_wide_as_what_it_reads() -> None:
    words = fill_budget("1 d1.7 P d1.7p*4 x3", Budget(params_below=1_500), Images()).split()
    assert words[1][1:] == words[3].removesuffix("p*4")[1:]
    with pytest.raises(
        NetError, match=r"layer 4 of the shape '1 d1\.7 P d2p\*4', d2p\*4, .*; write d1\.7p\*4"
    ):
        fill_budget("1 d1.7 P d2p*4", Budget(params_below=1_500), Images())
    # A dense connection adds the channels of its input.
    words = fill_budget("1 d0.5+ P 1.5p*2+", Budget(params_below=900), Images()).split()
    assert int(words[3].removesuffix("p*2+")) == int(words[0]) + int(words[1][1:-1])
    with pytest.raises(NetError, match=r"'1\*2 P' has no width to choose; begin with a layer that"):
        fill_budget("1*2 P", Budget(params_below=1_500), Images())
