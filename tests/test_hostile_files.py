"""Files that would fill the memory, wait for ever, run a program or be read wrongly are refused."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet, flat_net
from PIL import Image
from safetensors.torch import save as save_safetensors

from netlet.data import load_user_images, npz, read_idx
from netlet.errors import DataError, LadderError, NetError, RecordError
from netlet.experiments.search.trials import read_results
from netlet.nets import load_weights
from netlet.records import load_ladder, read_trials


def write_classes(root: Path, classes: tuple[str, ...] = ("a", "b"), images: int = 3) -> Path:
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(images):
            Image.new("L", (8, 8), 40 * k + i).save(root / name / f"{i}.png")
    return root


def refuse_image(root: Path, save: Callable[[Path], object]) -> str:
    """Add a file to a folder of images and return why it is refused."""
    write_classes(root)
    file = root / "a" / "x.tif"
    save(file)
    with pytest.raises(DataError) as refused:
        load_user_images(root)
    message = str(refused.value)
    assert message.startswith(f"{file}: ")
    assert "; " in message
    assert "\n" not in message
    return message


# --- pictures


LEVELS = np.linspace(0, 1, 64).reshape(8, 8)


def save_float(file: Path) -> None:
    Image.fromarray(LEVELS.astype(np.float32)).save(file)


def save_int32(file: Path) -> None:
    Image.fromarray((LEVELS * 70_000).astype(np.int32)).save(file)


def save_two_pages(file: Path) -> None:
    page = Image.new("L", (8, 8))
    page.save(file, save_all=True, append_images=[page])


def save_animation(file: Path) -> None:
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:])


def save_white_is_zero(file: Path) -> None:
    Image.fromarray((LEVELS * 65_535).astype(np.uint16)).save(file, tiffinfo={262: 0})


def save_large(file: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(file, format="PNG")


def save_postscript(file: Path) -> None:
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n{} loop\n")


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (save_float, "has pixels of mode F, whose black and white are unknown"),
        (save_int32, "has pixels of mode I, whose black and white are unknown"),
        (save_white_is_zero, "has pixels of mode I;16, whose black and white are unknown"),
        (save_two_pages, "has more than one frame"),
        (save_animation, "has more than one frame"),
        (save_large, "too large; scale all images to at most 64x64"),
        (save_postscript, "cannot be read as an image (cannot identify its format)"),
        (lambda file: file.write_bytes(b""), "cannot be read as an image (it is empty)"),
        (lambda file: file.write_bytes(b"x"), "cannot be read as an image"),
    ],
)
def test_an_image_that_cannot_be_scaled_is_refused(
    tmp_path: Path, save: Callable[[Path], object], message: str
) -> None:
    assert message in refuse_image(tmp_path / "own", save)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        for i in range(2):
            Image.fromarray((LEVELS * 65_535).astype(np.uint16)).save(
                tmp_path / str(k) / f"{i}.{suffix}"
            )
    image = load_user_images(tmp_path).train.images[0, 0].numpy()
    assert np.array_equal(image, (LEVELS * 65_535).astype(np.uint16) // 257)


def test_exif_orientation_palettes_and_cmyk_keep_their_levels(tmp_path: Path) -> None:
    levels = (LEVELS * 255).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6  # turn by 90 degrees to the right
    plain = Image.fromarray(levels)
    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    plain.rotate(90).save(tmp_path / "0" / "0.png", exif=turned)
    plain.convert("P").save(tmp_path / "0" / "1.png")
    plain.convert("LA").save(tmp_path / "1" / "0.png")
    plain.convert("CMYK").save(tmp_path / "1" / "1.tif")
    found = load_user_images(tmp_path)
    for image in torch.cat([found.train.images, found.held_out.images]):
        assert np.abs(image[0].numpy().astype(int) - levels).max() <= 1


# --- what a folder contains besides its images


def test_what_is_left_out_is_counted_and_named(netlet: Netlet, tmp_path: Path) -> None:
    root = write_classes(tmp_path / "own" / "train")
    write_classes(tmp_path / "own" / "test")
    write_classes(tmp_path / "own" / "val")
    for name in (".DS_Store", "Thumbs.db", "a.txt", "b.txt", "c.txt"):
        (root / "a" / name).write_text("x")
    (root / "b" / "deep").mkdir()
    os.mkfifo(root / "b" / "pipe.png")
    (root / "b" / "loop.png").symlink_to("loop.png")
    (root / "notes.md").write_text("x")
    code, out, err = netlet("data", "verify", "own")
    assert (code, err) == (0, "")
    assert [line.strip() for line in out.splitlines()[1:]] == [
        "left out: entries that are not files: 2 (train/b/loop.png, train/b/pipe.png)",
        "left out: files of other types: 4 (train/a/Thumbs.db, train/a/a.txt, train/a/b.txt and 1 "
        "more)",
        "left out: files outside of class folders: 1 (train/notes.md)",
        "left out: folders inside class folders: 1 (train/b/deep)",
        "left out: folders that belong to no split: 1 (val)",
        "left out: hidden entries: 1 (train/a/.DS_Store)",
        "6 of 6 test images are also training images; keep each image in one split, or the score "
        "does not tell how well a net classifies new images",
    ]


@pytest.mark.parametrize("names", [("Cat", "cat"), ("cat", "cat "), ("é", "e\u0301")])
def test_class_names_that_look_alike_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    write_classes(tmp_path / "own", names)
    with pytest.raises(DataError, match="differ only in case, spaces or"):
        load_user_images(tmp_path / "own")


def test_two_classes_that_are_one_folder_are_refused(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "own")
    (root / "c").symlink_to("a")
    with pytest.raises(DataError, match="remove one of the links"):
        load_user_images(root)


# --- archives and arrays


def npz_bytes(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def own_arrays() -> dict[str, np.ndarray]:
    return {"images": np.zeros((20, 8, 8), np.uint8), "labels": np.arange(20) % 2}


def npz_with(name: str, content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an .npz of labels and one more entry."""
    file = io.BytesIO(npz_bytes(labels=own_arrays()["labels"]))
    with zipfile.ZipFile(file, "a", kind) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def npy_bytes(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def npy_header(shape: str, dtype: str = "|u1", zeros: int = 0) -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(zeros)


BOMB = npy_header("(1500000, 10, 10)", zeros=150_000_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: npz_with("images.npy", BOMB),
            "unpacks from .* to 150,0.*, more than 500 times as many; save it without compression",
        ),
        (
            lambda: npz_with("images.npy", npy_header("(10**9, 28, 28)")),
            r"cannot be read as an \.npz",
        ),
        (
            lambda: npz_with("images.npy", npy_header("(1000000000, 28, 28)")),
            "its header announces 784,000,000,.* for uint8 1000000000x28x28",
        ),
        (lambda: npz_with("images.npy", npy_header("(-1, 8, 8)")), "its header announces"),
        (lambda: npz_with("images.npy", npy_header("(20, 8, 8)", "|O")), "Python objects"),
        (lambda: npz_with("images.npy", npy_bytes(np.zeros(3, "u1,u1"))), "expected uint8"),
        (lambda: npz_with("images.npy", npy_bytes(np.full((20, 8, 8), np.nan))), "found float64"),
        (lambda: npz_with("images.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), "cannot be read as"),
        (lambda: npz_with("images.npy", b"x"), "cannot be read as"),
        (lambda: npz_with("labels.npy", b"x"), "contains 'labels' twice"),
        (
            lambda: npz_with("images.npy", npy_bytes(own_arrays()["images"]), zipfile.ZIP_BZIP2),
            "compressed in a way NumPy does not use",
        ),
        (
            lambda: npz_with("/images.npy", npy_bytes(own_arrays()["images"])),
            "found labels, /images",
        ),
        (
            lambda: npz_bytes(images=np.zeros((20, 0, 0), np.uint8), labels=np.arange(20) % 2),
            "images of 0x0 have no pixels",
        ),
        (
            lambda: npz_bytes(images=np.zeros((3_000, 2, 2), np.uint8), labels=np.arange(3_000)),
            "found 3,000 classes, more than 1,000",
        ),
        (
            lambda: npz_bytes(images=own_arrays()["images"], labels=np.array(["x" * 500] * 20)),
            "its labels have up to 500 characters; use names of at most 200",
        ),
        (lambda: b"", r"cannot be read as an \.npz"),
    ],
)
def test_an_npz_is_refused_before_it_is_unpacked(
    tmp_path: Path, content: Callable[[], bytes], message: str
) -> None:
    (tmp_path / "own.npz").write_bytes(content())
    with pytest.raises(DataError, match=message) as refused:
        load_user_images(tmp_path / "own.npz")
    assert "\n" not in str(refused.value)


def test_an_array_that_is_too_large_is_refused_whatever_its_compression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "_MAX_BYTES", 9_000)
    (tmp_path / "own.npz").write_bytes(npz_with("images.npy", npy_bytes(np.zeros((20, 30, 30)))))
    with pytest.raises(DataError, match=r"more than 9,000; save fewer or smaller images$"):
        load_user_images(tmp_path / "own.npz")


