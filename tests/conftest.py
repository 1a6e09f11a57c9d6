"""Small worlds for the tests: IDX files of blobs that a net can learn, and a source that knows their checksums."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from netlet.data import MNIST, Dataset, Source, load, sources, write_idx
from netlet.data.sources import File
from netlet.errors import DataError


def blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of ten easy classes: a bright bar whose height tells the class."""
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % 10).astype(np.uint8)
    images = random.integers(0, 60, (n, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 5 + 2 * label, 4:24] = 250
    return images, labels


def write_source(folder: Path, train: int = 600, test: int = 100, suffix: str = ".gz") -> Source:
    """Four files in ``folder``, named like MNIST's, and the source that describes them."""
    arrays = {}
    for images, labels, n, seed in (
        (MNIST.train_images, MNIST.train_labels, train, 0),
        (MNIST.test_images, MNIST.test_labels, test, 1),
    ):
        arrays[images.name], arrays[labels.name] = blobs(n, seed)
    for name, values in arrays.items():
        write_idx(folder / f"{name}{suffix}", values)
    return dataclasses.replace(
        MNIST,
        train_count=train,
        test_count=test,
        **{
            field: File(file.name, md5_of(arrays[file.name]))
            for field in ("train_images", "train_labels", "test_images", "test_labels")
            for file in [getattr(MNIST, field)]
        },
    )


def md5_of(values: np.ndarray) -> str:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return hashlib.md5(header + values.tobytes()).hexdigest()


@pytest.fixture(scope="session")
def blob_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blobs")
    write_source(folder)
    return folder


@pytest.fixture(scope="session")
def blob_source(blob_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write_source(tmp_path_factory.mktemp("again"))


@pytest.fixture(scope="session")
def blob_data(blob_folder: Path, blob_source: Source) -> Dataset:
    return sources.read(blob_source, blob_folder)


@pytest.fixture
def blobs_for_mnist(blob_source: Source, monkeypatch: pytest.MonkeyPatch, blob_folder: Path) -> Path:
    """The command line finds the blobs where it looks for MNIST."""
    monkeypatch.setitem(sources.SOURCES, "mnist", blob_source)
    monkeypatch.setenv("NETLET_DATA", str(blob_folder))
    return blob_folder


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    try:
        return load("mnist")
    except DataError as error:
        pytest.skip(f"real MNIST not at hand: {error}")


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(2)
