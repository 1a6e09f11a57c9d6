"""Every operation that exports support, in a net of its own, by every export.

The page computes them in ``test_page.py``.
"""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from fixtures.layer_nets import LAYERS, build
from helpers import few_fast

from netlet.backends.cpu.compiler import find_compiler
from netlet.backends.cpu.errors import CompilationError
from netlet.data.batches import normalize
from netlet.experiments import TrainedNet
from netlet.export import (
    OnnxPredictor,
    TracedModel,
    build_onnx,
    build_page,
    int8_reference,
    quantize_onnx,
    reference,
    trace_model,
)
from netlet.export.c_build import STRICT, library_predictor, load_library
from netlet.export.c_program import SOURCE, generate_program
from netlet.export.map_layers import find_offsets
from netlet.export.quantize import quantize_graph
from netlet.graph import Tracer
from netlet.recipes import Recipe

FLAGS = (*STRICT, "-Werror", "-O0")


@functools.cache
def model_of(name: str) -> TracedModel:
    return trace_model(
        TrainedNet(name, build(name), (1, 28, 28), tuple("0123456789"), 0.1307, 0.3081, None, None)
    )


@functools.cache
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (40, 1, 28, 28), dtype=torch.uint8, generator=generator)


@functools.cache
def logits_of(name: str) -> torch.Tensor:
    with torch.inference_mode():
        return model_of(name).source.net(normalize(images(), Recipe()))


def test_a_net_is_traced_once_for_all_exports_and_analyzed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = model_of("chunks").source
    runs: list[Tracer] = []
    run = Tracer.run
    monkeypatch.setattr(Tracer, "run", lambda tracer: (runs.append(tracer), run(tracer))[1])
    model = trace_model(source)
    assert len(runs) == 1 + 3
    build_page(model)
    build_onnx(model)
    assert len(runs) == 4


def assert_close(name: str, found: torch.Tensor) -> None:
    torch.testing.assert_close(found, logits_of(name), atol=5e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("name", few_fast(["weave", *LAYERS], 5))
def test_graph_and_onnx_model_compute_the_nets_logits(name: str) -> None:
    assert_close(name, reference.compute_logits(model_of(name).graph, images()))
    assert_close(name, OnnxPredictor(build_onnx(model_of(name)))(images()))


def compiler_or_skip() -> None:
    try:
        find_compiler()
    except CompilationError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", few_fast(["weave", *LAYERS], 1))
def test_c_program_computes_the_nets_logits(name: str) -> None:
    compiler_or_skip()
    texts = generate_program(model_of(name))
    assert_close(name, library_predictor(load_library(texts, FLAGS), 10)(images()))
    assert "#include <math.h>" not in texts[SOURCE]


def test_a_norm_of_a_constant_map_is_as_exact_as_others() -> None:
    compiler_or_skip()
    model = model_of("an instance norm")
    blank = torch.full((1, 1, 28, 28), 200, dtype=torch.uint8)
    recipe = Recipe()
    with torch.inference_mode():
        levels = (blank.double() / 255 - recipe.mean) / recipe.std
        exact = copy.deepcopy(model.source.net).double()(levels)
    found = library_predictor(load_library(generate_program(model), FLAGS), 10)(blank)
    # Divided by the deviation of such a map, any error of its mean is 300 times as large.
    torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", few_fast(["weave", *LAYERS], 1))
def test_int8_program_equals_its_reference_and_is_close_to_the_net(name: str) -> None:
    compiler_or_skip()
    quantized = quantize_graph(model_of(name).graph, images())
    integers = int8_reference.compute_logits(quantized, images().numpy())
    expected = integers.astype(np.float32) * np.float32(quantized.logit_scale)
    texts = generate_program(model_of(name), quantized)
    found = library_predictor(load_library(texts, FLAGS), 10)(images())
    np.testing.assert_array_equal(found.numpy(), expected)
    error = (found - logits_of(name)).square().mean().sqrt()
    assert 0 < float(error) < 0.1 * float(logits_of(name).std())


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O0",), ("-O1", "-march=native")], ids=" ".join)
def test_programs_under_a_sanitizer_compute_the_nets_logits(flags: tuple[str, ...]) -> None:
    compiler_or_skip()
    flags = (*STRICT, "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all", *flags)
    texts = generate_program(model_of("weave"))
    assert_close("weave", library_predictor(load_library(texts, flags), 10)(images()))
    quantized = quantize_graph(model_of("weave").graph, images())
    integers = int8_reference.compute_logits(quantized, images().numpy())
    texts = generate_program(model_of("weave"), quantized)
    found = library_predictor(load_library(texts, flags), 10)(images()).numpy()
    expected = integers.astype(np.float32) * np.float32(quantized.logit_scale)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weave", *LAYERS])
def test_int8_onnx_model_is_close_to_the_net(name: str) -> None:
    found = OnnxPredictor(quantize_onnx(model_of(name), images()))(images())
    error = (found - logits_of(name)).square().mean().sqrt()
    assert 0 < float(error) < 0.2 * float(logits_of(name).std())


def kinds_of(name: str) -> list[str]:
    return [layer.kind for layer in model_of(name).graph.layers[1:]]


def test_moves_that_follow_each_other_are_one_layer_or_part_of_the_weights() -> None:
    assert kinds_of("a channel shuffle") == ["rearrangement", "convolution", "convolution"]
    # Batch norm and ReLU after a transposed convolution are part of it.
    for name in ("one that doubles", "one with gaps"):
        assert kinds_of(name) == ["convolution", "rearrangement", "convolution"]
    # A linear layer reads the elements wherever they are.
    assert kinds_of("nn.ChannelShuffle") == ["convolution"]
    # Channels last, as in ConvNeXt, cost nothing but two copies that C leaves out.
    texts = generate_program(model_of("channels last"))
    assert "rearrange(" not in texts[SOURCE]


def test_onnx_has_names_for_moves() -> None:
    for name, expected in (
        ("a slice of rows", ["Slice"]),
        ("one that doubles", ["DepthToSpace"]),
        ("a pixel unshuffle", ["SpaceToDepth", "Gather"]),
        ("padding with ones", ["Pad"]),
        ("a permutation", ["Transpose"]),
    ):
        nodes = [node.op_type for node in build_onnx(model_of(name)).graph.node]
        moves = [node for node in nodes if node not in ("Cast", "Conv", "Relu", "Flatten", "Mul")]
        assert moves == expected, name


def test_offsets_give_back_the_places_they_were_found_for() -> None:
    rng, shape = np.random.default_rng(0), (3, 4, 5)
    whole = np.arange(60).reshape(shape)
    moved = whole[rng.permutation(3)][:, [0, 2, 2, 1]][:, :, ::-1]
    padded = np.pad(moved, ((1, 0), (0, 2), (1, 1)), constant_values=-1)
    found = find_offsets(padded, shape)
    assert found is not None
    from netlet.export.map_layers import Rearrangement

    layer = Rearrangement("", (0,), padded.shape, *found)  # type: ignore[arg-type]
    np.testing.assert_array_equal(layer.places(shape), padded)
    assert find_offsets(rng.permutation(60).reshape(shape), shape) is None