def test_only_the_arrays_of_images_and_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(npz_bytes(**own_arrays(), junk=np.array([None])))
    assert len(load_user_images(tmp_path / "own.npz").train) == 17


def test_the_order_of_bytes_and_axes_in_memory_makes_no_difference(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20) % 2)
    np.savez(
        tmp_path / "b.npz",
        images=np.asfortranarray(images),
        labels=(np.arange(20) % 2).astype(">i4"),
    )
    first, second = load_user_images(tmp_path / "a.npz"), load_user_images(tmp_path / "b.npz")
    assert first.digest == second.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes([0, 0, 8, 255]) + bytes([255] * 1_020), "this is not an IDX file"),
        (bytes([0, 0, 8, 3]) + bytes([255] * 12), "announces 4294967295x4294967295x4294967295"),
        (bytes([0, 0, 8, 2, 0, 0, 0, 0]) + bytes([255] * 4), "announces|expected"),
        (
            gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 5]) + bytes(9_000_000), mtime=0),
            "trailing bytes",
        ),
        (gzip.compress(b"", mtime=0) * 3_000, "it has more than 2000 parts|at least 4 bytes"),
        (b"\x1f\x8b\x08", "expected a complete gzip file, found a broken one"),
    ],
    # Not the content, since gzip notes the time in it.
    ids=["no magic number", "huge", "too short", "too long", "many parts", "cut"],
)
def test_an_idx_file_is_unpacked_only_as_far_as_it_should(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    (tmp_path / "x").write_bytes(content)
    for name in ("x", "x.gz") if content[:2] == b"\x1f\x8b" else ("x",):
        with pytest.raises(DataError, match=message) as refused:
            read_idx(tmp_path / name)
        assert len(str(refused.value)) < 400


def test_gzip_files_joined_into_one_are_read(tmp_path: Path) -> None:
    raw = bytes([0, 0, 8, 1, 0, 0, 0, 4]) + b"abcd"
    (tmp_path / "x.gz").write_bytes(gzip.compress(raw[:7]) + gzip.compress(raw[7:]) + bytes(9))
    assert read_idx(tmp_path / "x.gz").tobytes() == b"abcd"


# --- weights


def torch_bytes(value: object, **options: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def repack(
    content: bytes, edit: Callable[[str, bytes], bytes], kind: int = zipfile.ZIP_STORED
) -> bytes:
    """Return an archive of torch.save with changed entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", kind) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, edit(entry.filename, old.read(entry)))
    return file.getvalue()


def fill_memory(name: str, content: bytes) -> bytes:
    if not name.endswith("data.pkl"):
        return content
    return b"\x80\x02cbuiltins\nbytearray\n\x8a\x08" + (10**11).to_bytes(8, "little") + b"\x85R."


WEIGHT = {"1.weight": torch.zeros(10, 784), "1.bias": torch.zeros(10)}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pt", lambda: b"", "is empty; name a file that torch.save wrote"),
        ("w.pt", lambda: b"x", "cannot be read as weights|found a broken file"),
        ("w.pt", lambda: b"\x80\x02he.", r"cannot be read as weights \(KeyError: 101\)"),
        ("w.pt", lambda: save_safetensors(WEIGHT), r"is a safetensors file; rename it to w\.safe"),
        (
            "w.safetensors",
            lambda: torch_bytes(WEIGHT),
            r"that torch\.save wrote; rename it to w\.pt",
        ),
        ("w.safetensors", lambda: b"", "expected a safetensors file, found a broken one"),
        ("w.safetensors", lambda: b"\xff" * 8 + b"{}", "its header is too long"),
        (
            "w.safetensors",
            lambda: (
                struct.pack("<Q", 70)
                + b'{"1.weight":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,4]}}'.ljust(
                    70
                )
                + bytes(4)
            ),
            "expected a safetensors file, found a broken one",
        ),
        (
            "w.pt",
            lambda: repack(torch_bytes(WEIGHT), lambda _, c: c, zipfile.ZIP_DEFLATED),
            "it unpacks to more bytes than it has|it is compressed",
        ),
        ("w.pt", lambda: repack(torch_bytes(WEIGHT), fill_memory), "it would fill the memory"),
        (
            "w.pt",
            lambda: torch_bytes({**WEIGHT, "1.weight": torch.zeros(1).expand(10, 10**9)}),
            "1.weight is larger than the file",
        ),
        (
            "w.pt",
            lambda: torch_bytes({**WEIGHT, "1.weight": torch.zeros(10, 784).to_sparse()}),
            "1.weight is sparse",
        ),
        (
            "w.pt",
            lambda: torch_bytes({**WEIGHT, "1.weight": torch.zeros(10, 784, device="meta")}),
            "1.weight is without values",
        ),
        (
            "w.pt",
            lambda: torch_bytes(
                {"w": torch.quantize_per_tensor(torch.zeros(9), 0.1, 0, torch.qint8)}
            ),
            "w is quantized",
        ),
        ("w.pt", lambda: torch_bytes({1: torch.zeros(1)}), "expected a state_dict"),
    ],
)
def test_weights_are_checked_before_they_are_loaded(
    tmp_path: Path, name: str, content: Callable[[], bytes], message: str
) -> None:
    (tmp_path / name).write_bytes(content())
    with pytest.raises(NetError, match=message) as refused:
        load_weights(flat_net(), tmp_path / name)
    assert "\n" not in str(refused.value)


# --- text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a=" + b"[" * 5_000 + b"]" * 5_000, "nested too deep"),
        (b"a" + b".a" * 50_000 + b"=1", "line 1 has too many dots"),
        (b"a=" + b"9" * 100_000, "a number is too long"),
        (b"title='x'\ntitle='y'", "is not valid TOML"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"\xef\xbb\xbftitle='x'", "has no "),
        (b"", "has no "),
        (b"x" * 2_000_000, "such files have at most"),
    ],
)
def test_a_ladder_is_checked_before_anything_runs(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(LadderError, match=message) as refused:
        load_ladder(tmp_path / "x.toml")
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "line", ["x", "[]", "{}", '{"seed": "1"}', '{"seed": NaN}', "[" * 9_000, '{"seed":1,"seed":2}']
)
def test_a_broken_line_of_trials_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text('{"seed": 3}\n' + line)
    with pytest.raises(RecordError, match="line 2"):
        read_trials(path, [5])
    with pytest.raises(RecordError, match="line 2"):
        read_results(path)
