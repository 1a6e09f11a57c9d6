"""Explaining a net's answers: Grad-CAM, the feature maps of each layer, and the page of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import Netlet
from PIL import Image
from torch import nn

import netlet
from netlet import evaluation
from netlet.data import disputed_labels, make_scribble
from netlet.data.disputed_labels import DISPUTED_LABELS
from netlet.errors import NetError
from netlet.evaluation import LayerMaps, explain
from netlet.nets import NETS
from netlet.recipes import Recipe
from netlet.report import explain_page
from netlet.report.explain_page import _draw_maps

PLAIN = Recipe(mean=0.5, std=0.5)  # from -1 to 1


class Signs(nn.Module):
    """Class 0 adds up what is light, class 1 what is dark."""

    def __init__(self, *end: nn.Module) -> None:
        super().__init__()
        self.signs = nn.Conv2d(1, 2, 1, bias=False)
        self.end = nn.Sequential(*end)
        with torch.no_grad():
            self.signs.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.signs(x).mean((2, 3)))


def noise(n: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(256, (n, *(shape or (1, 8, 6))), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("end", [(), (nn.LogSoftmax(1),)])
def test_grad_cam_of_a_sum_shows_what_it_adds_up(end: tuple[nn.Module, ...]) -> None:
    images = noise(3)
    x = images[:, 0] / 255 * 2 - 1
    found = explain(Signs(*end), images, PLAIN, target=1)
    dark = (-x).relu()
    assert found.other.classes.tolist() == [1, 1, 1]
    torch.testing.assert_close(found.other.maps, dark / dark.amax((1, 2), keepdim=True))
    light = torch.where((found.predicted.classes == 0)[:, None, None], x, -x).relu()
    torch.testing.assert_close(found.predicted.maps, light / light.amax((1, 2), keepdim=True))
    assert found.layer == "signs"


def test_evidence_for_nothing_is_an_empty_map() -> None:
    found = explain(Signs(), torch.full((1, 1, 4, 4), 255, dtype=torch.uint8), PLAIN)
    assert found.predicted.maps.min() == 1
    assert not found.other.maps.any()  # nothing is dark


class Twice(nn.Module):
    """Runs a layer twice, writes to its input, and drops values in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Conv2d(1, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.mul_(2)
        for _ in range(2):
            x = self.drop(self.relu(self.conv(x)))
        return self.head(x.mean((2, 3), keepdim=True))


def test_feature_maps_are_those_that_each_layer_returns() -> None:
    torch.manual_seed(0)
    net, images = Twice().train(), noise(2)
    found = explain(net, images, PLAIN)
    names = [layer.name for layer in found.layers]
    assert names == ["conv", "relu", "conv#2", "relu#2", "head"]  # dropout changes nothing
    x = 2 * (images.float() / 255 * 2 - 1)
    with torch.no_grad():
        once = net.conv(x)
        again = net.conv(once.relu())
    for layer, expected in zip(found.layers, (once, once.relu(), again), strict=False):
        torch.testing.assert_close(layer.maps, expected, msg=layer.name)
    assert found.layer == "relu#2"  # the head's maps have one place
    assert found.layers[-1].maps.shape == (2, 3, 1, 1)


class Branches(nn.Module):
    """Drops values of a branch after another one has run, and pools all images as one."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3)
        self.drop, self.pool = nn.Dropout(0.5), nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = self.one(x), self.other(x)
        self.pool(one.flatten(0, 1)[None])
        return (self.drop(one) + other).mean((2, 3))


def test_only_layers_that_change_the_maps_of_each_image_are_shown() -> None:
    names = [layer.name for layer in explain(Branches(), noise(2), PLAIN).layers]
    assert names == ["one", "other"]


def test_a_class_is_a_whole_number() -> None:
    with pytest.raises(TypeError, match="the class to explain is of the type str; pass its number"):
        explain(Signs(), noise(2), PLAIN, target="1")  # type: ignore[arg-type]


def test_the_net_stays_as_it_is() -> None:
    net = Twice().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for parameter in net.parameters():
        parameter.requires_grad_(False)  # frozen layers can be explained, too
    explain(net, noise(2), PLAIN)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training
    assert net.drop.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("name", ["speck", "code_4"])
def test_registered_nets_answer_as_they_predict(name: str) -> None:
    net = netlet.build(NETS[name].builder, 1)
    images = make_scribble(20, 10).train.images[:3]
    found = explain(net, images)
    predicted = evaluation.predict(net, [image[0].numpy() for image in images])
    for row, answer in zip(found.probabilities.tolist(), predicted, strict=True):
        assert row == pytest.approx(answer.probabilities, abs=1e-5)
    assert found.predicted.classes.tolist() == [answer.best for answer in predicted]
    assert found.other.classes.tolist() == [answer.runner_up for answer in predicted]
    assert found.predicted.maps.shape == (3, 28, 28)
    assert 0 <= float(found.predicted.maps.min()) <= float(found.predicted.maps.max()) <= 1


@pytest.mark.slow
def test_a_compiled_net_is_explained_as_it_is_written() -> None:
    net = Signs()
    found = explain(torch.compile(net), noise(2), PLAIN)  # type: ignore[arg-type]
    assert found.layer == "signs"
    assert torch.equal(found.predicted.maps, explain(net, noise(2), PLAIN).predicted.maps)


class OnlyFunctions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 1, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight).mean((2, 3))


class WithoutGradients(Signs):
    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class Detaches(Signs):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x.mean((2, 3)) - super().forward(x).detach()


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (Signs, {"target": 2}, r"no class 2; the net has classes 0 to 1"),
        (Signs, {"layer": "conv9"}, r"no layer 'conv9' with feature maps; choose one of signs"),
        (OnlyFunctions, {}, r"no module of the net returns feature maps .* nn\.Conv2d"),
        (WithoutGradients, {}, r"signs computes without gradients, .* remove no_grad"),
        (nn.Flatten, {}, r"no module of the net returns feature maps"),
        (lambda: nn.Conv2d(1, 2, 1), {}, r"the net returns 2x2x8x6 for 2 images"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    net: type[nn.Module], options: dict[str, object], message: str
) -> None:
    with pytest.raises(NetError, match=message):
        explain(net(), noise(2), PLAIN, **options)  # type: ignore[arg-type]


def test_color_images_and_many_channels_have_a_page() -> None:
    net = nn.Sequential(nn.Conv2d(3, 70, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(70, 3, 1))
    found = explain(net, noise(1, 3, 12, 9))
    page = explain_page(found, "a <b>net</b>", ["a|b.png"], ["one", "t$o", "th\x1bree"], [2])
    assert set(page.figures) == {"grad-cam-1", "maps-1-01", "maps-1-02", "maps-1-03"}
    assert "0 (Conv2d): 70 of 10x7, first 64" in page.pictures["maps-1-01.svg"]
    assert "\x1b" not in page.markdown + "".join(page.pictures.values())
    assert "<b>" not in page.html
    assert "layer is 0, with 70 maps of 10x7 places" in page.markdown


def test_a_label_that_annotators_reject_is_marked(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {3: DISPUTED_LABELS[947]}
    monkeypatch.setattr(disputed_labels, "disputed_labels", lambda checksums, split: found)
    (tmp_path / "mine.py").write_text(SMALL)
    net = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.Identity(), nn.Identity(), nn.Conv2d(4, 10, 1))
    torch.save(net.state_dict(), tmp_path / "mine.pt")
    words = ("explain", "mine.py:small", "test:2", "test:3", "--weights", "mine.pt")
    code, out, err = netlet(*words, "-o", "page.csv", "--json")
    assert code == 0, err
    images = json.loads(out)["images"]
    assert [one["label_rejected_by"] for one in images] == [None, 5]
    rows = (tmp_path / "page.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["2", "3 (rejected by 5 of 5)"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "own.png"
    Image.fromarray(255 - make_scribble(20, 10).train.images[0, 0].numpy()).resize((90, 90)).save(
        path
    )
    return path


SMALL = """
from torch import nn

def small() -> nn.Module:
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.ReLU(), pool, nn.Conv2d(4, 10, 1), nn.Flatten())
"""


def test_netlet_explain_writes_one_page(
    netlet: Netlet, blobs_for_mnist: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(SMALL)
    net = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.Identity(), nn.Identity(), nn.Conv2d(4, 10, 1))
    torch.save(net.state_dict(), tmp_path / "mine.pt")
    words = ("explain", "mine.py:small", "test:3", "own.png", "--weights", "mine.pt")
    code, out, err = netlet(*words, "--class", "6")
    assert (code, out, err) == (0, "explain.html\n", "")
    html = (tmp_path / "explain.html").read_text()
    assert "Feature maps of test:3</h2>" in html
    assert "Feature maps of own.png</h2>" in html
    assert 'src="' not in html
    code, out, _ = netlet(*words, "train:0", "-o", "page.md", "--json", "--layer", "0")
    document = json.loads(out)
    assert (document["kind"], document["layer"]) == ("explanation", "0")
    assert document["files"][0] == "page.md"
    assert len(document["files"]) == len(list((tmp_path / "page").iterdir())) + 1
    assert [(one["image"], one["label"]) for one in document["images"]] == [
        ("test:3", "3"),
        ("own.png", None),
        ("train:0", "0"),
    ]
    assert sum(document["images"][0]["probabilities"].values()) == pytest.approx(1)
    code, out, _ = netlet(*words, "-o", "maps.png")
    assert code == 0
    assert sorted(out.splitlines()) == sorted(path.name for path in tmp_path.glob("maps*.png"))
    assert len(out.splitlines()) > 1


def test_a_class_is_named_as_the_page_names_it(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(SMALL.replace("10", "12"))
    net = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.Identity(), nn.Identity(), nn.Conv2d(4, 12, 1))
    torch.save(net.state_dict(), tmp_path / "mine.pt")
    words = ("explain", "mine.py:small", "test:3", "--weights", "mine.pt", "--json")
    code, out, err = netlet(*words, "--class", "11")
    assert code == 0, err
    assert json.loads(out)["images"][0]["explained"] == "11"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("test:100",), "test:100: mnist has 100 test images; name one from test:0 to test:99"),
        (("val:0",), "val"),
        (("gone.png",), "gone.png: no such file"),
        (("5",), "5: no such file; for an image of the data set, write test:5"),
        (("tset:5",), "tset:5: no such file; for an image of the data set, write test:5"),
        (("test:1", "--class", "ten"), "no class 'ten'; the classes are 0, 1, 2"),
        (("test:1", "--layer", "x"), "no layer 'x' with feature maps; choose one of "),
        (("test:1", "-o", "page.txt"), "page.txt: cannot write this format"),
        (
            tuple(f"test:{k}" for k in range(13)),
            "13 images are too many for one page; name at most 12",
        ),
    ],
)
def test_netlet_explain_refuses_in_one_line(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, out, err = netlet("explain", "speck", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_page_of_somebody_else_is_not_replaced(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    (tmp_path / "explain.html").write_text("mine")
    code, _, err = netlet("explain", "speck", "test:1")
    assert code == 2
    assert "explain.html: exists, and netlet did not write it" in err
    assert (tmp_path / "explain.html").read_text() == "mine"


def test_every_map_has_an_outline_that_is_seen_on_light_and_dark_pages() -> None:
    figure = _draw_maps(LayerMaps("head", "Conv2d", torch.rand(1, 10, 2, 1)), 0)
    (axes,) = figure.axes
    (outlines,) = axes.patches
    boxes = outlines.get_path().vertices.reshape(10, 5, 2)
    picture = axes.images[0].get_array()
    for box in boxes:
        left, top = box.min(axis=0) + 0.5
        assert (box.max(axis=0) - box.min(axis=0)).tolist() == [1, 2]
        assert picture[int(top) : int(top) + 2, int(left)].count() == 2
    assert len({tuple(box[0]) for box in boxes}) == 10
    assert all(0.4 < value < 0.6 for value in outlines.get_edgecolor()[:3])


def test_a_long_name_of_a_layer_fits_above_its_maps() -> None:
    name = "features.block_of_the_second_stage.convolution_with_stride.0"
    figure = _draw_maps(LayerMaps(name, "Conv2d", torch.rand(1, 4, 9, 9)), 0)
    figure.canvas.draw()
    (axes,) = figure.axes
    title = axes.title if axes.title.get_text() else axes._left_title
    assert "".join(title.get_text().split()) == f"{name}(Conv2d):4of9x9"
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= figure.bbox.height
