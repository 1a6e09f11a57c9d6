"""Nets in C: compiled strictly, run under sanitizers, held against the graph and, in integers, against NumPy to the bit."""

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
from nets_to_export import digits, nets
from torch import nn

from netlet.backends.cpu import CompilationError
from netlet.backends.cpu.library import compiler
from netlet.data import Dataset
from netlet.errors import ShipError
from netlet.experiments import TrainedNet, trained_net
from netlet.export import Graph, TrainedModel, integers, onnx_model, origin, reference
from netlet.export.arena import arena, lifetimes
from netlet.export.c_export import export_c
from netlet.export.c_program import HEADER, SOURCE, c_program
from netlet.export.compiled_c import SMALL, STRICT, answers, built, loaded
from netlet.export.graph import Activation, Concatenation, Convolution, Layer, Pooling, Product, Sum
from netlet.export.quantize import Quantized, quantize

try:
    compiler()
except CompilationError as reason:
    pytest.skip(str(reason), allow_module_level=True)

IMAGES = 6
# -O0 takes the small path, as -Os does, one number at a time; -O1 the one by vectors.
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
    """Products and sums of maps that are now below zero, now above."""

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
}


@functools.cache
def source(name: str) -> TrainedModel:
    if name in ODD:
        net, shape = ODD[name]
        torch.manual_seed(0)
        for p in net.parameters():
            nn.init.uniform_(p, -0.5, 0.5)
        return origin(
            TrainedNet(
                name, net.eval(), shape, ("a", 'b"\\', "ö", "*/"), 0.1307, 0.3081, None, None
            )
        )
    return origin(nets()[name])


def images(name: str, n: int = IMAGES) -> torch.Tensor:
    if name in ODD:
        return torch.randint(
            256, (n, *ODD[name][1]), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
        )
    return digits().held_out.images[:n]


@functools.cache
def whole(name: str) -> Quantized:
    seen = images(name, 40) if name in ODD else digits().train.images[:100]
    return quantize(source(name).graph, seen)


@functools.cache
def program(name: str, kind: str) -> dict[str, str]:
    return c_program(source(name), whole(name) if kind == "int8" else None)


def expected(name: str, kind: str) -> np.ndarray:
    """The logits: of the graph by PyTorch in float32, or of the integers by NumPy, scaled as C scales them."""
    if kind == "float32":
        return reference.logits(source(name).graph, images(name)).numpy()
    found = integers.logits(whole(name), images(name).numpy()).astype(np.float32)
    return found * np.float32(whole(name).logit_scale)


def held(name: str, kind: str, found: np.ndarray) -> None:
    wanted = expected(name, kind)
    if kind == "float32":
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    else:
        np.testing.assert_array_equal(found, wanted)


