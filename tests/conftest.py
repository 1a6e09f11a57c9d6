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
from netlet.data import MNIST, SOURCES, Dataset, Source, load, make_scribble, save_npz, write_idx
from netlet.data.source_files import read_source
from netlet.data.sources import File, Part
from netlet.errors import DataError
from netlet.recipes import QUICK
from netlet.records import CalibrationBin, Mistake, SeedResult, Study, to_json_value


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
    return read_source(blob_source, blob_folder)


@pytest.fixture
def blobs_for_mnist(
    blob_source: Source, monkeypatch: pytest.MonkeyPatch, blob_folder: Path
) -> Path:
    """The command line finds the blobs where it looks for MNIST."""
    monkeypatch.setitem(SOURCES, "mnist", blob_source)
    monkeypatch.setenv("NETLET_DATA", str(blob_folder))
    return blob_folder


def result(
    seed: int,
    correct: int,
    *,
    total: int = 1_000,
    train_correct: int = 590,
    running: int = 580,
    best: int | None = None,
    verdict: str = "PASS",
    train_s: float = 1.0,
    first: int = 0,
) -> SeedResult:
    """A seed of two epochs on a study of ten classes; the images from ``first`` on are wrong, taken for the next class."""
    wrong = range(first, first + total - correct)
    return SeedResult(
        seed=seed,
        correct=correct,
        correct_by_epoch=(correct - 1 if best is None else best, correct),
        train_correct=train_correct,
        train_correct_by_epoch=(running - 10, running),
        train_losses=(0.5, 0.25),
        held_out_losses=(0.4, 0.2),
        verdict=verdict,
        mistakes=tuple(
            Mistake(image % total, image % 10, (image + 1) % 10, 0.75) for image in wrong
        ),
        calibration=(
            *(CalibrationBin(0, 0, 0.0),) * 7,
            CalibrationBin(total - correct, 0, 0.75),
            CalibrationBin(0, 0, 0.0),
            CalibrationBin(correct, correct, 0.99),
        ),
        train_s=train_s,
        total_s=2.0,
        weights_digest=f"{seed:064x}",
    )


def study(*seeds: SeedResult, **changes: object) -> Study:
    """Of 600 training and 1,000 test images unless they are changed; the net is one layer."""
    total = seeds[0].correct + len(seeds[0].mistakes)
    row = {
        "name": "0",
        "kind": "Conv2d",
        "output": [10, 1, 1],
        "parameters": 3,
        "macs": 9,
        "field": [3, 3],
        "jump": [1, 1],
        "kernel": [3, 3],
        "stride": [1, 1],
        "padding": [0, 0],
        "dilation": [1, 1],
        "shared": False,
    }
    field_row = {
        "name": "0",
        "kind": "Conv2d",
        "n_in": [28, 28],
        "k": [3, 3],
        "s": [1, 1],
        "p": [0, 0],
        "d": [1, 1],
        "n_out": [26, 26],
        "r_in": [1, 1],
        "j_in": [1, 1],
        "r_out": [3, 3],
        "j_out": [1, 1],
    }
    values: dict[str, object] = {
        "name": "swift",
        "net": "swift",
        "recipe": to_json_value(QUICK.replace(epochs=2)),
        "budget": None,
        "cost": {
            "parameters": 3,
            "macs": 9,
            "weight_bytes": 12,
            "activation_bytes": 40,
            "kinds": {"Conv2d": ["0"]},
            "epochs": 2,
        },
        "data": {
            "name": "mnist",
            "digest": "d" * 64,
            "images": {"train": 600, "test": total},
            "shape": [1, 28, 28],
            "classes": 10,
            "class_names": list("0123456789"),
        },
        "split": "test",
        "total": total,
        "train_total": 600,
        "class_sizes": (total // 10,) * 10,
        "lr_by_epoch": (0.02, 0.0),
        "summary": {"net": "Net", "rows": [row]},
        "receptive_field": {"size": [3, 3], "rows": [field_row]},
        "precision": "float32",
        "backend": "eager",
        "seeds": seeds,
        "environment": {
            "threads": 1,
            "cores": 2,
            "cpu": "a processor",
            "netlet": "0",
            "torch": "2",
            "python": "3",
            "system": "Linux",
        },
    }
    return Study(**values | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 and 100 drawn digits, for processes that know no fixture."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    save_npz(make_scribble(300, 100), path)
    return path


Netlet = Callable[..., tuple[int, str, str]]


@pytest.fixture
def netlet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Netlet:
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
