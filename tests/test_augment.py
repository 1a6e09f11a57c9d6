"""Augmentation: checked against Pillow, and the distribution of random warps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from netlet.data import Dataset, augment_images, iterate_epoch
from netlet.data.augment import apply_warp, draw_augmentation, draw_inverse_maps
from netlet.data.batches import normalize
from netlet.recipes import AUGMENTS, Recipe, Warp


def picture() -> torch.Tensor:
    """Return a smooth image, so that tiny differences in position do not matter."""
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    return (127 + 60 * torch.sin(x / 4) + 60 * torch.cos(y / 5 + x / 9))[None, None]


def by_pillow(
    image: torch.Tensor, maps: torch.Tensor, fill: int, resample: Image.Resampling
) -> np.ndarray:
    """Warp an image with Pillow, which measures pixel corners from the upper left."""
    (a, b, c), (d, e, f) = maps[0].tolist()
    half = 14.0
    data = (a, b, c + half - a * half - b * half, d, e, f + half - d * half - e * half)
    source = Image.fromarray(image[0, 0].numpy())
    return np.asarray(
        source.transform((28, 28), Image.Transform.AFFINE, data, resample, fillcolor=fill)
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fill", [0, 40])
def test_nearest_neighbor_warp_matches_pillow(seed: int, fill: int) -> None:
    op = Warp(
        rotate_deg=30, shift_px=4, scale=0.2, shear_deg=15, fill=fill, interpolation="nearest"
    )
    maps = draw_inverse_maps(op, 1, torch.Generator().manual_seed(seed))
    ours = apply_warp(picture(), maps, op)[0, 0].numpy()
    assert (
        np.mean(np.abs(ours - by_pillow(picture(), maps, fill, Image.Resampling.NEAREST)) > 0.01)
        < 0.005
    )


@pytest.mark.parametrize("seed", range(6))
def test_bilinear_warp_matches_pillow_inside_the_image(seed: int) -> None:
    op = Warp(rotate_deg=30, shift_px=4, scale=0.2, shear_deg=15)
    maps = draw_inverse_maps(op, 1, torch.Generator().manual_seed(seed))
    difference = np.abs(
        apply_warp(picture(), maps, op)[0, 0].numpy()
        - by_pillow(picture(), maps, 0, Image.Resampling.BILINEAR)
    )
    assert (
        np.mean(difference[4:-4, 4:-4] > 0.5) < 0.08
    )  # libraries differ in blending the border with the fill


def test_elastic_warp_moves_each_pixel_by_its_displacement() -> None:
    op = Warp(elastic_px=1.5, elastic_points=4)
    (draws,) = draw_augmentation([op], 3, torch.Generator().manual_seed(1))
    assert draws.points.shape == (3, 2, 4, 4)
    field = F.interpolate(draws.points, (28, 28), mode="bicubic", align_corners=True)
    assert 0.5 < float(field.std()) < 1.5
    x, y = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="xy")
    # On a linear slope, bilinear sampling is exact: the value tells where the pixel came from.
    for slope, places, axis in ((x, x, 0), (y, y, 1)):
        seen = apply_warp(slope.expand(3, 1, 28, 28), draws.maps, op, draws.points)[:, 0]
        torch.testing.assert_close(
            seen[:, 7:-7, 7:-7], (places + field[:, axis])[:, 7:-7, 7:-7], rtol=1e-4, atol=1e-3
        )


def test_elastic_warps_differ_between_images_and_seeds() -> None:
    images = picture().repeat(2, 1, 1, 1)
    one, same, other = (
        augment_images(images, [Warp(elastic_px=1)], torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, other)


def test_rotation_by_90_degrees_equals_rot90() -> None:
    op = Warp(rotate_deg=90, interpolation="nearest")
    image = torch.arange(16.0).view(1, 1, 4, 4)
    turn = math.radians(90)
    maps = torch.tensor(
        [[[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]]],
        dtype=torch.float64,
    )
    assert torch.equal(apply_warp(image, maps, op)[0, 0], torch.rot90(image[0, 0]))


def test_shift_moves_an_image_by_whole_pixels() -> None:
    op = Warp(shift_px=2)
    maps = torch.tensor([[[1.0, 0, -2], [0, 1, 1]]], dtype=torch.float64)  # 2 px to the right, 1 up
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 4] = 200
    moved = apply_warp(image, maps, op)
    assert moved[0, 0, 3, 6].item() == pytest.approx(200, abs=1e-3)
    assert moved.sum().item() == pytest.approx(200, abs=1e-2)


def test_random_warps_are_within_bounds_and_independent() -> None:
    op = Warp(rotate_deg=10, shift_px=2, scale=0.1)
    maps = draw_inverse_maps(op, 4_000, torch.Generator().manual_seed(0))
    forward = torch.linalg.inv(maps[:, :, :2])
    turn = torch.rad2deg(torch.atan2(forward[:, 0, 1], forward[:, 0, 0]))
    scale = torch.linalg.det(forward).sqrt()
    shift = (-forward @ maps[:, :, 2:])[:, :, 0]
    for found, low, high in (
        (turn, -10, 10),
        (scale, 0.9, 1.1),
        (shift[:, 0], -2, 2),
        (shift[:, 1], -2, 2),
    ):
        assert low <= found.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < found.max() <= high
        assert found.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert len(found.unique()) > 3_990
    assert abs(torch.corrcoef(torch.stack([turn, scale, shift[:, 0]]))[0, 1].item()) < 0.06


def test_document_001_fills_with_one_and_then_zero() -> None:
    images = torch.full((64, 1, 28, 28), 200.0)
    moved = augment_images(images, AUGMENTS["document_001"][:1], torch.Generator().manual_seed(1))
    assert set(moved.unique().tolist()) == {1.0, 200.0}
    both = augment_images(images, AUGMENTS["document_001"], torch.Generator().manual_seed(1))
    assert set(both.unique().tolist()) == {0.0, 1.0, 200.0}


def test_augmentation_without_effect_returns_the_same_tensor() -> None:
    images = torch.rand(3, 1, 5, 5)
    assert augment_images(images, (), torch.Generator()) is images
    assert augment_images(images, (Warp(fill=9),), torch.Generator()) is images


def test_epoch_contains_every_image_once_in_a_new_order(blob_data: Dataset) -> None:
    recipe = Recipe(batch_size=128)
    generator = torch.Generator().manual_seed(0)
    first = list(iterate_epoch(blob_data.train, recipe, generator))
    again = list(iterate_epoch(blob_data.train, recipe, generator))
    assert [len(labels) for _, labels in first] == [128] * 4 + [88]
    images = torch.cat([x for x, _ in first])
    wanted = normalize(blob_data.train.images, recipe)
    assert torch.equal(images.flatten(1).sort(0).values, wanted.flatten(1).sort(0).values)
    assert not torch.equal(images, torch.cat([x for x, _ in again]))


def test_batches_do_not_depend_on_the_chunk_size_of_augmentation(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(batch_size=100)
    whole = list(iterate_epoch(blob_data.train, recipe, torch.Generator().manual_seed(5)))
    monkeypatch.setattr("netlet.data.batches._IMAGES_AT_ONCE", 100)
    parts = list(iterate_epoch(blob_data.train, recipe, torch.Generator().manual_seed(5)))
    assert all(
        torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(whole, parts, strict=True)
    )
