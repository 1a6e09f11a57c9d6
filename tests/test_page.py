"""The exported page in a real browser: its arithmetic is that of Python, and people can use it."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.layer_nets import build as build_layer_net
from helpers import FIXTURES, ROOT, few_fast
from nets_to_export import net_named
from page_visit import DESK, PHONE, SHEET, Visit
from PIL import Image
from torch import nn
from torch.nn import functional as F

from benchmarks.non_digits import draw_other_non_digits
from netlet import records
from netlet.analysis import receptive_field
from netlet.budgets import budget_from_json
from netlet.data import Dataset, make_scribble
from netlet.data.batches import normalize
from netlet.data.mnist_frame import prepare_digit
from netlet.data.pieces import group_pieces
from netlet.data.skeletons import STYLES
from netlet.evaluation import apply_confidence
from netlet.experiments import TrainedNet, load_confidence, load_trained_net
from netlet.export import (
    InferenceGraph,
    TracedModel,
    build_inference_graph,
    fold_graph,
    reference,
    trace_model,
)
from netlet.export.inference_graph import (
    Activation,
    Concatenation,
    Convolution,
    Pooling,
    Product,
    Sum,
)
from netlet.export.page_export import build_page, export_page
from netlet.export.receptive_field import receptive_fields
from netlet.export.written_layers import describe_written_net
from netlet.nets import NETS, build, list_shipped_weights
from netlet.nets.outputs import extract_logits


@pytest.fixture(scope="session")
def visits(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a function that opens the page of a model, once for the same options."""
    folder, known = tmp_path_factory.mktemp("pages"), {}

    def visit(name: str, model: TracedModel, **options: Any) -> Visit:
        key = name + json.dumps(options, sort_keys=True)
        if key not in known:
            file = folder / f"{len(known)}.html"
            page = build_page(model, confidence=load_confidence(model.source))
            file.write_text(page, encoding="utf-8")
            known[key] = Visit(browser, file, **options)
        return known[key]

    yield visit
    for visited in known.values():
        visited.context.close()


@functools.cache
def model_of(name: str) -> TracedModel:
    """Return a packaged net, one of the nets to export, or another of ours without training."""
    if name in list_shipped_weights():
        return trace_model(load_trained_net(name))
    if name in ("mnistnet_1", "pyramid", "braid", "smooth"):
        return trace_model(net_named(name))
    net = build_layer_net(name) if name == "weave" else build(NETS[name].builder, 0).eval()
    return trace_model(
        TrainedNet(
            name, net, (1, 28, 28), tuple("0123456789"), 0.1307, 0.3081, file=None, budget=None
        )
    )


@pytest.fixture(scope="session")
def crest() -> TracedModel:
    return model_of("crest")


@pytest.fixture
def desk(visits: Any, crest: TracedModel) -> Visit:
    """Open a blank page of our most accurate net on a desktop screen."""
    visit = visits("crest", crest)
    visit.page.set_viewport_size(DESK)
    visit.page.reload()
    return visit


@functools.cache
def images() -> torch.Tensor:
    """Return digits, noise, a blank image and a full one."""
    noise = torch.randint(
        0, 256, (2, 1, 28, 28), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, -1, 28, 28)
    return torch.cat([make_scribble(10, 10).held_out.images[:6], noise, ends])


