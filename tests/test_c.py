"""C exports: compiled strictly, run under sanitizers, and compared with the reference.

The reference of float32 is the graph run by PyTorch; int8 equals the NumPy reference bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import math
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import few_fast, linux_only, vector_widths
from nets_to_export import digits, net_named
from torch import nn

from netlet.backends.cpu.compiler import Compiler, find_compiler
from netlet.backends.cpu.errors import CompilationError, NoCompilerError
from netlet.data import Dataset
from netlet.errors import ExportError
from netlet.experiments import TrainedNet, load_trained_net
from netlet.export import (
    InferenceGraph,
    TracedModel,
    build_onnx,
    int8_reference,
    reference,
    trace_model,
)
from netlet.export.arena import Arena, lifetimes, plan_arena
from netlet.export.c_build import SMALL, STRICT, library_predictor, load_library, measure_build
from netlet.export.c_export import export_c
from netlet.export.c_program import HEADER, SOURCE, generate_program
from netlet.export.inference_graph import (
    Activation,
    Concatenation,
    Convolution,
    Layer,
    Pooling,
    Product,
    Sum,
    output_shape,
)
from netlet.export.quantize import QuantizedGraph, quantize_graph
from netlet.nets import list_shipped_weights

try:
    find_compiler()
except CompilationError as reason:
    pytest.skip(str(reason), allow_module_level=True)

IMAGES = 6
# -O0 compiles the code for size, as -Os does, one element at a time; -O1 the vectorized code.
SANITIZED = (*STRICT, "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
VECTORS = (*STRICT, "-Werror", "-O1")
MAIN = """
#include "netlet.h"
#include <stdio.h>

