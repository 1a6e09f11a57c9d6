"""Input normalization before padded convolutions: in int8 it is a part of them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from nets_to_export import digits
from torch import nn
from torch.nn import functional as F

from netlet.experiments import TrainedNet
from netlet.export import (
    InferenceGraph,
    OnnxPredictor,
    TracedModel,
    export_onnx,
    int8_reference,
    quantize,
    reference,
    trace_model,
)
from netlet.export.c_build import library_predictor, load_library
from netlet.export.c_program import generate_program
from netlet.export.quantize import quantize_graph
from netlet.export.zero_level import fold_normalization

MEAN, STD = 0.1307, 0.3081
GRAY_33 = (33 / 255 - MEAN) / STD  # after normalization


def images() -> torch.Tensor:
    return digits().held_out.images[:60]


class Pad(nn.Module):
    """Padding with one value.

    Args:
        value: The value, after normalization.
    """

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, (2, 2, 2, 2), value=self.value)


class Join(nn.Module):
    """Several layers of one input, one beside the other; without a layer, the input itself."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self.layers], 1)


def model_of(
    *first: nn.Module,
    mean: float = MEAN,
    std: float = STD,
    shape: tuple[int, int, int] = (1, 28, 28),
) -> TracedModel:
    """Return a net that begins with these layers."""
    torch.manual_seed(0)
    body = nn.Sequential(*first, nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    with torch.no_grad():
        features = body(torch.zeros(1, *shape)).shape[1]
    net = nn.Sequential(body, nn.Linear(features, 10))
    labels = tuple("0123456789")
    return trace_model(TrainedNet("net", net.eval(), shape, labels, mean, std, None, None))


def conv(padding: int = 0, size: int = 3, colors: int = 1, mode: str = "zeros") -> nn.Conv2d:
    """Return a convolution that always has the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(colors, 8, size, padding=padding, padding_mode=mode)


def negative() -> nn.BatchNorm2d:
    """Return a batch norm that turns black into white."""
    norm = nn.BatchNorm2d(1)
    with torch.no_grad():
        norm.weight.fill_(-1)
        norm.bias.fill_(0.5)
    return norm


def errors_of_int8(graph: InferenceGraph) -> torch.Tensor:
    found = int8_reference.numpy_predictor(quantize_graph(graph, images()))(images())
    return found - reference.compute_logits(graph, images())


FOLDED = {
    "zeros": (nn.ZeroPad2d(2), conv()),
    "padding of the convolution": (conv(1),),
    "mirrored": (conv(1, mode="reflect"),),
    "black": (Pad(-MEAN / STD), conv()),
    "two convolutions": (Join(conv(1), conv(2, size=5)),),
    "after a max pooling": (nn.MaxPool2d(2), conv(1)),
    "before a max pooling": (nn.ZeroPad2d(1), nn.MaxPool2d(2), conv(1)),
}


@pytest.mark.parametrize("case", FOLDED)
def test_int8_has_no_layer_for_the_normalization(case: str) -> None:
    graph = model_of(*FOLDED[case]).graph
    quantized = quantize_graph(graph, images())
    assert len(quantized.graph.layers) == len(graph.layers) - 1
    assert "input" not in [layer.name for layer in quantized.graph.layers]
    assert (quantized.params[0].scale, quantized.params[0].zero_point) == (1, 33)


def test_only_padding_with_zeros_differs_from_the_net() -> None:
    for first in (FOLDED["mirrored"], FOLDED["black"]):
        graph = model_of(*first).graph
        found, expected = (
            reference.compute_logits(each, images()) for each in (fold_normalization(graph), graph)
        )
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    padded, expected = (
        reference.compute_logits(each, images())
        for each in (
            fold_normalization(model_of(nn.ZeroPad2d(2), conv()).graph),
            model_of(Pad(GRAY_33), conv()).graph,
        )
    )
    torch.testing.assert_close(padded, expected, atol=1e-5, rtol=1e-5)


def test_int8_does_not_shift_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    blur = conv(1)
    with torch.no_grad():
        nn.init.constant_(blur.weight, 1 / 9)
        nn.init.ones_(blur.bias)  # no value is below zero
    graph = model_of(blur).graph

    def find_shift() -> float:
        """Return the mean error of blurred pixels, in gray levels."""
        quantized = quantize_graph(graph, images())
        (number,) = (n for n, layer in enumerate(quantized.graph.layers, 1) if layer.name == "0.0")
        integers = int8_reference.compute_maps(quantized, images().numpy())[number]
        params = quantized.params[number]
        real = (torch.from_numpy(integers) - params.zero_point) * params.scale
        with torch.no_grad():
            exact = blur((images() / 255 - MEAN) / STD)
        gray = exact > exact.min()  # black is a single value, which may be rounded far
        gray[..., (0, -1), :] = gray[..., :, (0, -1)] = False  # they depend on the padding
        return float((real - exact)[gray].mean().abs() * 255 * STD)

    assert find_shift() < 0.05
    monkeypatch.setattr(quantize, "fold_normalization", lambda graph: graph)
    assert find_shift() > 0.3


def test_c_computes_the_integers_of_padded_convolutions() -> None:
    for case in ("padding of the convolution", "two convolutions", "before a max pooling"):
        model = model_of(*FOLDED[case])
        quantized = quantize_graph(model.graph, images())
        program = load_library(generate_program(model, quantized))
        found = library_predictor(program, 10, "netlet")(images())
        expected = int8_reference.numpy_predictor(quantized)(images())
        torch.testing.assert_close(found, expected.to(found.dtype), atol=0, rtol=1e-6, msg=case)


def test_onnx_in_int8_reads_gray_levels_from_zero(tmp_path: Path) -> None:
    model, path = model_of(conv(1)), tmp_path / "net.onnx"
    export_onnx(model, path, digits(), int8=True, max_accuracy_drop=100.0)
    proto = onnx.load(path)
    assert sum(node.op_type == "Conv" for node in proto.graph.node) == 2
    levels = {
        each.name: onnx.numpy_helper.to_array(each).item()
        for each in proto.graph.initializer
        if each.name in ("gray_scale", "gray_zero_point")
    }
    assert levels == {"gray_scale": 1, "gray_zero_point": 33}
    expected = reference.compute_logits(model.graph, images())
    error = (OnnxPredictor(proto)(images()) - expected).square().mean().sqrt()
    assert error < 0.1 * expected.std(0).mean()


KEPT = {
    "something else reads the image": (Join(conv(1), nn.AvgPool2d(3, 1, 1)), MEAN),
    "the image is a channel of the next map": (Join(conv(1), nn.Identity()), MEAN),
    "zero is darker than black": (conv(1), -0.2),
    "zero is brighter than white": (conv(1), 1.2),
    "padding darker than black": (nn.Sequential(Pad(-1.0), conv()), MEAN),
    "a scale that turns the image around": (nn.Sequential(negative(), conv(1)), MEAN),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_cannot_be_folded_stays_a_layer(case: str) -> None:
    first, mean = KEPT[case]
    graph = model_of(first, mean=mean).graph
    assert fold_normalization(graph) is graph
    variance = reference.compute_logits(graph, images()).var(0).mean()
    assert errors_of_int8(graph).square().mean() < 0.02 * variance


def test_padding_of_images_of_few_gray_levels_stays_exact() -> None:
    for level, std, same in ((33.5, 0.3081, False), (2.5, 0.0177, True), (3.01, 0.0177, False)):
        graph = model_of(conv(1), mean=level / 255, std=std).graph
        assert (fold_normalization(graph) is graph) == same


def test_without_a_mean_normalization_is_folded_into_padded_convolutions_exactly() -> None:
    graph = model_of(conv(1), mean=0.0).graph
    assert "input" not in [layer.name for layer in graph.layers]
    assert fold_normalization(graph) is graph


def test_normalization_of_colors_is_folded() -> None:
    graph = model_of(conv(1, colors=3), shape=(3, 28, 28)).graph
    colors = images().expand(-1, 3, -1, -1).roll((1, 2), (2, 3)).contiguous()
    quantized = quantize_graph(graph, colors)
    assert quantized.graph.zero_level == 33
    found = int8_reference.numpy_predictor(quantized)(colors)
    expected = reference.compute_logits(graph, colors)
    assert (found - expected).square().mean() < 0.01 * expected.var(0).mean()