def judged(model: TracedModel, some: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probabilities of images, and whether the net is unsure, as Python computes them."""
    confidence = load_confidence(model.source)
    assert confidence is not None
    return apply_confidence(reference.compute_logits(model.graph, some), some, confidence)


def difference(visit: Visit, trained: TrainedNet, some: torch.Tensor | None = None) -> float:
    """Return the largest difference between the page's logits and those of PyTorch."""
    some = images() if some is None else some
    with torch.inference_mode():
        expected = extract_logits(trained.net(normalize(some, trained.recipe)))
    found = torch.tensor(visit.call("logits", some))
    # The page leaves out a final softmax.
    if torch.allclose(expected.exp().sum(1), torch.ones(1)):
        found = found.log_softmax(1)
    return float((expected - found).abs().max())


# --- Arithmetic.


@pytest.mark.parametrize(
    "name", few_fast(["speck", "smooth", "braid", "mnistnet_1", "pyramid", "crest"], 2)
)
def test_logits_are_those_of_pytorch(visits: Any, name: str) -> None:
    model = model_of(name)
    assert difference(visits(name, model), model.source) < 1e-4


@pytest.mark.slow
@pytest.mark.mnist
def test_logits_of_mnist_digits_are_those_of_pytorch(
    visits: Any, crest: TracedModel, mnist: Dataset
) -> None:
    assert difference(visits("crest", crest), crest.source, mnist.held_out.images[::50]) < 1e-4


def assert_same_maps(visit: Visit, graph: InferenceGraph, some: torch.Tensor) -> None:
    expected = reference.compute_maps(graph, some, torch.float64)
    for i, found in enumerate(visit.call("maps", some)):
        for layer, mine, theirs in zip(graph.layers, expected[1:], found[1:], strict=True):
            np.testing.assert_allclose(
                theirs, mine[i].flatten(), rtol=1e-4, atol=1e-5, err_msg=layer.name
            )


@pytest.mark.parametrize("name", few_fast(["smooth", "weave", "braid"], 2))
def test_every_feature_map_is_that_of_the_graph(visits: Any, name: str) -> None:
    assert_same_maps(visits(name, model_of(name)), model_of(name).graph, images()[::3])


def test_every_kind_of_layer_is_supported(visits: Any, crest: TracedModel) -> None:
    graph = everything()
    assert_same_maps(
        visits("everything", dataclasses.replace(crest, graph=graph)), graph, images()[::3]
    )


def everything() -> InferenceGraph:
    """Return a graph with every function, uneven padding, non-square windows and broadcasting."""
    random = np.random.default_rng(2)

    def convolution(
        name: str, read: int, shape: tuple[int, int, int], weight: tuple[int, ...], **more: Any
    ) -> Convolution:
        values = (random.normal(0, 0.5, weight) / math.sqrt(math.prod(weight[1:]))).astype(
            np.float32
        )
        return Convolution(
            name,
            (read,),
            shape,
            weight=values,
            bias=random.normal(0, 0.3, shape[0]).astype(np.float32),
            **more,
        )

    functions = (
        "abs",
        "exp",
        "mish",
        "softplus",
        "leaky_relu",
        "elu",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "tanh",
        "silu",
        "gelu",
        "gelu_tanh",
    )
    layers: list[Any] = [
        Convolution(
            "input",
            (0,),
            (1, 28, 28),
            weight=np.full((1, 1, 1, 1), 0.04, np.float32),
            bias=np.full(1, -4, np.float32),
        ),
        convolution("odd", 1, (4, 14, 28), (4, 1, 2, 5), stride=(2, 1), padding=(0, 1, 0, 3)),
        Pooling(
            "pool", (2,), (4, 7, 10), mode="max", window=(3, 2), stride=(2, 3), padding=(1, 0, 0, 1)
        ),
        Pooling(
            "mean",
            (2,),
            (4, 7, 10),
            mode="mean",
            window=(3, 2),
            stride=(2, 3),
            padding=(1, 0, 0, 1),
        ),
        Pooling(
            "counted",
            (2,),
            (4, 7, 10),
            mode="mean",
            window=(3, 2),
            stride=(2, 3),
            padding=(1, 0, 0, 1),
            count_include_pad=True,
        ),
        Sum("sum", (3, 5), (4, 7, 10), clamp=(-2.0, 1.5)),
        convolution(
            "dilated",
            6,
            (6, 5, 8),
            (6, 2, 3, 3),
            dilation=(2, 1),
            padding=(1, 0, 1, 0),
            groups=2,
            clamp=(-1.0, float("inf")),
        ),
        Concatenation("cat", (4, 6), (8, 7, 10)),
        Pooling("whole", (8,), (8, 1, 1), mode="mean", window=(7, 10)),
        Product("gate", (8, 9), (8, 7, 10)),
        Sum("spread", (10, 9), (8, 7, 10)),
        *(
            Activation(function, (11,), (8, 7, 10), function=function, parameter=0.3)
            for function in functions
        ),
        Activation("clamp", (11,), (8, 7, 10), function="clamp", bounds=(float("-inf"), 0.5)),
    ]
    at = len(layers)
    layers += [
        Concatenation(
            "all", tuple(range(at - len(functions), at + 1)), (8 * (len(functions) + 1), 7, 10)
        ),
        Product("squared", (7, 7), (6, 5, 8)),
        convolution("dense", at + 1, (10, 1, 1), (10, 8 * (len(functions) + 1), 7, 10)),
        convolution("narrow", at + 2, (10, 1, 1), (10, 6, 5, 8)),
        Sum("logits", (at + 3, at + 4), (10, 1, 1)),
    ]
    return InferenceGraph((1, 28, 28), tuple(layers))


def inks() -> Iterator[np.ndarray]:
    """Yield strokes of many sizes, single dots, full images, levels that are not bytes."""
    random = np.random.default_rng(3)
    for height, width, pen in (
        (28, 28, 2),
        (60, 45, 1),
        (33, 140, 6),
        (120, 90, 9),
        (97, 101, 0.6),
        (180, 160, 20),
        (19, 21, 3),
    ):
        y, x = np.mgrid[:height, :width]
        ink = np.zeros((height, width))
        for _ in range(4):
            a, b = (random.uniform((0, 0), (height, width)) for _ in range(2))
            for t in np.linspace(0, 1, 40):
                far = np.hypot(y - (a + t * (b - a))[0], x - (a + t * (b - a))[1])
                ink = np.maximum(ink, 255 * np.clip(pen + 0.5 - far, 0, 1))
        if ink.any():
            yield ink.round()
    for height, width, row, column in (
        (5, 7, 0, 0),
        (28, 28, 27, 27),
        (300, 200, 150, 199),
        (1, 1, 0, 0),
    ):
        dot = np.zeros((height, width))
        dot[row, column] = 1
        yield dot
    line = np.zeros((50, 400))
    line[49, 3:] = 7
    yield from (
        line,
        line.T,
        np.full((20, 20), 255),
        np.full((61, 23), 3),
        random.integers(0, 256, (173, 211)),
    )
    yield random.normal(100, 120, (40, 50))  # below 0, above 255 and between whole numbers


def test_preparation_equals_python_in_every_pixel(desk: Visit) -> None:
    checked = 0
    for ink in inks():
        found = desk.prepared(ink)
        np.testing.assert_array_equal(np.reshape(found, (28, 28)), prepare_digit(ink))
        checked += 1
    assert checked >= 15
    assert desk.prepared(np.array([[0, 0], [0, 0.4]])) == []


def test_one_wrong_weight_changes_the_logits(
    browser: Any, crest: TracedModel, tmp_path: Path
) -> None:
    first, *others = crest.graph.layers
    assert isinstance(first, Convolution)
    weight = first.weight.copy()
    weight.flat[20] += 0.05
    graph = dataclasses.replace(
        crest.graph, layers=(dataclasses.replace(first, weight=weight), *others)
    )
    file = tmp_path / "perturbed.html"
    file.write_text(build_page(dataclasses.replace(crest, graph=graph)), encoding="utf-8")
    visit = Visit(browser, file)
    assert difference(visit, crest.source) > 1e-4
    visit.context.close()


# --- Receptive fields.


@pytest.mark.parametrize("name", few_fast(NETS, 4))
def test_receptive_fields_of_a_graph_are_those_of_the_net(name: str) -> None:
    net = build(NETS[name].builder, 0).eval()
    measured, graph = receptive_field(net), build_inference_graph(net, (1, 28, 28), 0.13, 0.31)
    fields = dict(
        zip((layer.name for layer in graph.layers), receptive_fields(graph)[1:], strict=True)
    )
    rows = [row for row in measured.rows if row.name in fields]
    assert len(rows) > 5
    for row in rows:
        grids = fields[row.name]
        assert grids is not None
        assert tuple(grid.extent for grid in grids) == row.r_out, row.name
        assert tuple(grid.jump for grid in grids) == row.j_out, row.name
    folded = receptive_fields(fold_graph(graph))[-1]
    assert folded is not None
    assert tuple(grid.extent for grid in folded) == measured.size


def test_after_a_norm_over_the_whole_map_the_receptive_field_no_longer_grows() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5, 2, 2),
        nn.GroupNorm(2, 4),
        nn.Conv2d(4, 4, 3, 1, 1),
        nn.Conv2d(4, 4, 3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    ).eval()
    field = receptive_fields(build_inference_graph(net, (1, 28, 28), 0.13, 0.31))[-1]
    assert field is not None
    assert tuple(grid.extent for grid in field) == receptive_field(net).size == (31, 31)