int main(void)
{
    static const char *const labels[] = NETLET_LABELS;
    uint8_t image[NETLET_IMAGE_BYTES];
    float scores[NETLET_CLASSES];
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
        const int found = netlet_predict(image, scores);
        printf("%d", found);
        for (int k = 0; k < NETLET_CLASSES; k++)
            printf(" %a", (double)scores[k]);
        printf(" %s\\n", labels[found]);
    }
    return 0;
}
"""


class Signed(nn.Module):
    """Products and sums of feature maps with values of both signs."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 6, 3)
        self.two = nn.Conv2d(1, 6, 3)
        self.head = nn.Linear(6 * 4 * 3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = self.one(x), self.two(x)
        return self.head((one * two + two).flatten(1))


WINDOW, BORDER = (
    "windows as wide as a padded map",
    "depthwise over the border, a mean that counts zeros",
)
FEW = "depthwise of three channels over the border"
BOUNDS = "clamps, strides and channels that fill no vector"
DENSE = "windows that lie in the input as they are read, longer than any other"
LINEAR, POINTWISE = "linear layers only", "pointwise convolutions only"
DEPTHWISE, POOLING = "depthwise convolutions only", "pooling only"


class Clamp(nn.Module):
    """Clamps to bounds that are not those of a ReLU."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(self.low, self.high)


ODD: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {
    "color, ending in a mean": (
        nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, bias=False),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(5, 4, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        (3, 11, 9),
    ),
    "ending in a ReLU": (nn.Sequential(nn.Flatten(), nn.Linear(30, 4), nn.ReLU()), (1, 6, 5)),
    "signed": (Signed(), (1, 6, 5)),
    DENSE: (
        nn.Sequential(
            nn.Conv2d(1, 8, 2),
            nn.ReLU(),
            nn.Conv2d(8, 16, 1),
            nn.ReLU(),
            nn.Conv2d(16, 8, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(160, 4),
        ),
        (1, 6, 5),
    ),
    "one layer": (nn.Sequential(nn.Flatten(), nn.Linear(30, 4)), (1, 6, 5)),
    WINDOW: (
        nn.Sequential(
            nn.Conv2d(2, 23, (3, 5), padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(23, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 4, (4, 1), groups=4),
            nn.Flatten(),
        ),
        (2, 4, 5),
    ),
    FEW: (
        nn.Sequential(
            nn.Conv2d(1, 3, (1, 4), (2, 1), padding=(0, 1)),
            nn.Conv2d(3, 3, (1, 2), (2, 1), padding=2, groups=3),
            nn.Flatten(),
            nn.Linear(3 * 3 * 42, 4),
        ),
        (1, 1, 40),
    ),
    BOUNDS: (
        nn.Sequential(
            nn.Conv2d(1, 13, 3),
            Clamp(0.5, 2.0),
            nn.MaxPool2d(2, 1),
            nn.Conv2d(13, 13, 3, padding=1, groups=13),
            Clamp(-2.0, -0.5),
            nn.Conv2d(13, 27, 1),
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(27, 27, (2, 3), 2, groups=27),
            nn.ReLU6(),
            nn.Conv2d(27, 18, 1, groups=3),
            nn.Conv2d(18, 18, 2, groups=18),
            nn.MaxPool2d((1, 2), padding=(0, 1)),
            nn.Flatten(),
            nn.Linear(18 * 1 * 2, 4),
        ),
        (1, 12, 11),
    ),
    BORDER: (
        nn.Sequential(
            nn.Conv2d(1, 21, 3),
            nn.Conv2d(21, 21, 3, padding=2, dilation=2, groups=21),
            nn.ReLU(),
            nn.AvgPool2d(3, 2, padding=1),
            nn.Flatten(),
            nn.Linear(21 * 3 * 2, 4),
        ),
        (1, 7, 6),
    ),
    # Nets that lack most kinds of layers.
    LINEAR: (
        nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)),
        (1, 4, 4),
    ),
    POINTWISE: (
        nn.Sequential(
            nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        (4, 6, 5),
    ),
    DEPTHWISE: (
        nn.Sequential(
            nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 4, (4, 3), groups=4), nn.Flatten()
        ),
        (4, 6, 5),
    ),
    POOLING: (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), (4, 6, 5)),
}


@functools.cache
def model_of(name: str) -> TracedModel:
    if name in ODD:
        net, shape = ODD[name]
        torch.manual_seed(0)
        for p in net.parameters():
            nn.init.uniform_(p, -0.5, 0.5)
        return trace_model(
            TrainedNet(
                name, net.eval(), shape, ("a", 'b"\\', "ö", "*/"), 0.1307, 0.3081, None, None
            )
        )
    return trace_model(net_named(name))


def images_of(name: str, n: int = IMAGES) -> torch.Tensor:
    if name in ODD:
        return torch.randint(
            256, (n, *ODD[name][1]), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
        )
    return digits().held_out.images[:n]


@functools.cache
def int8_graph_of(name: str) -> QuantizedGraph:
    seen = images_of(name, 40) if name in ODD else digits().train.images[:100]
    return quantize_graph(model_of(name).graph, seen)


@functools.cache
def program_of(name: str, kind: str) -> dict[str, str]:
    return generate_program(model_of(name), int8_graph_of(name) if kind == "int8" else None)


def expected_logits(name: str, kind: str) -> np.ndarray:
    """Return the reference logits; those of int8 scaled as the C program scales them."""
    if kind == "float32":
        return reference.compute_logits(model_of(name).graph, images_of(name)).numpy()
    found = int8_reference.compute_logits(int8_graph_of(name), images_of(name).numpy()).astype(
        np.float32
    )
    return found * np.float32(int8_graph_of(name).logit_scale)


def assert_logits(name: str, kind: str, actual: np.ndarray) -> None:
    expected = expected_logits(name, kind)
    if kind == "float32":
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    else:
        np.testing.assert_array_equal(actual, expected)


def run_program(
    texts: dict[str, str], flags: Sequence[str], images: torch.Tensor, folder: Path
) -> list[list[str]]:
    """Compile and run a program; return the words of each line that it prints."""
    for name, text in {**texts, "main.c": MAIN}.items():
        (folder / name).write_text(text)
    command = [*find_compiler().command, *flags, SOURCE, "main.c", "-o", "program"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = subprocess.run(
        [folder / "program"], input=images.numpy().tobytes(), capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    return [line.split(" ") for line in run.stdout.decode().splitlines()]


KINDS = ("float32", "int8")
COMBINATIONS = [
    (name, kind)
    for name in ("speck", "braid", "smooth", *ODD, "mnistnet_1", "pyramid")
    for kind in KINDS
]
# A large sanitized program takes long to compile; one of a real net is tried by default.
LARGE = {(name, kind) for name in ("speck", "mnistnet_1", "pyramid") for kind in KINDS}
LARGE_LAST = sorted(COMBINATIONS, key=(LARGE - {("speck", "int8")}).__contains__)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), few_fast(LARGE_LAST, 8))
def test_program_under_sanitizers_computes_the_reference_logits(
    name: str, kind: str, tmp_path: Path
) -> None:
    lines = run_program(program_of(name, kind), (*SANITIZED, "-O0"), images_of(name), tmp_path)
    scores = np.array([[float.fromhex(word) for word in line[1:-1]] for line in lines], np.float32)
    assert_logits(name, kind, scores)
    assert [int(line[0]) for line in lines] == scores.argmax(1).tolist()
    labels = model_of(name).source.class_names
    assert [line[-1] for line in lines] == [labels[int(line[0])] for line in lines]


@pytest.mark.parametrize(
    ("name", "kind", "flags"),
    [
        (WINDOW, "float32", ("-march=native",)),
        (BORDER, "int8", ("-march=native",)),
        # Without VNNI windows are gathered that otherwise are read where they are.
        (DENSE, "int8", vector_widths()[1]),
    ],
)
def test_vectorized_program_under_sanitizers_computes_the_reference_logits(
    name: str, kind: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    lines = run_program(
        program_of(name, kind), (*SANITIZED, "-O1", *flags), images_of(name), tmp_path
    )
    assert_logits(
        name,
        kind,
        np.array([[float.fromhex(word) for word in line[1:-1]] for line in lines], np.float32),
    )


@pytest.mark.parametrize("flags", vector_widths(), ids=" ".join)
@pytest.mark.parametrize(
    ("name", "kind"),
    few_fast([(BORDER, "float32"), (WINDOW, "int8"), (DENSE, "int8"), (BOUNDS, "int8")], 3),
)
def test_each_vector_width_computes_the_reference_logits(
    name: str, kind: str, flags: tuple[str, ...]
) -> None:
    if "-U__SSE2__" in flags and kind == "float32":
        pytest.skip("float32 has the same vectors with all of these flags")
    library = load_library(program_of(name, kind), (*VECTORS, *flags))
    assert_logits(name, kind, library_predictor(library, 4)(images_of(name)).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_vectorized_program_supports_every_kind_of_layer(kind: str) -> None:
    assert_logits(
        "braid",
        kind,
        library_predictor(load_library(program_of("braid", kind), (*VECTORS, "-march=native")), 10)(
            images_of("braid")
        ).numpy(),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"), [("mnistnet_1", "float32"), ("mnistnet_1", "int8"), ("braid", "float32")]
)
def test_one_wrong_weight_in_any_layer_changes_the_logits(name: str, kind: str) -> None:
    texts = dict(program_of(name, kind))
    number = "float" if kind == "float32" else "int8_t"
    texts[SOURCE] = texts[SOURCE].replace(f"static const {number} weights_", f"{number} weights_")
    library = load_library(texts, ("-std=c99", "-O0"))
    answer = library_predictor(library, 10)
    assert_logits(name, kind, answer(images_of(name)).numpy())

    def changes_logits(weights: np.ndarray, at: int) -> bool:
        kept, weights[at] = weights[at], 0
        try:
            assert_logits(name, kind, answer(images_of(name)).numpy())
        except AssertionError:
            return True
        finally:
            weights[at] = kept
        return False

    sizes = re.findall(rf"^{number} (weights_\d+)\[(\d+)\]", texts[SOURCE], re.M)
    assert len(sizes) == len(list(model_of(name).graph.convolutions()))
    for layer, size in sizes:
        cell = ctypes.c_float if kind == "float32" else ctypes.c_int8
        weights = np.ctypeslib.as_array((cell * int(size)).in_dll(library, layer))
        # A large weight has no effect if what it adds to is always below zero before a ReLU.
        largest = np.abs(weights.astype(float)).argsort()[:-4:-1]
        assert any(changes_logits(weights, int(at)) for at in largest), layer


def test_export_with_one_wrong_weight_fails_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: TracedModel, quantized: QuantizedGraph | None, prefix: str) -> dict[str, str]:
        texts = generate_program(model, quantized, prefix)
        changed = re.sub(r"(weights_2\[\d+\] = \{\s+)[^,]+", r"\g<1>0.75F", texts[SOURCE])
        assert changed != texts[SOURCE]
        return {**texts, SOURCE: changed}

    monkeypatch.setattr("netlet.export.c_export.generate_program", wrong)
    with pytest.raises(
        ExportError,
        match=r"verification failed: the exported C program differs .* nothing was written",
    ):
        export_c(model_of("mnistnet_1"), tmp_path / "c", digits())
    assert not (tmp_path / "c").exists()


@linux_only
def test_program_describes_itself_and_needs_no_library(tmp_path: Path) -> None:
    result = export_c(
        model_of("mnistnet_1"), tmp_path / "c", digits(), int8=True, max_accuracy_drop=2.0
    )
    header, text = ((tmp_path / "c" / name).read_text() for name in (HEADER, SOURCE))
    assert [path.name for path in result.files] == [HEADER, SOURCE]
    assert result.verification is not None
    assert result.verification.images == 1_000  # filled up with training images
    assert result.verification.accuracy_drop <= 2.0
    assert "int netlet_predict(const uint8_t image[784], float scores[10]);" in header
    for said in (
        model_of("mnistnet_1").digest,
        "NETLET_PARAMETERS 7416",
        'extern "C"',
        "arithmetic: int8",
    ):
        assert said in header, said
    assert set(re.findall(r"#include (\S+)", header + text)) == {"<stdint.h>", '"netlet.h"'}
    assert not re.search(r"\b(malloc|calloc)\b", text)
    size_note = next(note for note in result.notes if "flash" in note)
    memory = result.to_dict()
    assert f"{memory['flash_bytes']:,} bytes of flash, " in size_note
    assert f" {memory['ram_bytes']:,} bytes of RAM" in size_note
    figures = [int(word.replace(",", "")) for word in re.findall(r"[\d,]+(?= bytes)", size_note)]
    size = measure_build({HEADER: header, SOURCE: text})
    assert size is not None
    assert figures == [size.flash_bytes, size.ram_bytes, size.stack_bytes]
    assert size.warnings == ()
    # The arena, whose size is in the header, is the only static memory that it writes to.
    arena_bytes = int(re.findall(r"NETLET_ARENA_BYTES (\d+)", header)[0])
    assert arena_bytes <= size.ram_bytes < arena_bytes + 32
    assert model_of("mnistnet_1").graph.weights < size.flash_bytes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", few_fast([FEW, BORDER, "speck", WINDOW], 2))
def test_program_built_for_speed_computes_the_reference_logits(name: str, kind: str) -> None:
    # Without sanitizers, which prevent some optimizations; tests/test_random_nets.py has more nets.
    assert_logits(
        name,
        kind,
        library_predictor(load_library(program_of(name, kind)), model_of(name).graph.classes)(
            images_of(name)
        ).numpy(),
    )


def compile_without_warnings(name: str, kind: str, flags: Sequence[str]) -> None:
    """Compile a program, fail on any warning, and check its logits."""
    library = load_library(program_of(name, kind), (*STRICT, "-Werror", *flags))
    assert_logits(name, kind, library_predictor(library, 4)(images_of(name)).numpy())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", few_fast(dict.fromkeys([LINEAR, POINTWISE, *ODD]), 2))
def test_program_built_for_size_compiles_without_warnings(name: str, kind: str) -> None:
    compile_without_warnings(name, kind, ["-Os"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_warn_at_no_level_of_optimization(
    compiler: str, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    monkeypatch.setenv("CC", compiler)
    for level in ("-Os", "-O1", "-O2", "-O3"):
        compile_without_warnings(name, kind, [level])


@linux_only
def test_program_links_to_nothing_but_memory_functions(tmp_path: Path) -> None:
    for kind in KINDS:
        for name, text in program_of("braid", kind).items():
            (tmp_path / name).write_text(text)
        subprocess.run(
            [*find_compiler().command, *SMALL, "-c", SOURCE, "-o", "o.o"], cwd=tmp_path, check=True
        )
        listed = subprocess.run(
            ["nm", "-u", "o.o"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert {line.split()[-1] for line in listed.splitlines()} <= {"memcpy", "memset", "memmove"}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="figures of x86-64")
def test_mnistnet_1_in_int8_fits_16_kb_of_flash_and_of_ram() -> None:
    size = measure_build(program_of("mnistnet_1", "int8"))
    assert size is not None
    assert size.flash_bytes < 16_384
    assert size.stack_bytes is not None
    assert size.ram_bytes + size.stack_bytes < 16_384


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_header_compiles_as_cplusplus(tmp_path: Path) -> None:
    (tmp_path / HEADER).write_text(program_of("braid", "float32")[HEADER])
    text = '#include "netlet.h"\nint (*const predict)(const uint8_t *, float *) = netlet_predict;\n'
    (tmp_path / "a.cpp").write_text(text)
    subprocess.run(
        ["g++", "-Wall", "-Werror", "-c", "a.cpp", "-o", "a.o"], cwd=tmp_path, check=True
    )
    listed = subprocess.run(
        ["nm", "-u", "a.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "U netlet_predict\n" in listed


@pytest.mark.slow
def test_export_without_a_compiler_is_written_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler() -> Compiler:
        raise NoCompilerError("there is no C compiler")

    monkeypatch.setattr("netlet.export.c_build.find_compiler", no_compiler)
    result = export_c(model_of("speck"), tmp_path, digits())
    assert result.verification is None
    assert result.notes == (
        "not compiled for this machine, nor compared with PyTorch: there is no C compiler",
    )
    assert all(path.is_file() for path in result.files)
    result = export_c(model_of("speck"), tmp_path, digits(), int8=True, max_accuracy_drop=2.0)
    assert result.verification is not None
    assert result.verification.images == 1_000
    assert result.notes[1:] == (
        "not compiled for this machine: there is no C compiler",
        "verified with NumPy, which computes the same integers as the C program",
    )
    with pytest.raises(ExportError, match=r"int8 loses .* points of accuracy .* more than -100"):
        export_c(
            model_of("speck"), tmp_path / "other", digits(), int8=True, max_accuracy_drop=-100.0
        )
    assert not (tmp_path / "other").exists()


def test_error_names_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(
        ExportError,
        match=r"the C program cannot be compiled .*: .*false failed.*; name another compiler .* CC",
    ):
        export_c(model_of("speck"), tmp_path / "c", digits())
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["mnistnet_1", "pyramid", "speck", "braid", "smooth"])
def test_int8_logits_are_close_to_float32(name: str) -> None:
    expected = reference.compute_logits(model_of(name).graph, images_of(name, 50))
    found = (
        torch.from_numpy(
            int8_reference.compute_logits(int8_graph_of(name), images_of(name, 50).numpy())
        )
        * int8_graph_of(name).logit_scale
    )
    assert 0 < float((expected - found).square().mean().sqrt()) < 0.1 * float(expected.std())
    assert int8_graph_of(name).params[0].scale == 1.0
    # Gray level 33 is the nearest to MNIST's mean.
    assert int8_graph_of(name).params[0].zero_point == int8_graph_of(name).graph.zero_level
    assert int8_graph_of(name).graph.zero_level in (0, 33)
    for layer, grid in zip(
        int8_graph_of(name).graph.layers, int8_graph_of(name).params[1:], strict=True
    ):
        if isinstance(layer, Convolution) and layer.clamp[0] == 0.0:
            assert grid.zero_point == 0


def test_a_norm_of_a_large_map_loses_no_more_than_others_to_rounding() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(1, 4), nn.AdaptiveMaxPool2d(1), nn.Flatten()
    ).eval()
    model = trace_model(
        TrainedNet("norm", net, (1, 28, 28), tuple("abcd"), 0.1307, 0.3081, None, None)
    )
    images = digits().held_out.images[:20]
    predict = library_predictor(load_library(generate_program(model)), 4)
    with torch.no_grad():
        exact = net.double()((images.double() / 255 - 0.1307) / 0.3081)
    assert float((predict(images) - exact).abs().max()) < 5e-6


def test_int8_keeps_large_biases_and_zero_weights() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(30, 3))
    with torch.no_grad():
        net[1].weight.uniform_(-1e-9, 1e-9)
        net[1].weight[2] = 0.0
        net[1].bias.copy_(torch.tensor([1.0, 3.0, 2.0]))
    graph = trace_model(
        TrainedNet("flat", net.eval(), (1, 6, 5), tuple("abc"), 0.0, 1.0, None, None)
    ).graph
    found = quantize_graph(graph, images_of("one layer", 20))
    logits = (
        int8_reference.compute_logits(found, images_of("one layer", 4).numpy()) * found.logit_scale
    )
    np.testing.assert_allclose(logits, np.tile([1.0, 3.0, 2.0], (4, 1)), atol=1e-6)


def test_int8_refuses_a_window_whose_sum_could_overflow() -> None:
    layer = Convolution("wide", (0,), (1, 1, 1), np.ones((1, 1, 260, 260)), np.zeros(1))
    with pytest.raises(
        ExportError, match=r"wide: its sums do not fit 32 bits; export without --int8"
    ):
        quantize_graph(
            InferenceGraph((1, 260, 260), (layer,)), torch.zeros(1, 1, 260, 260, dtype=torch.uint8)
        )


def random_graph(seed: int) -> InferenceGraph:
    """Return layers of all kinds that read any of the feature maps before them."""
    random = np.random.default_rng(seed)
    layers: list[Layer] = []
    shapes = [(2, 4, 4)]
    for n in range(1, 12):
        read = int(random.integers(max(0, n - 4), n))
        shape = shapes[read]
        alike = [number for number, other in enumerate(shapes) if other == shape]
        other = int(random.choice(alike))
        wider = (int(random.integers(1, 9)), *shape[1:])
        layers.append(
            [
                Activation("", (read,), shape, "clamp"),
                Sum("", (read, other), shape),
                Product("", (read, other), shape),
                Concatenation("", (read, other), (2 * shape[0], *shape[1:])),
                Pooling("", (read,), (shape[0], 1, 1), "mean", shape[1:], shape[1:]),
                Convolution(
                    "", (read,), wider, np.zeros((wider[0], shape[0], 1, 1)), np.zeros(wider[0])
                ),
            ][int(random.integers(6))]
        )
        shapes.append(layers[-1].shape)
    return InferenceGraph(shapes[0], tuple(layers))


def rows_read(layer: Layer, height: int, y: int) -> range:
    """Return the rows of the input that a row of a layer's output is computed from."""
    if not isinstance(layer, Convolution | Pooling):
        return range(y, y + 1) if height > 1 else range(1)  # one row is broadcast
    dilation = layer.dilation[0] if isinstance(layer, Convolution) else 1
    first = y * layer.stride[0] - layer.padding[0]
    rows = range(first, first + dilation * (layer.window[0] - 1) + 1)
    return range(max(0, rows.start), min(height, rows.stop))


def run_in_arena(graph: InferenceGraph, planned: Arena) -> None:
    """Fill an arena row by row, and check that every row is still there when it is read."""
    cells = np.full((planned.size, 2), -1)  # number and row of the feature map in each place

    def place(number: int, y: int) -> slice | None:
        at, (c, _, w) = planned.offsets[number], graph.shapes[number]
        return None if at is None else slice(at + y * c * w, at + (y + 1) * c * w)

    for y in range(graph.shape[1]):
        if (row := place(0, y)) is not None:
            cells[row] = 0, y
    for number, layer in enumerate(graph.layers, 1):
        for y in range(layer.shape[1]):
            row = place(number, y)
            for read in layer.inputs:
                for input_y in rows_read(layer, graph.shapes[read][1], y):
                    input_row = place(read, input_y)
                    if input_row is None:
                        continue
                    assert (cells[input_row] == (read, input_y)).all(), (number, y)
                    # Within a row the order does not matter: nothing that it reads is overwritten,
                    # except that an element-wise layer may write a result in place of its operand.
                    if (
                        row is not None
                        and row.start < input_row.stop
                        and input_row.start < row.stop
                    ):
                        assert row == input_row
                        assert isinstance(layer, Activation | Sum | Product)
            if row is not None:
                cells[row] = number, y


@pytest.mark.parametrize("elsewhere", [(), (0, 11)])
def test_no_feature_map_is_overwritten_before_its_last_reader(elsewhere: tuple[int, ...]) -> None:
    saved = 0
    for seed in range(150):
        graph = random_graph(seed)
        planned = plan_arena(graph, elsewhere)
        run_in_arena(graph, planned)
        kept = [
            math.prod(shape) for number, shape in enumerate(graph.shapes) if number not in elsewhere
        ]
        assert planned.size <= sum(kept)
        saved += planned.size < sum(kept)
    assert saved > 140


@pytest.mark.parametrize("name", [*ODD, "mnistnet_1", "pyramid", "speck", "braid"])
def test_rows_are_overwritten_only_after_their_last_reader(name: str) -> None:
    graph = model_of(name).graph
    for elsewhere in ((), (0, len(graph.layers))):
        run_in_arena(graph, plan_arena(graph, elsewhere))


def chain(*layers: tuple[int, tuple[int, int], tuple[int, int], int]) -> InferenceGraph:
    """Return convolutions one after another: channels, window, stride and padding of each."""
    shape: tuple[int, int, int] = (3, 12, 9)
    made: list[Layer] = []
    for read, (out, window, stride, padding) in enumerate(layers):
        weight = np.zeros((out, shape[0], *window))
        sides = (padding,) * 4
        shape = output_shape(shape, out, window, stride, sides)
        made.append(
            Convolution("", (read,), shape, weight, np.zeros(out), stride=stride, padding=sides)
        )
    return InferenceGraph((3, 12, 9), tuple(made))


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        # The output begins a row before the input, or where it begins if its rows are shorter.
        ([(3, (3, 3), (1, 1), 1)], 3 * 12 * 9 + 2 * 27),
        ([(3, (2, 4), (1, 1), 0)], 3 * 12 * 9 + 3 * 6),
        ([(6, (1, 1), (1, 1), 0)], 6 * 12 * 9 + 27),
        ([(3, (3, 3), (2, 2), 0), (4, (1, 1), (1, 1), 0)], 3 * 12 * 9 + 3 * 4),
        # A layer whose only row needs the whole input does not overwrite any of it.
        ([(5, (12, 9), (1, 1), 0)], 3 * 12 * 9 + 5),
    ],
)
def test_convolution_overwrites_the_rows_that_it_has_read(layers: list, size: int) -> None:
    graph = chain(*layers)
    planned = plan_arena(graph, ())
    run_in_arena(graph, planned)
    assert planned.size == size


