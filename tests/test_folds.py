"""Folds of the training images, and loading them without the test images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import draw_blobs

from netlet import data
from netlet.data import Dataset
from netlet.errors import DataError


def test_folds_are_disjoint_and_cover_the_training_images(blob_data: Dataset) -> None:
    folds = [blob_data.hold_out_fold(fold, 7) for fold in range(7)]
    assert sum(len(fold.held_out) for fold in folds) == len(blob_data.train) == 600
    assert {len(fold.held_out) for fold in folds} == {85, 86}
    held_out = torch.cat([fold.held_out.images for fold in folds]).flatten(1)
    assert len(held_out.unique(dim=0)) == 600
    for fold in folds:
        assert (fold.train.name, fold.held_out.name) == ("train", "val")
        assert len(fold.train) + len(fold.held_out) == 600
        counts = torch.bincount(fold.held_out.labels, minlength=10)
        assert int(counts.max() - counts.min()) <= 1
    again = folds[3].hold_out_fold(3, 7)
    assert torch.equal(again.held_out.images, folds[3].held_out.images)
    for wrong in ((0, 1), (0, 61), (7, 7), (-1, 7)):
        with pytest.raises(DataError, match="choose"):
            blob_data.hold_out_fold(*wrong)


def test_training_images_are_loaded_without_the_test_images(
    blobs_without_test: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = data.load("mnist", read_test=False)
    assert (len(alone.train), len(alone.held_out)) == (600, 0)
    images, labels = draw_blobs(40, 0)
    whole = tmp_path / "own.npz"
    np.savez(whole, images=images, labels=labels, test_images=np.zeros(3), test_labels=labels)
    with pytest.raises(DataError):
        data.load(whole)
    assert len(data.load(whole, read_test=False).train) == 40
    from PIL import Image

    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "folders" / "train" / str(label) / f"{n}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    shutil.copytree(tmp_path / "folders" / "train", tmp_path / "folders" / "test")
    (tmp_path / "folders" / "test" / "3" / "3.png").write_bytes(b"not to be read")
    with pytest.raises(DataError):
        data.load(tmp_path / "folders")
    assert len(data.load(tmp_path / "folders", read_test=False).train) == 40


def test_scribble_without_its_test_images_is_the_same_otherwise(tmp_path: Path) -> None:
    from netlet.data import load_scribble, make_scribble, scribble

    small = make_scribble(30, 20)
    scribble._save(small, tmp_path / f"scribble-{scribble.VERSION}.safetensors", pytest.fail)
    alone = load_scribble(tmp_path, read_test=False)
    assert torch.equal(alone.train.images, small.train.images)
    assert (len(alone.held_out), alone.class_names) == (0, small.class_names)