@pytest.mark.parametrize("name", ["braid", "smooth"])
def test_a_value_depends_on_its_receptive_field_and_nothing_else(name: str) -> None:
    graph, image = model_of(name).graph, images()[:1].double()
    looked_at, inside = [], []
    for field, (_, rows, columns) in zip(receptive_fields(graph), graph.shapes, strict=True):
        assert field is not None
        row, column = rows // 2, columns // 2
        (top, bottom), (left, right) = field[0].interval(row), field[1].interval(column)
        looked_at.append((row, column))
        inside.append(torch.zeros(1, 28, 28, dtype=torch.bool))
        inside[-1][:, max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
    masks = torch.stack(inside)
    # The image; for each feature map an image that differs outside its field; then those that
    # differ inside.
    maps = reference.compute_maps(
        graph,
        torch.cat(
            [image, torch.where(masks, image, 255 - image), torch.where(masks, 255 - image, image)]
        ),
        torch.float64,
    )
    for i, (row, column) in enumerate(looked_at):
        before, outside, within = (
            maps[i][n, :, row, column] for n in (0, 1 + i, 1 + len(masks) + i)
        )
        torch.testing.assert_close(outside, before, rtol=1e-9, atol=1e-9)
        assert (within - before).abs().max() > 1e-3


def test_page_has_the_same_receptive_fields(visits: Any) -> None:
    model = model_of("braid")
    expected = [
        [
            [list(axis.interval(i)) for i in range(shape[1 + a])]
            for a, axis in enumerate(field or ())
        ]
        for field, shape in zip(
            receptive_fields(model.graph)[1:], model.graph.shapes[1:], strict=True
        )
    ]
    assert visits("braid", model).page.evaluate("window.netlet.fields()") == expected


@pytest.mark.slow
def test_pointing_at_a_feature_map_outlines_its_receptive_field(
    desk: Visit, crest: TracedModel
) -> None:
    desk.page.keyboard.press("7")
    desk.settled()
    layer, row, column = 3, 3, 6
    maps = desk.page.locator(".layer").nth(layer).locator(".maps")
    map_ = maps.locator(".map").nth(2)
    box = map_.bounding_box()
    map_.hover(
        position={"x": (column + 0.5) / 10 * box["width"], "y": (row + 0.5) / 10 * box["height"]}
    )
    field = receptive_fields(crest.graph)[layer + 1]
    assert field is not None

    def expected_outlines(row: int, column: int) -> tuple[list[float], list[float]]:
        """Return left, top, width and height of both outlines, in percent of input and drawing."""
        (top, bottom), (left, right) = field[0].interval(row), field[1].interval(column)
        ink, frame = desk.ink(), prepare_digit(desk.ink())
        edges = []
        for axis, first, last in ((1, left, right), (0, top, bottom)):
            drawn, shown = (np.flatnonzero(levels.any(axis=1 - axis)) for levels in (ink, frame))
            # No edge row of the scaled box is empty here, so the visible ink has its full size.
            scale = (drawn[-1] - drawn[0] + 1) / (shown[-1] - shown[0] + 1)
            edges.append((drawn[0] + (first - shown[0]) * scale, (last + 1 - first) * scale))
        on_seen = [100 * value / 28 for value in (left, top, right + 1 - left, bottom + 1 - top)]
        on_sheet = [
            100 * value / SHEET for value in (edges[0][0], edges[1][0], edges[0][1], edges[1][1])
        ]
        return on_seen, on_sheet

    def shown_outlines() -> tuple[list[float], list[float]]:
        seen, drawn = (
            [
                float(desk.page.locator(mark).evaluate(f"(mark) => mark.style.{side}").rstrip("%"))
                for side in ("left", "top", "width", "height")
            ]
            for mark in ("#input-outline", "#drawing-outline")
        )
        return seen, drawn

    for found, expected in zip(shown_outlines(), expected_outlines(row, column), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)
    value = reference.compute_maps(
        crest.graph, torch.from_numpy(desk.seen()[..., 0].copy())[None, None]
    )[layer + 1][0, 2, row, column]
    text = str(desk.page.locator("figcaption").text_content())
    assert f"4_20.0, channel 2, row {row}, column {column} is " in text
    assert float(text.split(" is ")[1].split(";")[0]) == pytest.approx(
        float(value), rel=0.01, abs=1e-3
    )

    maps.focus()
    desk.page.keyboard.press("ArrowDown")
    desk.page.keyboard.press("PageUp")
    for found, expected in zip(shown_outlines(), expected_outlines(row + 1, column), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert f"channel 1, row {row + 1}, column {column}" in str(
        desk.page.locator("figcaption").text_content()
    )
    maps.blur()
    assert desk.page.locator("#drawing-outline").is_hidden()


# --- Use.


def polyline(digit: int) -> list[list[tuple[float, float]]]:
    return [list(stroke) for stroke in STYLES[digit][0].strokes]


@pytest.mark.slow
@pytest.mark.parametrize("digit", [4, 7])
def test_mouse_drawing_is_prepared_and_classified_as_in_python(
    desk: Visit, crest: TracedModel, digit: int
) -> None:
    assert desk.best == "–"
    for stroke in polyline(digit):
        desk.page.mouse.move(*desk.sheet(*stroke[0]))
        desk.page.mouse.down()
        for point in stroke[1:]:
            desk.page.mouse.move(*desk.sheet(*point), steps=2)
        desk.page.mouse.up()
    assert desk.best == str(digit)
    frame = prepare_digit(desk.ink())
    np.testing.assert_array_equal(desk.seen()[..., 0], frame)
    expected, unsure = judged(crest, torch.from_numpy(frame)[None, None])
    assert not unsure[0]
    rows = desk.page.locator("#probabilities tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        [str(i), shown_percent(p)] for i, p in enumerate(expected[0].tolist())
    ]
    desk.page.get_by_role("button", name="Undo").click()
    assert desk.ink().any()
    desk.page.keyboard.press("Control+z")
    assert not desk.ink().any()
    assert desk.best == "–"


def shown_percent(share: float) -> str:
    """Return a probability as the page shows it: 100.0% only for 1."""
    return f"{100 if share == 1 else min(100 * share, 99.9):.1f}%"


@pytest.mark.slow
def test_only_a_probability_of_1_is_shown_as_100_percent(desk: Visit) -> None:
    shares = [0, 0.0004, 0.5, 0.9949, 0.9994, 0.9996, 1]
    source = ROOT / "src/netlet/export/page/view.js"
    code = re.search(r"^const formatPercent = (.+);$", source.read_text(), re.MULTILINE)
    assert code is not None
    shown = desk.page.evaluate(f"(shares) => shares.map((p) => ({code[1]})(p, '%'))", shares)
    assert shown == ["0.0%", "0.0%", "50.0%", "99.5%", "99.9%", "99.9%", "100.0%"]
    desk.draw(*placed(1, 0.4))
    answer = desk.page.locator("#prediction span").inner_text().split("\n")[0]
    assert answer in desk.page.locator("#probabilities tr.first").inner_text().split()


def placed(digit: int, left: float, width: float = 0.2) -> list[list[tuple[float, float]]]:
    """Return the strokes of a digit in a part of the drawing area."""
    return [[(left + width * x, 0.25 + 0.5 * y) for x, y in stroke] for stroke in polyline(digit)]


X = [[(0.25, 0.2), (0.75, 0.8)], [(0.75, 0.2), (0.25, 0.8)]]


@pytest.mark.slow
def test_a_letter_is_answered_with_unsure(desk: Visit, crest: TracedModel) -> None:
    desk.draw(*X)
    assert desk.best == "unsure"
    probabilities, unsure = judged(crest, torch.from_numpy(prepare_digit(desk.ink()))[None, None])
    assert unsure[0]
    best = int(probabilities.argmax())
    guess = f"({best} at {shown_percent(float(probabilities[0, best]))})"
    assert desk.page.locator("#prediction").inner_text().split("\n")[:2] == ["unsure", guess]
    desk.until("document.getElementById('announced-answer').textContent.startsWith('unsure, ')")
    assert desk.page.locator("#digits").is_hidden()


@pytest.mark.slow
def test_a_row_of_digits_is_answered_from_left_to_right(
    desk: Visit, crest: TracedModel, netlet: Any, tmp_path: Path
) -> None:
    for digit, left in ((7, 0.7), (3, 0.08), (1, 0.4)):  # in any order
        desk.draw(*placed(digit, left))
    ink = desk.ink()
    numbers = group_pieces(ink > 0)
    frames = [prepare_digit(np.where(numbers == n, ink, 0)) for n in (1, 2, 3)]
    probabilities, unsure = judged(crest, torch.from_numpy(np.stack(frames))[:, None])
    signs = [
        "?" if flag else str(int(p.argmax())) for p, flag in zip(probabilities, unsure, strict=True)
    ]
    assert desk.best == "".join(signs) == "317"
    buttons = desk.page.locator("#digits button")
    assert buttons.all_text_contents() == signs
    for i, frame in enumerate(frames):
        buttons.nth(i).click()
        np.testing.assert_array_equal(desk.seen()[..., 0], frame)
        assert buttons.nth(i).get_attribute("aria-pressed") == "true"
        name = buttons.nth(i).get_attribute("aria-label")
        highest = shown_percent(float(probabilities[i].max()))
        assert name == f"Digit {i + 1} of 3: {signs[i]} at {highest}"
        rows = desk.page.locator("#probabilities tr").all_inner_texts()
        assert [row.split()[1] for row in rows] == [
            shown_percent(float(p)) for p in probabilities[i]
        ]
    desk.until(
        "document.getElementById('announced-answer').textContent.startsWith('3 digits: 3, ')"
    )

    # The command reads the same digits from a picture of the drawing.
    Image.fromarray(255 - ink).save(tmp_path / "drawing.png")
    code, out, _ = netlet("predict", "drawing.png", "--json")
    answers = json.loads(out)["predictions"]
    assert code == 0
    assert [answer["digit"] for answer in answers] == signs
    found = [answer["confidence"] for answer in answers]
    np.testing.assert_allclose(found, probabilities.amax(1), atol=0.02)
    desk.page.keyboard.press("Control+z")
    desk.settled()
    assert desk.best == "37"


def test_the_page_finds_the_same_digits_as_python(desk: Visit) -> None:
    random = np.random.default_rng(4)
    drawings = [ink for ink in inks() if ink.min() >= 0]
    for share in (0.03, 0.1, 0.3):  # many pieces, of all sizes and in all places
        drawings.append(np.where(random.random((40, 90)) < share, 255, 0))
    for _ in range(6):
        ink = np.zeros((60, 200))
        for _ in range(8):
            top, left = int(random.integers(0, 50)), int(random.integers(0, 190))
            ink[
                top : top + int(random.integers(2, 40)), left : left + int(random.integers(1, 20))
            ] = 9
        drawings.append(ink)
    most = 0
    for ink in drawings:
        expected = group_pieces(ink > 0)
        most = max(most, int(expected.max()))
        np.testing.assert_array_equal(np.reshape(desk.digits(ink), ink.shape), expected)
    assert most >= 4


def test_the_page_is_as_unsure_as_python(desk: Visit, crest: TracedModel) -> None:
    digits = make_scribble(10, 30).held_out.images
    kinds = draw_other_non_digits(10, 3, digits[:, 0])
    some = torch.cat([digits, torch.cat(list(kinds.values())).unsqueeze(1)])
    probabilities, unsure = judged(crest, some)
    found = desk.call("judge", some)
    assert [answer["unsure"] for answer in found] == unsure.tolist()
    assert 30 < unsure.sum() < 60
    assert [answer["best"] for answer in found] == probabilities.argmax(1).tolist()
    np.testing.assert_allclose(
        [answer["probabilities"] for answer in found], probabilities, atol=1e-4
    )


@pytest.mark.slow
def test_a_page_without_a_calibration_is_never_unsure(
    browser: Any, crest: TracedModel, tmp_path: Path
) -> None:
    file = tmp_path / "plain.html"
    file.write_text(build_page(crest), encoding="utf-8")
    visit = Visit(browser, file)
    visit.draw(*X)
    assert visit.best in "0123456789"
    plain = reference.compute_logits(crest.graph, images()).softmax(1)
    found = [answer["probabilities"] for answer in visit.call("judge", images())]
    np.testing.assert_allclose(found, plain, atol=1e-4)
    assert "not calibrated" in visit.page.locator("#costs").inner_text()
    assert visit.complaints == []
    visit.context.close()


def test_clearing_can_be_undone(desk: Visit) -> None:
    desk.page.get_by_role("button", name="Sample 3").click()
    drawn = desk.ink()
    assert desk.best == "3"
    desk.page.get_by_role("button", name="Clear").click()
    assert desk.best == "–"
    assert desk.page.get_by_role("button", name="Clear").is_disabled()
    desk.page.get_by_role("button", name="Undo").click()
    assert desk.best == "3"
    np.testing.assert_array_equal(desk.ink(), drawn)


@pytest.mark.slow
def test_samples_are_recognized_and_vary(desk: Visit) -> None:
    for digit in range(10):
        button = desk.page.get_by_role("button", name=f"Sample {digit}", exact=True)
        button.click()
        assert desk.best == str(digit)
        first = desk.ink()
        button.click()
        assert desk.best == str(digit)
        assert (desk.ink() != first).any()


@pytest.mark.slow
def test_finger_and_pen_draw_without_scrolling(visits: Any, crest: TracedModel) -> None:
    visit = visits("crest", crest, viewport=PHONE, has_touch=True, is_mobile=True)
    devtools = visit.context.new_cdp_session(visit.page)

    def touch(kind: str, *place: float) -> None:
        points = [{"x": place[0], "y": place[1]}] if place else []
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", *visit.sheet(0.5, 1))  # upwards, which would scroll the page elsewhere
    for y in (0.8, 0.6, 0.4, 0.2, 0):
        touch("touchMove", *visit.sheet(0.5, y))
    touch("touchEnd")
    assert visit.best == "1"
    assert visit.page.evaluate("scrollY") == 0
    visit.tap(visit.page.get_by_role("button", name="Clear"))
    assert not visit.ink().any()
    for stroke in polyline(7):
        for i, point in enumerate(stroke):
            x, y = visit.sheet(*point)
            pen = {
                "x": x,
                "y": y,
                "button": "left",
                "buttons": 1,
                "clickCount": 1,
                "pointerType": "pen",
            }
            devtools.send(
                "Input.dispatchMouseEvent", {"type": "mouseMoved" if i else "mousePressed", **pen}
            )
        devtools.send("Input.dispatchMouseEvent", {"type": "mouseReleased", **pen})
    assert visit.best == "7"


@pytest.mark.slow
def test_tapping_a_feature_map_keeps_the_input_visible(visits: Any, crest: TracedModel) -> None:
    visit = visits("crest", crest, viewport=PHONE, has_touch=True, is_mobile=True)
    layer = visit.page.locator(".layer").nth(6)
    visit.tap(layer.locator("summary"))
    visit.tap(layer.locator(".map").first)
    box = visit.page.locator("#input").bounding_box()
    assert visit.page.locator("#input-outline").is_visible()
    assert 0 <= box["y"] <= PHONE["height"] - box["height"]
    visit.tap(visit.page.locator("h1"))
    assert visit.page.locator("#input-outline").is_hidden()


@pytest.mark.slow
def test_everything_works_by_keyboard_and_is_announced(desk: Visit) -> None:
    keys = desk.page.keyboard
    desk.page.locator("#drawing").focus()
    for key in ["ArrowUp"] * 9 + ["Space"] + ["ArrowDown"] * 18 + ["Enter"]:
        keys.press(key)
    assert desk.best == "1"
    percent = desk.page.locator("#prediction span").inner_text().split("%")[0]
    desk.until(
        "document.getElementById('announced-answer').textContent"
        f".startsWith('1, {percent} percent; runner-up ')"
    )
    desk.until(
        "document.getElementById('announced-action').textContent"
        " === 'pen up, row 23, column 14 of 28'"
    )
    keys.press("Shift+ArrowLeft")  # the pen is up
    assert desk.best == "1"
    keys.press("Delete")
    assert desk.best == "–"
    keys.press("5")
    assert desk.best == "5"
    visited = set()
    for _ in range(40):
        keys.press("Tab")
        visited.add(
            desk.page.evaluate(
                "document.activeElement.id || document.activeElement.className"
                " || document.activeElement.tagName"
            )
        )
    assert {"maps inspected", "SUMMARY"} <= visited
    desk.page.evaluate("scrollTo(0, 0)")
    assert (
        desk.page.evaluate("document.querySelectorAll('[tabindex]:not([tabindex=\"0\"])').length")
        == 0
    )


def test_every_control_has_an_accessible_name(desk: Visit) -> None:
    desk.page.keyboard.press("7")
    desk.settled()
    snapshot = desk.page.locator("body").aria_snapshot()
    for line in (
        'heading "crest" [level=1]',
        'application "Drawing area"',
        'button "Undo"',
        'button "Clear"',
        'group "Sample digits"',
        'button "Sample 7"',
        'img "Input of the net: 28 by 28 pixels, ink in 20 rows',
        'table "Probability of each class"',
        'heading "Feature maps, layer by layer"',
        'application "Feature maps of 4_20.0: 20 of 10 by 10"',
    ):
        assert line in snapshot, line
    assert re.search(r'row "7 \d\d\.\d%"', snapshot)
    assert not re.search(
        r"^\s*- (button|application|img|table|checkbox|link|textbox)(?! \")", snapshot, re.MULTILINE
    )


CONTRASTS = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const texts = 'body *:not(script):not(noscript):not(.visually-hidden *):not(:disabled)';
  for (const at of document.querySelectorAll(texts)) {
    const own = [...at.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !at.checkVisibility()) continue;
    let ground = at;
    const background = (element) => getComputedStyle(element).backgroundColor;
    while (ground && (numbers(background(ground))[3] ?? 1) === 0) ground = ground.parentElement;
    const a = light(getComputedStyle(at).color), b = light(background(ground ?? document.body));
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), at.textContent.slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_sufficient_contrast(desk: Visit, scheme: str) -> None:
    desk.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    desk.page.keyboard.press("2")
    desk.settled()
    found = desk.page.evaluate(CONTRASTS)
    ground = desk.page.evaluate("getComputedStyle(document.body).backgroundColor")
    desk.page.emulate_media(color_scheme="light", reduced_motion="reduce")
    assert len(found) > 60
    assert min(found)[0] >= 4.5, min(found)
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_page_does_not_scroll_sideways(desk: Visit, width: int) -> None:
    desk.page.set_viewport_size({"width": width, "height": 700})
    desk.page.reload()
    desk.page.evaluate(
        "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
    )
    desk.page.keyboard.press("8")
    assert desk.best == "8"
    assert desk.page.evaluate("document.documentElement.scrollWidth") <= width


def test_page_loads_nothing_and_logs_nothing(desk: Visit, visits: Any, crest: TracedModel) -> None:
    visit = visits("alone", crest)
    visit.page.get_by_role("button", name="Sample 9").click()
    assert visit.best == "9"
    assert visit.requests == [visit.uri]
    assert visit.complaints == []
    assert (
        visit.page.evaluate("fetch('data:,x').then(() => 'let through', () => 'refused')")
        == "refused"
    )
    policy = visit.page.locator("meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.slow
def test_samples_are_animated_unless_reduced_motion_is_preferred(
    visits: Any, crest: TracedModel
) -> None:
    visit = visits("moving", crest, reduced_motion="no-preference")
    steps = visit.page.evaluate(
        "() => new Promise((done) => { const sums = [], sheet = document.getElementById('drawing');"
        "const look = () => {"
        "const d = sheet.getContext('2d').getImageData(0, 0, sheet.width, sheet.height).data;"
        "let sum = 0; for (let i = 3; i < d.length; i += 4) sum += d[i];"
        "sums.push(sum); sums.length > 45 ? done(sums) : requestAnimationFrame(look); };"
        "document.querySelector('[aria-label=\"Sample 6\"]').click(); look(); })"
    )
    assert len(set(steps)) > 10
    assert steps == sorted(steps)
    late = visit.ink()
    visit.page.emulate_media(reduced_motion="reduce")
    visit.page.reload()
    visit.page.keyboard.press("6")
    np.testing.assert_array_equal(visit.ink(), late)


def test_names_are_never_parsed_as_markup(visits: Any, crest: TracedModel) -> None:
    nasty = (
        "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>$name"
    )
    trained = dataclasses.replace(
        crest.source,
        name="<img src=x onerror=window.broken=1>&amp;",
        class_names=(nasty, *"abc4567", "<b>", "🦊"),
    )
    first = dataclasses.replace(crest.graph.layers[0], name=nasty)
    graph = dataclasses.replace(crest.graph, layers=(first, *crest.graph.layers[1:]))
    visit = visits("nasty", dataclasses.replace(crest, source=trained, graph=graph))
    assert visit.page.locator("h1").text_content() == trained.name
    assert visit.page.locator("#probabilities th").all_text_contents() == list(trained.class_names)
    assert visit.page.locator(".layer code").first.text_content() == nasty
    assert visit.page.evaluate("window.broken") is None
    assert visit.page.get_by_role("button", name="Sample").all_text_contents() == list("4567")
    assert visit.complaints == []
    visit.page.set_viewport_size(PHONE)
    visit.page.keyboard.press("7")
    assert visit.best == "7"
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


# --- File.


@pytest.mark.parametrize(
    "name", few_fast([*list_shipped_weights(), "sprint", "summit", "pyramid"], 1)
)
def test_file_is_small(name: str) -> None:
    model = model_of(name)
    page = build_page(model, confidence=load_confidence(model.source))
    parameters = model.cost.parameters
    assert parameters is not None
    assert len(page.encode()) < max(180_000, 80_000 + 5 * parameters)


def test_page_shows_cost_verdict_and_accuracy(crest: TracedModel, tmp_path: Path) -> None:
    confidence = load_confidence(crest.source)
    assert confidence is not None
    images = make_scribble(10, 40)
    result = export_page(crest, tmp_path / "crest.html", images, confidence=confidence)
    text = (tmp_path / "crest.html").read_text(encoding="utf-8")
    assert result.size_bytes == (tmp_path / "crest.html").stat().st_size
    assert result.verification is not None
    assert result.verification.matches
    score = result.verification.export
    rows = dict(re.findall(r"<div><dt>([\w ]+)</dt><dd>(.*?)</dd></div>", text))
    assert rows == {
        "budget": "crest",
        "parameters": '19,916<small>below 20,000: <b class="PASS">PASS</b></small>',
        "MACs": "1,729,314",
        "weight bytes": "80,680",
        "activation bytes": "65,104",
        "receptive field": "28",
        "accuracy": f"{score.percent:.2f}%<small>{score.correct:,} of {score.total}, "
        "scribble test</small>",
        "normalization": "mean 0.1307, std 0.3081",
        "unsure below": f"{100 * confidence.threshold:.0f}%<small>calibrated on 5,000 images of "
        "mnist train and 2,000 non-digits</small>",
        "digest": crest.digest[:12],
    }


class Classroom(nn.Module):
    """A net as a course writes it: batch norm, dropout and global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.norm1 = nn.BatchNorm2d(4)
        self.drop = nn.Dropout2d(0.1)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 10, 1)
        self.gap = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(F.relu(self.norm1(self.conv1(x))))
        x = self.gap(self.conv2(self.pool(x)))
        return F.log_softmax(x.view(-1, 10), dim=1)


def test_the_page_shows_the_net_as_it_is_written(crest: TracedModel) -> None:
    model = trace_model(dataclasses.replace(crest.source, name="mine", net=Classroom().eval()))
    written = describe_written_net(model)
    shown = [(one.name, one.kind, one.shape, one.parameters, one.role) for one in written.layers]
    assert shown[:7] == [
        ("conv1", "Conv2d", (4, 26, 26), 40, "feature maps above"),
        ("norm1", "BatchNorm2d", (4, 26, 26), 8, "part of conv1"),
        ("(net)", "relu", (4, 26, 26), 0, "part of conv1"),
        ("drop", "Dropout2d", (4, 26, 26), 0, "inactive after training"),
        ("pool", "MaxPool2d", (4, 13, 13), 0, "feature maps above"),
        ("conv2", "Conv2d", (10, 13, 13), 50, "feature maps above"),
        ("gap", "AdaptiveAvgPool2d", (10, 1, 1), 0, "feature maps above"),
    ]
    assert [one[-1] for one in shown[7:]] == [
        "the same numbers in another shape",
        "left out: the page computes probabilities from the logits",
    ]
    assert sum(one.parameters for one in written.layers) == model.cost.parameters
    assert [one.name for one in written.layers if one.is_gap] == ["gap"]
    # The page computes the mean before the 1x1 convolution, which is faster.
    assert [layer.name for layer in model.graph.layers] == ["conv1", "pool", "gap", "conv2"]
    conv1 = ("input normalization", "norm1 (BatchNorm2d)", "(net) (relu)")
    assert written.folded == (conv1, (), (), ())
    page = build_page(model)
    assert "<td>AdaptiveAvgPool2d, global average pooling</td><td>10x1x1</td>" in page
    assert '"folded":["input normalization","norm1 (BatchNorm2d)","(net) (relu)"]' in page
    assert page.count('"global":true') == 1


def test_global_average_pooling_is_shown_however_it_is_written(crest: TracedModel) -> None:
    class Mean(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).mean((2, 3))

    for net in (
        Mean(nn.Conv2d(1, 10, 3)),
        nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(1, 10)),
    ):
        model = trace_model(dataclasses.replace(crest.source, net=net.eval()))
        written = describe_written_net(model)
        assert sum(one.is_gap for one in written.layers) == 1
        assert build_page(model).count("global average pooling</td>") == 1


def test_a_page_of_a_run_shows_its_epochs_recipe_and_verdict(crest: TracedModel) -> None:
    run = records.load_run(FIXTURES / "records" / "run_schema_1.json")
    assert run.budget
    source = dataclasses.replace(crest.source, run=run, budget=budget_from_json(run.budget))
    page = build_page(dataclasses.replace(crest, source=source))
    rows = dict(re.findall(r"<div><dt>([\w ]+)</dt><dd>(.*?)</dd></div>", page))
    judged = 'verdict of the run: <b class="NOT JUDGED">NOT JUDGED</b>'
    assert rows["budget"] == f"twenty_k<small>{judged}</small>"
    assert rows["recipe"] == "quick<small>seed 0, scribble</small>"
    assert rows["epochs"] == '5<small>below 20: <b class="PASS">PASS</b></small>'
    assert rows["accuracy"] == "99.33%<small>9,933 of 10,000, test</small>"


NORMALIZED = "netlet: the page normalizes images with mean 0.1307, std 0.3081 (change with --mean and --std)\n"


def test_play_writes_and_opens_the_page(
    netlet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: bool(opened.append(uri)))
    assert netlet("play", "speck", "-o", "a page.html", "--no-open") == (
        0,
        f"{tmp_path / 'a page.html'}\n",
        NORMALIZED,
    )
    assert opened == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, out, err = netlet("play")
    assert code == 0
    assert Path(out.strip()).name == "crest.html"
    assert opened == [Path(out.strip()).as_uri()]
    assert err == NORMALIZED + "netlet: no browser found; open the file yourself\n"
    assert Path(out.strip()).read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "taken").mkdir()
    code, _, err = netlet("play", "speck", "-o", "taken")
    assert code == 2
    assert "taken: cannot be written" in err
