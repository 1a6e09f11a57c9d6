"""Small worlds for the tests: IDX files of blobs that a net can learn, and a source that knows their checksums."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from netlet.cli import main
from netlet.data import MNIST, SOURCES, Dataset, Source, load, write_idx
from netlet.data.on_disk import read
from netlet.data.sources import File, Part
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
    parts = []
    for part, n, seed in ((MNIST.train, train, 0), (MNIST.test, test, 1)):
        files = []
        for file, values in zip((part.images, part.labels), blobs(n, seed), strict=True):
            write_idx(folder / f"{file.name}{suffix}", values)
            raw = raw_idx(values)
            packed = gzip.compress(raw, mtime=0)
            files.append(File(file.name, len(raw), md5_of(raw), md5_of(packed)))
        parts.append(Part(part.name, *files, n))
    return dataclasses.replace(MNIST, train=parts[0], test=parts[1])


def raw_idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.tobytes()


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


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
    return read(blob_source, blob_folder)


@pytest.fixture
def blobs_for_mnist(blob_source: Source, monkeypatch: pytest.MonkeyPatch, blob_folder: Path) -> Path:
    """The command line finds the blobs where it looks for MNIST."""
    monkeypatch.setitem(SOURCES, "mnist", blob_source)
    monkeypatch.setenv("NETLET_DATA", str(blob_folder))
    return blob_folder


Netlet = Callable[..., tuple[int, str, str]]


@pytest.fixture
def netlet(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Netlet:
    """The command line in a folder of its own: arguments to exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    try:
        return load("mnist")
    except DataError as error:
        pytest.skip(f"real MNIST not at hand: {error}")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches for the network unless it says so, and each has the same number of threads."""
    monkeypatch.setenv("NETLET_OFFLINE", "1")
    torch.set_num_threads(2)
