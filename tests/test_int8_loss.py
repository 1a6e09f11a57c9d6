"""What the message of a refused int8 export says: which layer costs most, and why."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from fixtures.layer_nets import build
from torch import nn

from netlet.experiments import TrainedNet, load_trained_net
from netlet.export import TracedModel, quantize_onnx, reference, trace_model
from netlet.export.calibration import limit_constant_inputs, measure_channels
from netlet.export.inference_graph import Convolution, InferenceGraph
from netlet.export.int8_loss import describe_int8_loss
from netlet.export.int8_rounding import Rounding, find_c_rounding, find_onnx_rounding
from netlet.export.quantize import quantize_graph
from netlet.export.quantize_weights import QuantParams, has_narrow_sums
from netlet.export.zero_level import fold_normalization

SHAPE = (1, 8, 8)


def images(n: int = 40, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (n, *shape), dtype=torch.uint8, generator=generator)


def model_of(net: nn.Module, shape: tuple[int, int, int] = SHAPE) -> TracedModel:
    return trace_model(
        TrainedNet("net", net.eval(), shape, tuple("0123456789"), 0.0, 1.0, None, None)
    )


def two_layers() -> nn.Sequential:
    """Return a net with 20 hidden units, the values of which are alike."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    with torch.no_grad():
        net[1].weight[0] = net[1].weight[0].abs()  # it is never 0
        net[3].weight[:, 0] = torch.linspace(-2, 2, 10)
    return net


def rescale(net: nn.Sequential, factor: float) -> nn.Sequential:
    """Make a hidden unit smaller and its weights in the next layer larger: the same function."""
    with torch.no_grad():
        net[1].weight[0] /= factor
        net[1].bias[0] /= factor
        net[3].weight[:, 0] *= factor
    return net


def describe_for_c(graph: InferenceGraph) -> str:
    return describe_int8_loss(graph, images(), find_c_rounding(quantize_graph(graph, images())))


@pytest.mark.parametrize("factor", [300, 1e4, 1e6])
def test_a_channel_that_int8_loses_counts_in_the_ratio_of_channels(factor: float) -> None:
    graph = model_of(rescale(two_layers(), factor)).graph
    found = measure_channels(graph, images())[1]
    reach = np.maximum(np.abs(found.low), np.abs(found.high))
    ratio = reach.max() / reach[reach > 0].min()
    assert ratio > factor / 10
    text = describe_for_c(graph)
    assert re.fullmatch(
        r"\d+% of the error comes from the output of 1: its channels share one scale, and the "
        rf"values of one are {ratio:,.0f} times those of another",
        text,
    ), text


def test_constant_channels_do_not_count_in_the_ratio_of_channels() -> None:
    net = two_layers()
    with torch.no_grad():
        net[1].weight[1:4] = 0
        net[1].bias[1:4] = torch.tensor([1e-5, 0, -1])
    assert "values of one" not in describe_for_c(model_of(net).graph)


def test_a_small_channel_that_the_logits_hardly_depend_on_is_no_cause() -> None:
    net = two_layers()
    with torch.no_grad():
        net[1].weight[0] /= 1e4
        net[1].bias[0] = 0
    assert "values of one" not in describe_for_c(model_of(net).graph)


def test_what_clipping_the_weights_of_constant_inputs_costs_is_part_of_the_error() -> None:
    graph = model_of(rescale(two_layers(), 1e4)).graph
    limited = limit_constant_inputs(graph, measure_channels(graph, images()))
    lost = reference.compute_logits(limited, images()) - reference.compute_logits(graph, images())
    assert lost.abs().max() > 0.1
    params = find_c_rounding(quantize_graph(graph, images())).params
    text = describe_int8_loss(graph, images(), Rounding(limited, params))
    assert text.startswith("100% of the error comes from the output of 1: its channels share")


