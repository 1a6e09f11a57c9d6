"""The benchmarks: both sides of a comparison do the same."""

from __future__ import annotations

import importlib
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import pipeline, transforms
from benchmarks.nets import NETS
from netlet import catalog, data
from netlet.data.augment import apply_warp, draw_inverse_maps
from netlet.experiments import EXPERIMENTS
from netlet.recipes import AUGMENTS, STEADY, Warp
from tools.speed import pipeline_table

ROOT = Path(__file__).parent.parent
BENCHMARKS = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))
WARPS = {
    "rotation": Warp(rotate_deg=20),
    "rotation_nearest": Warp(rotate_deg=7, fill=1, interpolation="nearest"),
    "affine": Warp(rotate_deg=15, shift_px=2.3, scale=0.1, shear_deg=9),
    "affine_nearest": Warp(rotate_deg=10, scale=0.05, interpolation="nearest"),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_imported(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("name", WARPS)
def test_pillow_and_netlet_warp_alike(name: str) -> None:
    op, images = WARPS[name], data.make_scribble(train=20, test=10).train.images
    with mock.patch.object(torch, "rand", lambda *size, dtype, **_: torch.ones(size, dtype=dtype)):
        maps = draw_inverse_maps(op, len(images), torch.Generator())
    expected = apply_warp(images.float(), maps, op)[:, 0]
    with mock.patch.object(transforms, "_uniform", lambda low, high: high):
        pictures = [Image.fromarray(image[0].numpy()) for image in images]
        warped = [np.array(transforms.random_warp(picture, op)) for picture in pictures]
    difference = (expected - torch.from_numpy(np.stack(warped))).abs()
    # Pillow rounds to whole gray levels, and few pixels lie between two nearest ones.
    assert (difference > 1).float().mean() < 0.002
    assert (expected - images[:, 0]).abs().mean() > 5


def test_a_transform_normalizes_as_the_recipe_says() -> None:
    recipe = STEADY.replace(augment=(), mean=0.25, std=0.5)
    transform = transforms.make_transform(recipe)
    pixels = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8)
    expected = torch.tensor([[[-0.5, 1.5], [-0.1, 0.3]]])
    torch.testing.assert_close(transform(pixels), expected)


def test_pillow_has_no_elastic_deformation() -> None:
    with pytest.raises(SystemExit, match="no elastic deformation"):
        transforms.make_transform(STEADY.replace(augment=AUGMENTS["elastic"]))


@pytest.mark.parametrize("row", pipeline.ROWS)
def test_both_sides_of_a_row_have_one_recipe(row: str) -> None:
    training = pipeline.find_training(row)
    if row in NETS:
        assert training.recipe == catalog.find_recipe("document_001")
        assert training.experiment is None
    else:
        assert training.recipe == EXPERIMENTS[row].recipe
        assert training.experiment == row
    transforms.make_transform(training.recipe)
    net = training.builder()
    (group,) = pipeline.make_optimizer(net, training.recipe).param_groups
    assert group["lr"] == training.recipe.peak_lr
    assert len(group["params"]) == len(list(net.parameters()))


def test_the_recipes_dropout_replaces_the_nets_own() -> None:
    net = nn.Sequential(nn.Dropout(0.3), nn.Sequential(nn.Dropout2d(0.1)))
    drops = net[0], net[1][0]
    pipeline.set_dropout(net, None)
    assert [drop.p for drop in drops] == [0.3, 0.1]
    pipeline.set_dropout(net, 0.2)
    assert [drop.p for drop in drops] == [0.2, 0.2]


def test_records_of_both_layouts_are_drawn() -> None:
    old = {
        "net": "mnistnet_1",
        "images": 6_400,
        "usual_images_per_s": 2_588,
        "netlet_images_per_s": 23_212,
        "ratio": 8.99,
    }
    new = {
        **old,
        "experiment": "mnistnet_1.documented",
        "recipe": "document_001",
        "backend": "compiled",
        "precision": "bf16",
        "parameters": 7_416,
    }
    other = {**new, "net": "lenet5", "experiment": None}
    raced = {"net": "mnistnet_1", "images": 12_000, "ratio": 9.41}
    assert "| `mnistnet_1` | 2,588 | 23,212 | 8.99 |" in pipeline_table({"rows": [old]}, raced)
    drawn = pipeline_table({"rows": [new, other]}, raced)
    row = "| `mnistnet_1` | 7,416 | `document_001` | compiled, bf16 | 2,588 | 23,212 | 8.99 |"
    assert row in drawn
    assert "`benchmarks/nets.py` has `lenet5`." in drawn
