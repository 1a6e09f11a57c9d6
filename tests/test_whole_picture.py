"""Pictures for nets that see all of a picture: cropped to the middle and averaged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet
from PIL import Image
from torch import nn

from netlet import evaluation
from netlet.data import draw_captioned_sheet, read_whole_picture
from netlet.data.whole_picture import average_levels
from netlet.errors import DataError
from netlet.experiments import TrainedNet


def saved(levels: np.ndarray, path: Path, mode: str | None = None) -> Path:
    Image.fromarray(levels.astype(np.uint8), mode).save(path)
    return path


def test_the_middle_of_a_picture_is_averaged(tmp_path: Path) -> None:
    levels = np.arange(32).reshape(4, 8) * 7
    found = read_whole_picture(saved(levels, tmp_path / "a.png"), (1, 2, 2))
    middle = levels[:, 2:6].reshape(2, 2, 2, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(found, np.floor(middle + 0.5)[None])
    upright = read_whole_picture(saved(levels.T, tmp_path / "b.png"), (1, 2, 2))
    np.testing.assert_array_equal(upright[0], found[0].T)


def test_averages_are_exact_and_halves_are_rounded_up() -> None:
    assert average_levels(np.array([[[0, 1]]], np.uint8), 1, 1).item() == 1
    assert average_levels(np.array([[[0, 0, 1]]], np.uint8), 1, 1).item() == 0
    levels = np.random.default_rng(0).integers(0, 256, (3, 7, 5), dtype=np.uint8)
    np.testing.assert_array_equal(average_levels(levels, 7, 5), levels)
    larger = np.repeat(np.repeat(levels, 4, axis=1), 6, axis=2)
    np.testing.assert_array_equal(average_levels(levels, 28, 30), larger)
    np.testing.assert_array_equal(average_levels(larger, 7, 5), levels)
    assert (average_levels(np.full((1, 31, 17), 255, np.uint8), 9, 8) == 255).all()


def test_color_transparency_and_depth_are_read(tmp_path: Path) -> None:
    color = np.zeros((2, 2, 4))
    color[..., 0], color[..., 2], color[0, 0, 3], color[1, 1, 3] = 200, 40, 255, 128
    path = saved(color, tmp_path / "a.png")
    found = read_whole_picture(path, (3, 2, 2)).transpose(1, 2, 0)
    assert found[0, 0].tolist() == [200, 0, 40]
    assert found[0, 1].tolist() == [255, 255, 255]
    assert found[1, 1].tolist() == [227, 127, 147]  # half of it, over white
    gray = read_whole_picture(path, (1, 2, 2))
    assert gray[0, 0, 0] == round(0.299 * 200 + 0.114 * 40)
    deep = np.array([[0, 128, 129, 65_535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = read_whole_picture(tmp_path / "deep.png", (3, 1, 4))
    np.testing.assert_array_equal(found, [[[0, 0, 1, 255]]] * 3)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png: not an image that can be read; use a PNG"):
        read_whole_picture(tmp_path / "a.png", (3, 32, 32))


class Means(nn.Module):
    """Scores of three classes: the means of red, green and blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 9 * x.mean((2, 3))


RGB = TrainedNet("colors", Means().eval(), (3, 24, 32), ("red", "green", "blue"), 0, 1, None, None)


def test_predict_sees_the_whole_picture_of_a_net_for_color(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.load_trained_net", lambda *_, **__: RGB)
    picture = np.zeros((50, 90, 3))
    picture[..., 1] = 200
    saved(picture, tmp_path / "meadow.png")
    code, out, _ = netlet("predict", "meadow.png", "--show", "seen.png")
    assert code == 0
    assert out.split()[:3] == ["file", "class", "confidence"]
    assert out.splitlines()[2].split()[:2] == ["meadow.png", "green"]
    assert (0, 200, 0) in {color for _, color in Image.open(tmp_path / "seen.png").getcolors()}
    code, out, _ = netlet("predict", "meadow.png", "--json")
    (only,) = json.loads(out)["predictions"]
    assert (only["digit"], only["position"], only["digits"]) == ("green", 1, 1)
    code, _, err = netlet("predict", "meadow.png", "--raw")
    assert code == 2
    assert (
        "colors: takes images of 3x24x32, but --raw is for images like MNIST's; leave it out" in err
    )
    five = dataclasses.replace(RGB, shape=(5, 24, 32))
    monkeypatch.setattr("netlet.experiments.load_trained_net", lambda *_, **__: five)
    code, _, err = netlet("predict", "meadow.png")
    assert code == 2
    assert "takes images of 5x24x32, but pictures have 1 or 3 channels; name a net" in err


def test_images_of_several_channels_are_classified_and_shown() -> None:
    images = [np.full((3, 4, 4), 9, np.uint8) for _ in range(3)]
    for i, image in enumerate(images):
        image[i] = 250
    assert [one.best for one in evaluation.predict(RGB.net, images, RGB.recipe)] == [0, 1, 2]
    sheet = np.asarray(draw_captioned_sheet(images, [("a", "b")] * 3))
    assert (sheet[10, 10] == [250, 9, 9]).all()
    one = draw_captioned_sheet([np.full((1, 4, 4), 77, np.uint8)], [("a", "b")])
    assert (np.asarray(one)[10, 10] == 77).all()