def test_the_ratio_of_weights_is_that_of_weights_before_they_are_clipped() -> None:
    net = rescale(two_layers(), 1e6)
    with torch.no_grad():
        net[3].weight[:, 1] *= 20
    graph = model_of(net).graph
    limited = limit_constant_inputs(graph, measure_channels(graph, images()))
    ratios = [
        (each.max(1) / np.median(each, 1)).max()
        for each in (np.abs(g.layers[1].weight).reshape(10, -1) for g in (graph, limited))
    ]
    assert ratios[0] > 100 * ratios[1] > 800
    rounded = find_c_rounding(quantize_graph(graph, images())).graph
    text = describe_int8_loss(graph, images(), Rounding(rounded, (None, None, None)))
    assert text.endswith(
        "the weights of 3: the weights of a channel share one scale, and the largest is "
        f"{ratios[0]:,.0f} times the median"
    )


def test_a_steep_channel_before_a_clamp_is_named() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(144, 10))
    with torch.no_grad():
        net[0].weight[1] *= 3e4
        net[0].bias[1] = 0
    graph = model_of(net).graph
    quantized = quantize_graph(graph, images())
    factor = (graph.layers[0].weight[1] / quantized.graph.layers[0].weight[1]).max()
    assert factor > 10
    rounding = Rounding(find_c_rounding(quantized).graph, (None, None, None))
    text = describe_int8_loss(graph, images(), rounding)
    found = re.search(
        r"the weights of 0: its channels share one scale, which makes the weights of one channel "
        r"(\d+) times smaller$",
        text,
    )
    assert found, text
    assert int(found[1]) == pytest.approx(factor, rel=0.1)


def test_weights_of_zero_do_not_count_in_the_ratio_of_weights() -> None:
    net = two_layers()
    with torch.no_grad():
        net[3].weight[:, 4:] = 0
        net[3].weight[:, :4] = torch.tensor([1.0, 2.3, -3.1, 4.7])
    graph = model_of(net).graph
    rounding = find_c_rounding(quantize_graph(graph, images()))
    text = describe_int8_loss(graph, images(), Rounding(rounding.graph, (None, None, None)))
    assert "times the median" not in text


def test_a_max_pooling_rounds_nothing_that_the_layer_before_has_not_rounded() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)
    )
    graph = model_of(net).graph
    rounding = find_c_rounding(quantize_graph(graph, images()))
    exact = Rounding(graph, rounding.params)
    assert describe_int8_loss(graph, images(), exact).startswith("100% of the error comes from")


@pytest.mark.parametrize("name", ["speck", "weave"])
def test_real_weights_of_c_are_those_of_the_net_rounded(name: str) -> None:
    if name == "speck":
        graph = trace_model(load_trained_net("speck")).graph
    else:
        graph = model_of(build("weave"), (1, 28, 28)).graph
    quantized = quantize_graph(graph, images(20, (1, 28, 28)))
    rounding = find_c_rounding(quantized)
    last = len(graph.layers) - 1
    kinds = set()
    for index, (layer, rounded) in enumerate(
        zip(quantized.graph.layers, rounding.graph.layers, strict=True)
    ):
        if isinstance(layer, Convolution):
            assert isinstance(rounded, Convolution)
            weight, integers = quantized.layers[index].weight, rounded.weight
            assert weight is not None
            axes = (1, 2, 3)
            unit = np.abs(integers).max(axes) / np.maximum(np.abs(weight).max(axes), 1)
            assert (np.abs(integers - layer.weight).max(axes) <= 1.001 * unit + 1e-9).all()
            assert {**vars(rounded), "weight": None} == {**vars(layer), "weight": None}
            kinds.add("logits" if index == last else has_narrow_sums(layer))
    assert len(kinds) > 1