def test_crest_in_int8_fits_16_kb_of_ram_with_its_stack() -> None:
    model = trace_model(load_trained_net("crest"))
    graph = quantize_graph(model.graph, digits().train.images[:100])
    size = measure_build(generate_program(model, graph))
    assert size is not None
    assert size.stack_bytes is not None
    assert size.ram_bytes + size.stack_bytes < 10_000


def test_arena_is_at_most_a_tenth_larger_than_the_live_feature_maps() -> None:
    """In a chain these are the input and the output of the largest layer."""
    for name in ("mnistnet_1", "pyramid", "speck", "braid"):
        graph = model_of(name).graph
        last = len(graph.layers)
        alive = lifetimes(graph)
        peak = max(
            sum(
                math.prod(graph.shapes[n])
                for n in range(1, last)
                if alive[n][0] <= at <= alive[n][1]
            )
            for at in range(last)
        )
        assert plan_arena(graph, (0, last)).size <= 1.1 * peak


@pytest.mark.slow
def test_another_code_generator_computes_the_same_logits(tmp_path: Path) -> None:
    """emx-onnx-cgen generates C from the ONNX model and shares no code with netlet."""
    pytest.importorskip(
        "emx_onnx_cgen",
        reason="needs emx-onnx-cgen as a second generator",
    )
    from emx_onnx_cgen.cli import main as emx

    (tmp_path / "net.onnx").write_bytes(build_onnx(model_of("braid")).SerializeToString())
    words = [
        "compile",
        str(tmp_path / "net.onnx"),
        str(tmp_path / SOURCE),
        "--model-name",
        "theirs",
        "--input-dim",
        "N=1",
    ]
    assert emx([*words, "--large-temp-threshold", "0"]) in (None, 0)
    main = (
        "int netlet_predict(const unsigned char *i, float *s)"
        " { theirs((const void *)i, (void *)s); return 0; }\n"
    )
    text = (tmp_path / SOURCE).read_text()
    library = load_library({SOURCE: f"{text}\n{main}"}, ("-O1", "-w", "-lm"))
    assert_logits("braid", "float32", library_predictor(library, 10)(images_of("braid")).numpy())


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize("name", list_shipped_weights())
def test_int8_keeps_the_accuracy_on_mnist(name: str, mnist: Dataset, tmp_path: Path) -> None:
    result = export_c(trace_model(load_trained_net(name)), tmp_path, mnist, int8=True)
    assert result.verification is not None
    assert result.verification.images == 10_000
    assert abs(result.verification.accuracy_drop) <= 0.05
    assert result.verification.same_predictions > 9_950