def ran(
    texts: dict[str, str], flags: Sequence[str], seen: torch.Tensor, folder: Path
) -> list[list[str]]:
    """The words of each line that a program prints, sanitizers watching."""
    for name, text in {**texts, "main.c": MAIN}.items():
        (folder / name).write_text(text)
    command = [compiler(), *flags, SOURCE, "main.c", "-o", "program"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = subprocess.run(
        [folder / "program"], input=seen.numpy().tobytes(), capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    return [line.split(" ") for line in run.stdout.decode().splitlines()]


KINDS = ("float32", "int8")
COMBINATIONS = [
    (name, kind)
    for name in ("mnistnet_1", "pyramid", "speck", "braid", "smooth", *ODD)
    for kind in KINDS
    if (name, kind) != ("smooth", "float32")
]


@pytest.mark.parametrize(("name", "kind"), COMBINATIONS)
def test_under_sanitizers_it_gives_what_the_net_gives(name: str, kind: str, tmp_path: Path) -> None:
    lines = ran(program(name, kind), (*SANITIZED, "-O0"), images(name), tmp_path)
    scores = np.array([[float.fromhex(word) for word in line[1:-1]] for line in lines], np.float32)
    held(name, kind, scores)
    assert [int(line[0]) for line in lines] == scores.argmax(1).tolist()
    labels = source(name).trained.class_names
    assert [line[-1] for line in lines] == [labels[int(line[0])] for line in lines]


@pytest.mark.parametrize(("name", "kind"), [(WINDOW, "float32"), (BORDER, "int8")])
def test_under_sanitizers_so_do_vectors(name: str, kind: str, tmp_path: Path) -> None:
    lines = ran(program(name, kind), (*SANITIZED, "-O1", "-march=native"), images(name), tmp_path)
    held(
        name,
        kind,
        np.array([[float.fromhex(word) for word in line[1:-1]] for line in lines], np.float32),
    )


def vector_widths() -> list[tuple[str, ...]]:
    """Flags for processors with ever fewer lanes; this one's own first."""
    narrow = (
        [("-march=x86-64-v3",), ("-msse2",)] if platform.machine() in ("x86_64", "AMD64") else [()]
    )
    return [("-march=native",), *narrow]


@pytest.mark.parametrize("flags", vector_widths(), ids=" ".join)
@pytest.mark.parametrize(("name", "kind"), [(BORDER, "float32"), (WINDOW, "int8")])
def test_vectors_of_each_width_give_the_same(name: str, kind: str, flags: tuple[str, ...]) -> None:
    if "-march=x86-64-v3" in flags and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    library = loaded(program(name, kind), (*VECTORS, *flags))
    held(name, kind, answers(library, 4)(images(name)).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_do_every_kind_of_layer(kind: str) -> None:
    held(
        "braid",
        kind,
        answers(loaded(program("braid", kind), (*VECTORS, "-march=native")), 10)(
            images("braid")
        ).numpy(),
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("mnistnet_1", "float32"), ("mnistnet_1", "int8"), ("braid", "float32")]
)
def test_one_wrong_weight_of_any_layer_shows(name: str, kind: str) -> None:
    texts = dict(program(name, kind))
    number = "float" if kind == "float32" else "int8_t"
    texts[SOURCE] = texts[SOURCE].replace(f"static const {number} weights_", f"{number} weights_")
    library = loaded(texts, ("-std=c99", "-O0"))
    answer = answers(library, 10)
    held(name, kind, answer(images(name)).numpy())
    sizes = re.findall(rf"^{number} (weights_\d+)\[(\d+)\]", texts[SOURCE], re.M)
    assert len(sizes) == len(list(source(name).graph.convolutions()))
    for layer, size in sizes:
        cell = ctypes.c_float if kind == "float32" else ctypes.c_int8
        weights = np.ctypeslib.as_array((cell * int(size)).in_dll(library, layer))
        at = int(np.abs(weights.astype(float)).argmax())
        kept, weights[at] = weights[at], 0
        with pytest.raises(AssertionError):
            held(name, kind, answer(images(name)).numpy())
        weights[at] = kept


def test_an_export_with_one_wrong_weight_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(of: TrainedModel, in_integers: Quantized | None) -> dict[str, str]:
        texts = c_program(of, in_integers)
        changed = re.sub(r"(weights_2\[\d+\] = \{\s+)[^,]+", r"\g<1>0.75F", texts[SOURCE])
        assert changed != texts[SOURCE]
        return {**texts, SOURCE: changed}

    monkeypatch.setattr("netlet.export.c_export.c_program", wrong)
    with pytest.raises(ShipError, match="not the net's equal, and nothing was written"):
        export_c(source("mnistnet_1"), tmp_path / "c", digits())
    assert not (tmp_path / "c").exists()


def test_what_is_written_says_what_it_is_and_needs_nothing(tmp_path: Path) -> None:
    done = export_c(source("mnistnet_1"), tmp_path / "c", digits(), int8=True, most_lost_points=2.0)
    header, text = ((tmp_path / "c" / name).read_text() for name in (HEADER, SOURCE))
    assert [path.name for path in done.files] == [HEADER, SOURCE]
    assert done.agreement is not None
    assert done.agreement.images == 1_000  # those of train fill up
    assert done.agreement.lost_points <= 2.0
    assert "int netlet_predict(const uint8_t image[784], float scores[10]);" in header
    for said in (
        source("mnistnet_1").digest,
        "NETLET_PARAMETERS 7416",
        'extern "C"',
        "numbers: int8",
    ):
        assert said in header, said
    assert set(re.findall(r"#include (\S+)", header + text)) == {"<stdint.h>", '"netlet.h"'}
    assert not re.search(r"\b(malloc|calloc)\b", text)
    of_size = next(note for note in done.notes if "flash" in note)
    assert (
        f"{done.to_dict()['flash_bytes']:,} bytes of flash, {done.to_dict()['ram_bytes']:,} bytes of RAM"
        in of_size
    )
    figures = [int(word.replace(",", "")) for word in re.findall(r"[\d,]+(?= bytes)", of_size)]
    size = built({HEADER: header, SOURCE: text})
    assert size is not None
    assert figures == [size.flash_bytes, size.ram_bytes, size.stack_bytes]
    assert size.warnings == ()
    # All that it writes to is the arena, which the header tells the size of.
    arena_bytes = int(re.findall(r"NETLET_ARENA_BYTES (\d+)", header)[0])
    assert arena_bytes <= size.ram_bytes < arena_bytes + 32
    assert source("mnistnet_1").graph.weights < size.flash_bytes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [FEW, BORDER, WINDOW, "speck"])
def test_built_for_speed_it_gives_the_same(name: str, kind: str) -> None:
    # Without sanitizers, which keep a compiler from some of what it does; tests/test_random_nets.py
    # has more such nets.
    held(
        name,
        kind,
        answers(loaded(program(name, kind)), source(name).graph.classes)(images(name)).numpy(),
    )


def test_nothing_but_copying_is_asked_of_a_library(tmp_path: Path) -> None:
    for kind in KINDS:
        for name, text in program("braid", kind).items():
            (tmp_path / name).write_text(text)
        subprocess.run([compiler(), *SMALL, "-c", SOURCE, "-o", "o.o"], cwd=tmp_path, check=True)
        listed = subprocess.run(
            ["nm", "-u", "o.o"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert {line.split()[-1] for line in listed.splitlines()} <= {"memcpy", "memset", "memmove"}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="figures of x86-64")
def test_mnistnet_1_in_integers_takes_less_than_16_kb_of_either() -> None:
    size = built(program("mnistnet_1", "int8"))
    assert size is not None
    assert size.flash_bytes < 16_384
    assert size.stack_bytes is not None
    assert size.ram_bytes + size.stack_bytes < 16_384


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_header_is_cplusplus_too(tmp_path: Path) -> None:
    (tmp_path / HEADER).write_text(program("braid", "float32")[HEADER])
    text = '#include "netlet.h"\nint (*const of)(const uint8_t *, float *) = netlet_predict;\n'
    (tmp_path / "a.cpp").write_text(text)
    subprocess.run(
        ["g++", "-Wall", "-Werror", "-c", "a.cpp", "-o", "a.o"], cwd=tmp_path, check=True
    )
    listed = subprocess.run(
        ["nm", "-u", "a.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "U netlet_predict\n" in listed


def test_without_a_compiler_it_is_written_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise CompilationError("there is no C compiler")

    monkeypatch.setattr("netlet.export.compiled_c.compiler", none)
    done = export_c(source("speck"), tmp_path, digits())
    assert done.agreement is None
    assert done.notes == ("not compiled: there is no C compiler",)
    assert all(path.is_file() for path in done.files)
    done = export_c(source("speck"), tmp_path, digits(), int8=True, most_lost_points=2.0)
    assert done.agreement is not None
    assert done.agreement.images == 1_000
    assert done.notes[1:] == (
        "not compiled: there is no C compiler",
        "compared by NumPy, in the same integers",
    )
    with pytest.raises(ShipError, match=r"int8 loses .* more than -100"):
        export_c(source("speck"), tmp_path / "other", digits(), int8=True, most_lost_points=-100.0)
    assert not (tmp_path / "other").exists()


def test_a_compiler_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlet.export.compiled_c.compiler", lambda: "false")
    with pytest.raises(ShipError, match=r"false cannot compile the C program .*named by CC, may"):
        export_c(source("speck"), tmp_path / "c", digits())
    assert not (tmp_path / "c").exists()


def test_what_c_cannot_do_is_refused_by_name() -> None:
    with pytest.raises(
        ShipError, match=r"silu cannot be exported to C in float32.*--int8.*Hardswish"
    ):
        c_program(source("smooth"))


@pytest.mark.parametrize("name", ["mnistnet_1", "pyramid", "speck", "braid", "smooth"])
def test_integers_mean_nearly_what_the_floats_do(name: str) -> None:
    wanted = reference.logits(source(name).graph, images(name, 50))
    found = (
        torch.from_numpy(integers.logits(whole(name), images(name, 50).numpy()))
        * whole(name).logit_scale
    )
    assert 0 < float((wanted - found).square().mean().sqrt()) < 0.1 * float(wanted.std())
    assert whole(name).grids[0].scale == 1.0
    assert whole(name).grids[0].zero == 0
    for layer, grid in zip(whole(name).graph.layers, whole(name).grids[1:], strict=True):
        if isinstance(layer, Convolution) and layer.clamp[0] == 0.0:
            assert grid.zero == 0


def test_a_bias_beyond_all_weights_and_weights_of_zero_stay_right() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(30, 3))
    with torch.no_grad():
        net[1].weight.uniform_(-1e-9, 1e-9)
        net[1].weight[2] = 0.0
        net[1].bias.copy_(torch.tensor([1.0, 3.0, 2.0]))
    graph = origin(
        TrainedNet("flat", net.eval(), (1, 6, 5), tuple("abc"), 0.0, 1.0, None, None)
    ).graph
    found = quantize(graph, images("one layer", 20))
    logits = integers.logits(found, images("one layer", 4).numpy()) * found.logit_scale
    np.testing.assert_allclose(logits, np.tile([1.0, 3.0, 2.0], (4, 1)), atol=1e-6)


def test_a_window_whose_sum_could_overflow_is_refused() -> None:
    layer = Convolution("wide", (0,), (1, 1, 1), np.ones((1, 1, 260, 260)), np.zeros(1))
    with pytest.raises(ShipError, match=r"wide: its sums do not fit 32 bits; .*float32"):
        quantize(Graph((1, 260, 260), (layer,)), torch.zeros(1, 1, 260, 260, dtype=torch.uint8))


def drawn_graph(seed: int) -> Graph:
    """Layers of all kinds, each reading some maps before it."""
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
    return Graph(shapes[0], tuple(layers))


@pytest.mark.parametrize("elsewhere", [(), (0, 11)])
def test_no_map_is_overwritten_while_somebody_needs_it(elsewhere: tuple[int, ...]) -> None:
    saved = 0
    for seed in range(150):
        graph = drawn_graph(seed)
        room = arena(graph, elsewhere)
        cells = np.full(room.size, -1)
        if (at := room.offsets[0]) is not None:
            cells[at : at + math.prod(graph.shape)] = 0
        for number, layer in enumerate(graph.layers, 1):
            places = [
                (read, room.offsets[read], math.prod(graph.shapes[read])) for read in layer.inputs
            ]
            for read, at, size in places:
                assert at is None or (cells[at : at + size] == read).all(), (seed, number)
            if (to := room.offsets[number]) is None:
                continue
            size = math.prod(layer.shape)
            for (
                _,
                at,
                of_input,
            ) in places:  # it may write over an input only cell by cell, and only where it works so
                if at is not None and at < to + size and to < at + of_input:
                    assert (at, of_input) == (to, size)
                    assert isinstance(layer, Activation | Sum | Product)
            cells[to : to + size] = number
        kept = [
            math.prod(shape) for number, shape in enumerate(graph.shapes) if number not in elsewhere
        ]
        assert room.size <= sum(kept)
        saved += room.size < sum(kept)
    assert saved > 140


def test_the_arena_is_no_larger_than_what_is_alive_at_once() -> None:
    """Of nets that are chains the two maps of the widest step; more only by what lies between."""
    for name in ("mnistnet_1", "pyramid", "speck", "braid"):
        graph = source(name).graph
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
        assert arena(graph, (0, last)).size <= 1.1 * peak


def test_another_generator_gives_the_same(tmp_path: Path) -> None:
    """emx-onnx-cgen makes C of the ONNX model: neither its code nor its way there is ours."""
    pytest.importorskip(
        "emx_onnx_cgen",
        reason="emx-onnx-cgen is not installed: no second generator to compare with",
    )
    from emx_onnx_cgen.cli import main as emx

    (tmp_path / "net.onnx").write_bytes(onnx_model(source("braid")).SerializeToString())
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
    main = "int netlet_predict(const unsigned char *i, float *s) { theirs((const void *)i, (void *)s); return 0; }\n"
    text = (tmp_path / SOURCE).read_text()
    library = loaded({SOURCE: f"{text}\n{main}"}, ("-O1", "-w", "-lm"))
    held("braid", "float32", answers(library, 10)(images("braid")).numpy())


@pytest.mark.mnist
def test_on_mnist_integers_keep_the_accuracy(mnist: Dataset, tmp_path: Path) -> None:
    done = export_c(origin(trained_net("speck")), tmp_path, mnist, int8=True)
    assert done.agreement is not None
    assert done.agreement.images == 10_000
    assert abs(done.agreement.lost_points) <= 0.1
    assert done.agreement.same > 9_950