def with_a_class_switched_off(net: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        net[-1].weight[9] = 0
        net[-1].bias[9] = -1e4
    return net


def describe_for_onnx(model: TracedModel) -> str:
    proto = quantize_onnx(model, images())
    return describe_int8_loss(model.graph, images(), find_onnx_rounding(model.graph, proto))


def test_the_rounding_of_logits_is_a_suspect_of_onnx_alone() -> None:
    model = model_of(with_a_class_switched_off(two_layers()))
    logits = measure_channels(model.graph, images())[-1]
    ratio = 1e4 / np.maximum(np.abs(logits.low), np.abs(logits.high)).min()
    assert describe_for_onnx(model) == (
        "100% of the error comes from the logits: one step of their 8 bits is 39.2, and the values "
        f"of one are {ratio:,.0f} times those of another"
    )
    assert "logits" not in describe_for_c(model.graph)


def test_logits_of_8_bits_are_a_suspect_of_c() -> None:
    class Heads(nn.Module):
        def __init__(self, bounded: bool) -> None:
            super().__init__()
            self.one, self.other, self.bounded = two_layers(), two_layers(), bounded

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.one(x) + self.other(x)
            return torch.tanh(x) if self.bounded else x

    for bounded in (False, True):
        graph = fold_normalization(model_of(Heads(bounded)).graph)
        params = find_c_rounding(quantize_graph(graph, images())).params
        assert params[-1]
        exact = Rounding(graph, (*[None] * (len(params) - 1), params[-1]))
        assert describe_int8_loss(graph, images(), exact) == (
            "100% of the error comes from the logits: one step of their 8 bits is "
            f"{params[-1].scale:.3g}"
        )


LAST_LAYERS = {
    "a linear layer": (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), False),
    "a convolution": (nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()), False),
    "a global mean": (
        nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        False,
    ),
    "tanh": (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh()), True),
    "ReLU": (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU()), True),
    "a global maximum": (
        nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        True,
    ),
}


@pytest.mark.parametrize("name", LAST_LAYERS)
def test_which_layers_give_c_logits_of_8_bits(name: str) -> None:
    net, has_8_bits = LAST_LAYERS[name]
    params = find_c_rounding(quantize_graph(model_of(net).graph, images())).params
    assert (params[-1] is not None) == has_8_bits


def test_the_loss_of_onnx_is_described_for_nets_that_resample() -> None:
    torch.manual_seed(0)
    pooled = nn.AdaptiveAvgPool2d(3)  # of 8x8: uneven means
    model = model_of(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), pooled, nn.Flatten(), nn.Linear(36, 10))
    )
    assert "of the error" in describe_for_onnx(model) or "contribute to" in describe_for_onnx(model)


def test_the_normalization_is_called_what_it_is() -> None:
    torch.manual_seed(0)
    pooled = nn.AvgPool2d(3, padding=1, count_include_pad=True)
    net = nn.Sequential(
        pooled, nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(36, 10)
    ).eval()
    graph = trace_model(
        TrainedNet("net", net, SHAPE, tuple("0123456789"), 0.13, 1.0, None, None)
    ).graph
    rounding = find_c_rounding(quantize_graph(graph, images()))
    assert rounding.params[1]
    coarse = QuantParams(50 * rounding.params[1].scale, 3)
    params = (rounding.params[0], coarse, *rounding.params[2:])
    text = describe_int8_loss(graph, images(), dataclasses.replace(rounding, params=params))
    assert "of the error comes from the output of the input normalization" in text


def test_real_weights_of_onnx_are_those_of_its_model() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.ELU(), nn.Flatten(), nn.Linear(36, 10)
    )
    model = model_of(net)
    rounding = find_onnx_rounding(model.graph, quantize_onnx(model, images()))
    assert rounding.params[0] is None
    assert all(rounding.params[number] for number in (1, 2, len(model.graph.layers)))
    assert rounding.params[1] == rounding.params[2]
    for layer, rounded in zip(model.graph.layers, rounding.graph.layers, strict=True):
        if isinstance(layer, Convolution):
            assert isinstance(rounded, Convolution)
            unit = np.abs(layer.weight).max((1, 2, 3), keepdims=True) / 64
            steps = rounded.weight / unit
            assert np.abs(steps - layer.weight / unit).max() <= 0.51
            np.testing.assert_allclose(rounded.bias, layer.bias, atol=1e-3)
            assert (rounded.weight != layer.weight).any()
