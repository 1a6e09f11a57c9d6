"""IDX files, the folders they are searched in, and validation splits."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import encode_idx, md5_of, write_blob_source

from netlet.data import (
    MNIST,
    Dataset,
    Source,
    Split,
    cache_folder,
    find_source,
    load,
    prepare_for_record,
    read_idx,
    source_files,
    write_idx,
)
from netlet.errors import DataError, NetletError, NetletWarning


@pytest.fixture
def folder(tmp_path: Path, blob_source: Source) -> Path:
    """Plain files, so that bytes can be damaged."""
    write_blob_source(tmp_path, suffix="")
    return tmp_path


def damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_an_array_survives_writing_and_reading_as_idx(
    tmp_path: Path, suffix: str, dtype: str
) -> None:
    values = np.arange(-30, 30).astype(dtype).reshape(3, 4, 5)
    write_idx(tmp_path / f"x{suffix}", values)
    back = read_idx(tmp_path / f"x{suffix}")
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


def test_the_header_follows_the_idx_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "x", np.zeros((2, 3), np.uint8))
    assert (tmp_path / "x").read_bytes() == bytes.fromhex("00000802 00000002 00000003") + bytes(6)


def test_gzipped_files_are_reproducible(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.ones(9, np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_an_unsupported_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x: cannot store int64 of 1 dimensions; IDX stores uint8"):
        write_idx(tmp_path / "x", np.zeros(3, np.int64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\x00\x00",
            r"bad: expected an IDX header of at least 4 bytes, found 2 bytes; the file is cut short, download",
        ),
        (
            b"PK\x03\x04rubbish",
            r"bad: expected an IDX magic number such as 0x00000803, found 0x504b0304",
        ),
        (b"\x00\x00\x08\x03\x00\x00", r"bad: expected a header of 16 bytes, found 6 bytes"),
        (
            b"\x00\x00\x08\x01\x00\x00\x00\x05abc",
            r"bad: expected 13 bytes for 5, found 11; the file is cut short",
        ),
        (
            b"\x00\x00\x08\x01\x00\x00\x00\x02abc",
            r"bad: expected 10 bytes for 2, found 11; there are trailing bytes",
        ),
    ],
)
def test_a_broken_idx_file_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    damage(tmp_path / "bad", content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "bad")


def test_a_broken_gzip_file_is_reported(tmp_path: Path) -> None:
    whole = gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x01a" * 50)
    for content in (whole[:-9], b"not gzip at all", whole[:20] + b"\xff\xff\xff" + whole[23:]):
        damage(tmp_path / "x.gz", content)
        with pytest.raises(
            DataError, match=r"x\.gz: expected a complete gzip file, found a broken one"
        ):
            read_idx(tmp_path / "x.gz")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file; check its name"):
        read_idx(tmp_path / "nowhere")


def test_a_data_set_has_images_labels_and_checksums(blob_data: Dataset) -> None:
    assert blob_data.train.images.shape == (600, 1, 28, 28)
    assert blob_data.train.images.dtype == torch.uint8
    assert blob_data.held_out.name == "test"
    assert len(blob_data.held_out) == 100
    assert set(blob_data.checksums) == {file.name for file in MNIST.files}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "train-labels-idx1-ubyte",
            np.zeros(599, np.uint8),
            r"train-labels-idx1-ubyte: expected 600, found 599",
        ),
        (
            "train-images-idx3-ubyte",
            np.zeros((600, 28, 27), np.uint8),
            r"expected 600x28x28, found 600x28x27",
        ),
        (
            "t10k-images-idx3-ubyte",
            np.zeros((100, 28), np.uint8),
            r"expected uint8 of 3 dimensions, found uint8 of 2",
        ),
        (
            "t10k-labels-idx1-ubyte",
            np.zeros(100, np.int32),
            r"expected uint8 of 1 dimensions, found int32",
        ),
        (
            "t10k-labels-idx1-ubyte",
            np.full(100, 10, np.uint8),
            r"expected labels 0 to 9, found 10 at index 0; download it again",
        ),
        (
            "t10k-labels-idx1-ubyte",
            np.zeros(100, np.uint8),
            r"expected MD5 [0-9a-f]{32} of the raw content, found [0-9a-f]{32}",
        ),
    ],
)
def test_a_wrong_file_is_named_and_nothing_is_loaded(
    folder: Path, blob_source: Source, name: str, values: np.ndarray, message: str
) -> None:
    write_idx(folder / name, values)
    with pytest.raises(DataError, match=message) as caught:
        source_files.read_source(blob_source, folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_different_numbers_of_images_and_labels_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"labels: expected 3 labels for 3 images, found 2; download"
    ):
        source_files.make_split(
            "train", np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.uint8), 10, Path("labels")
        )


def test_a_single_changed_byte_is_detected(folder: Path, blob_source: Source) -> None:
    path = folder / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="expected MD5"):
        source_files.read_source(blob_source, folder)


@pytest.mark.parametrize("layout", ["", "mnist", "MNIST/raw"])
def test_files_are_found_in_each_folder_layout(
    folder: Path, blob_source: Source, tmp_path: Path, layout: str
) -> None:
    root = tmp_path / "root"
    place = root / layout
    place.mkdir(parents=True)
    for file in blob_source.files:
        shutil.copy(folder / file.name, place)
    assert find_source(blob_source, root) == place
    assert len(source_files.read_source(blob_source, find_source(blob_source, root)).train) == 600


def test_folders_are_searched_in_order(
    folder: Path, blob_source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        source_files.platformdirs,
        "user_cache_dir",
        lambda *_, **__: str(tmp_path / "cache" / "netlet"),
    )
    monkeypatch.delenv("NETLET_DATA", raising=False)
    with pytest.raises(DataError, match="mnist not found"):
        find_source(blob_source)
    for place in (tmp_path / "data" / "MNIST" / "raw", cache_folder() / "mnist"):
        place.mkdir(parents=True)
        for file in blob_source.files:
            shutil.copy(folder / file.name, place)
        assert (
            find_source(blob_source) == place.relative_to(tmp_path)
            if "data" in place.parts
            else place
        )
    monkeypatch.setenv("NETLET_DATA", str(folder))
    assert find_source(blob_source) == folder
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        DataError,
        match=r"not found in .*empty; name the folder of its four IDX files \(.*\), leave out "
        r"--data-dir \(folder in Python\), or run 'netlet data get mnist --out .*empty'",
    ):
        find_source(blob_source, empty)


def test_a_missing_data_set_is_reported_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLET_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=r"put its four IDX files into .*, or name their folder with --data-dir DIR"
    ) as caught:
        load("mnist")
    assert "\n" not in str(caught.value)


def test_an_incomplete_data_set_is_refused(folder: Path, blob_source: Source) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DataError,
        match=r"contains only part of mnist; add the missing files: t10k-labels-idx1-ubyte",
    ):
        find_source(blob_source, folder)
    assert find_source(blob_source, folder, read_test=False) == folder
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"missing files: train-labels-idx1-ubyte \("):
        find_source(blob_source, folder, read_test=False)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(
        DataError,
        match=r"no data set 'minst'; did you mean 'mnist'\? choose one of mnist, fashion_mnist",
    ):
        load("minst")


def test_the_validation_split_is_stratified_reproducible_and_removed_from_train(
    blob_data: Dataset,
) -> None:
    held = blob_data.hold_out(55)
    assert held.held_out.name == "val"
    assert len(held.held_out) == 55
    assert len(held.train) == 545
    counts = torch.bincount(held.held_out.labels, minlength=10)
    assert counts.min() >= 5
    assert counts.max() <= 6
    assert torch.equal(held.held_out.images, blob_data.hold_out(55).held_out.images)
    assert [held.split(name) for name in ("train", "val", "test")] == [
        held.train,
        held.held_out,
        blob_data.held_out,
    ]
    with pytest.raises(DataError, match="no split 'tset'; it has train, val and test"):
        held.split("tset")
    other = blob_data.hold_out(55, draw=1)
    assert not torch.equal(held.held_out.images, other.held_out.images)
    both = torch.cat([held.train.images, held.held_out.images]).flatten(1)
    assert len(both.unique(dim=0)) == len(blob_data.train.images.flatten(1).unique(dim=0)) == 600


@pytest.mark.parametrize("images", [0, 9, 591, 600])
def test_a_validation_split_of_the_wrong_size_is_refused(blob_data: Dataset, images: int) -> None:
    with pytest.raises(
        DataError, match=rf"val={images} of 600 training images is out of range; choose 10 to 590"
    ):
        blob_data.hold_out(images)


def test_fewer_training_images_keep_the_proportions_of_the_classes(blob_data: Dataset) -> None:
    few = blob_data.take(100)
    assert (len(few.train), few.held_out) == (100, blob_data.held_out)
    assert few.name == "mnist, 100 training images"
    shares = blob_data.train.labels.bincount() * 100 / len(blob_data.train)
    assert (few.train.labels.bincount() - shares).abs().max() < 1
    assert few.digest == blob_data.take(100).digest != blob_data.digest
    val = blob_data.hold_out(50)
    assert torch.equal(val.take(100).held_out.images, val.held_out.images)
    for images in (1, len(blob_data.train)):
        with pytest.raises(DataError, match="out of range"):
            blob_data.take(images)


def test_images_of_ones_own_have_a_digest_of_their_own(blob_data: Dataset) -> None:
    names = blob_data.class_names
    own = Dataset("own", blob_data.train, blob_data.held_out, names)
    assert own.checksums == {
        "train": blob_data.train.sha256(),
        "test": blob_data.held_out.sha256(),
    }
    held_out = blob_data.held_out.take(torch.arange(50))
    assert Dataset("own", blob_data.train, held_out, names).digest != own.digest


def test_other_images_are_not_recorded_as_a_public_data_set(blob_data: Dataset) -> None:
    train, test = blob_data.train, blob_data.held_out
    on_test = Split("train", test.images, test.labels)
    inverted = dataclasses.replace(train, images=255 - train.images)
    fewer = dataclasses.replace(blob_data, held_out=test.take(torch.arange(9)))
    for other in (
        Dataset("mnist", on_test, test, blob_data.class_names),
        dataclasses.replace(blob_data, train=on_test),
        dataclasses.replace(blob_data, train=inverted),
        dataclasses.replace(blob_data, train=inverted).hold_out(50),
        dataclasses.replace(blob_data.hold_out(50), train=train),
        dataclasses.replace(blob_data, train=inverted).with_channels(3),
        fewer.hold_out(50),
    ):
        with pytest.warns(NetletWarning, match="called mnist, but has other images than its fil"):
            recorded = prepare_for_record(other)
        assert recorded.name == "mnist, changed"
        assert recorded.digest not in (blob_data.digest, "")
    own = Dataset("own", train, test, blob_data.class_names)
    other = prepare_for_record(dataclasses.replace(own, train=inverted))
    assert (other.name, other.digest == own.digest) == ("own", False)
    for same in (
        blob_data,
        blob_data.hold_out(50),
        blob_data.hold_out_fold(1, 4).with_channels(3),
        blob_data.with_channels(3).hold_out(50),
        blob_data.hold_out(50).take(100),
        blob_data.with_classes(blob_data.class_names[::-1]),
        Dataset("mine", on_test, test, ("0",) * 10),
    ):
        assert prepare_for_record(same) is same
    none = dataclasses.replace(blob_data, held_out=test.take(torch.arange(0)))
    assert prepare_for_record(none) is none
    for splits in ((test, test), (train, train), (test, train)):
        with pytest.raises(DataError, match="call the images to train on 'train'"):
            prepare_for_record(Dataset("mnist", *splits, blob_data.class_names))


def test_a_split_checks_types_and_shapes() -> None:
    images, labels = torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(
        DataError, match=r"expected uint8 N C H W, .*; pass gray levels 0 to 255 as uint8"
    ):
        Split("train", images.float(), labels)
    with pytest.raises(DataError, match=r"expected 3 of int64, .*; pass one for each image"):
        Split("train", images, labels[:2])


def test_data_errors_are_netlet_errors() -> None:
    assert issubclass(DataError, NetletError)


def test_the_test_helper_writes_the_same_bytes(tmp_path: Path) -> None:
    import hashlib

    values = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    write_idx(tmp_path / "x", values)
    assert md5_of(encode_idx(values)) == hashlib.md5((tmp_path / "x").read_bytes()).hexdigest()


@pytest.mark.mnist
def test_mnist_has_its_known_sizes_labels_and_statistics(mnist: Dataset) -> None:
    assert len(mnist.train) == 60_000
    assert len(mnist.held_out) == 10_000
    assert mnist.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    pixels = mnist.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)
