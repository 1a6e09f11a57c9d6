"""The user's own images: folders and arrays, valid and invalid, from loading to a recorded run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet, few_fast
from PIL import Image

from netlet import records
from netlet.data import (
    Dataset,
    count_repeated,
    draw_contact_sheet,
    load,
    load_user_images,
    make_scribble,
    save_npz,
)
from netlet.errors import DataError
from netlet.recipes import AUGMENTS

Random = np.random.Generator


def picture(
    random: Random, k: int, size: tuple[int, int] = (20, 24), mode: str = "L"
) -> Image.Image:
    """Return a noisy image whose class is the position of a bright band."""
    pixels = random.integers(0, 60, (*size, 3), dtype=np.uint8)
    pixels[2 + 4 * k : 6 + 4 * k] = (250, 240, 250) if mode == "L" else (250, 60, 20)
    return Image.fromarray(pixels).convert(mode)


def write_folder(
    root: Path,
    classes: int = 3,
    images: int = 12,
    mode: str = "L",
    size: tuple[int, int] = (20, 24),
) -> Path:
    random = np.random.default_rng(0)
    for k in range(classes):
        (root / f"kind {k}").mkdir(parents=True)
        for i in range(images):
            picture(random, k, size, mode).save(root / f"kind {k}" / f"{i}.png")
    return root


def test_a_folder_of_class_folders_becomes_a_data_set_with_a_val_split(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "kinds")
    (root / "kind 0" / "notes.txt").write_text("not an image")
    (root / "kind 0" / ".hidden.png").write_text("nor this")
    (root / ".git").mkdir()
    found = load(str(root))
    assert found.name == "kinds/"
    assert found.class_names == ("kind 0", "kind 1", "kind 2")
    assert found.shape == (1, 20, 24)
    assert found.held_out.name == "val"  # never called test if there is no test set
    assert (len(found.train), len(found.held_out)) == (30, 6)
    assert torch.bincount(found.held_out.labels).tolist() == [2, 2, 2]
    assert found.train.images[found.train.labels == 1].float().mean((0, 1, 3)).argmax() in range(
        6, 10
    )
    again = load_user_images(root)
    assert again.digest == found.digest
    picture(np.random.default_rng(5), 0).save(root / "kind 0" / "0.png")
    assert load_user_images(root).digest != found.digest


def test_train_and_test_folders_and_classes_in_number_order(tmp_path: Path) -> None:
    for part, n in (("train", 4), ("test", 2)):
        for k in range(11):
            (tmp_path / part / str(k)).mkdir(parents=True)
            for i in range(n):
                Image.new("L", (8, 8), 20 * k).save(tmp_path / part / str(k) / f"{i}.bmp")
    found = load_user_images(tmp_path)
    assert found.class_names == tuple(map(str, range(11)))
    assert found.held_out.name == "test"
    assert (len(found.train), len(found.held_out)) == (44, 22)
    assert found.held_out.images[:, 0, 0, 0].tolist() == [
        20 * k for k in range(11) for _ in range(2)
    ]


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("CMYK", 3), ("LA", 1), ("I;16", 1)],
)
def test_image_modes_become_gray_or_color(tmp_path: Path, mode: str, channels: int) -> None:
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        for i in range(3):
            image = picture(np.random.default_rng(i), k, mode="RGB" if channels == 3 else "L")
            if mode == "I;16":
                image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
            else:
                image = image.convert(mode)
            image.save(tmp_path / str(k) / f"{i}.{'tiff' if mode in ('CMYK', 'I;16') else 'png'}")
    found = load_user_images(tmp_path)
    assert found.shape == (channels, 20, 24)
    if mode in ("L", "LA", "I;16"):
        image = np.asarray(picture(np.random.default_rng(0), 0))
        at = (found.train.labels == 0).nonzero()[:, 0]
        assert (
            any(np.array_equal(found.train.images[i, 0].numpy(), image) for i in at) or len(at) < 3
        )


def test_one_color_image_gives_all_three_channels(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "kinds")
    picture(np.random.default_rng(9), 0, mode="RGB").save(root / "kind 0" / "color.png")
    assert load_user_images(root).shape == (3, 20, 24)


def test_gray_images_saved_as_rgb_have_one_channel(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "kinds")
    for file in root.rglob("*.png"):
        Image.open(file).convert("RGB").save(file)
    assert load_user_images(root).shape == (1, 20, 24)


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        for i in range(2):
            Image.new("RGBA", (8, 8), (0, 0, 0, 255 * (1 - k))).save(tmp_path / str(k) / f"{i}.png")
    found = load_user_images(tmp_path)
    assert [int(found.train.images[found.train.labels == k].max()) for k in range(2)] == [0, 255]


def edit(root: Path, what: str) -> None:
    if what == "empty class":
        (root / "kind 9").mkdir()
    elif what == "one class":
        for k in (1, 2):
            for file in (root / f"kind {k}").iterdir():
                file.unlink()
            (root / f"kind {k}").rmdir()
    elif what == "another size":
        Image.new("L", (24, 21)).save(root / "kind 1" / "3.png")
    elif what == "too large":
        Image.new("L", (65, 20)).save(root / "kind 1" / "3.png")
    elif what == "broken":
        (root / "kind 1" / "3.png").write_bytes((root / "kind 1" / "3.png").read_bytes()[:200])
    elif what == "no image":
        (root / "kind 1" / "3.png").write_text("hello")
    elif what == "lonely":
        for file in sorted((root / "kind 1").iterdir())[1:]:
            file.unlink()
    elif what == "test only":
        (root.parent / "moved").mkdir()
        root.rename(root.parent / "moved" / "test")
        (root.parent / "moved").rename(root)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "empty class",
            r"kind 9: contains no images \(PNG, JPEG, \.\.\.\); add some, or remove the class",
        ),
        ("one class", r"found 1 class, and a classifier needs at least 2; add images of another"),
        ("another size", r"3\.png: is 21x24 but 0\.png is 20x24; scale all images to one size"),
        ("too large", r"3\.png: 20x65 is too large; scale all images to at most 64x64"),
        ("broken", r"3\.png: cannot be read as an image \(.*\); repair or remove it"),
        ("no image", r"3\.png: cannot be read as an image \(cannot identify"),
        (
            "lonely",
            r"a class has 1 image; give each class at least 2, or add a test set",
        ),
        ("test only", r"contains test but no train; put the images to train on into .*train"),
    ],
)
def test_an_invalid_folder_is_reported(tmp_path: Path, what: str, message: str) -> None:
    root = write_folder(tmp_path / "kinds")
    edit(root, what)
    with pytest.raises(DataError, match=message) as caught:
        load_user_images(root)
    assert "\n" not in str(caught.value)


def test_an_eps_named_png_is_refused_since_ghostscript_would_run_it(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "kinds")
    Image.new("L", (24, 20)).save(root / "kind 1" / "3.png", format="EPS")
    with pytest.raises(DataError, match=r"3\.png: cannot be read as an image \(cannot identify"):
        load_user_images(root)
    (root / "kind 1" / "3.png").rename(root / "kind 1" / "3.eps")
    found = load_user_images(root)
    assert len(found.train) + len(found.held_out) == 35  # the .eps is not one of the images


def test_a_path_without_class_folders_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(
        DataError, match="bare: has no subfolders of images; make one for each class"
    ):
        load_user_images(tmp_path / "bare")
    with pytest.raises(
        DataError, match="nowhere: no such folder or file; public data sets are: mnist"
    ):
        load(tmp_path / "nowhere")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(
        DataError,
        match=r"x\.zip: expected a folder with one subfolder of images per class, or an \.npz",
    ):
        load(tmp_path / "x.zip")


# --- arrays


def arrays(
    n: int = 24, shape: tuple[int, ...] = (10, 12), classes: int = 4
) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "images": random.integers(0, 256, (n, *shape), dtype=np.uint8),
        "labels": (np.arange(n) % classes).astype(np.int64),
    }


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 12), (1, 10, 12)),
        ((10, 12, 1), (1, 10, 12)),
        ((10, 12, 3), (3, 10, 12)),
        ((3, 10, 12), (3, 10, 12)),
        ((1, 64, 64), (1, 64, 64)),
    ],
)
def test_arrays_may_have_channels_first_or_last(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    np.savez(tmp_path / "own.npz", **arrays(shape=shape))
    found = load_user_images(tmp_path / "own.npz")
    assert found.name == "own.npz"
    assert found.shape == expected
    assert (found.classes, found.held_out.name, len(found.held_out)) == (4, "val", 4)
    original = arrays(shape=shape)["images"]
    if shape == (10, 12, 3):
        whole = {
            image.numpy().tobytes()
            for split in (found.train, found.held_out)
            for image in split.images
        }
        assert whole == {
            np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes() for image in original
        }


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images", "labels", "test_images", "test_labels"),
    ],
)
def test_arrays_may_have_the_names_of_keras_or_medmnist(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    own = arrays()
    words = np.array(["ant", "bee", "cow", "dog"])[own["labels"]]
    column = (own["labels"] * 10 - 5).reshape(-1, 1)
    for labels, expected in (
        (words, ("ant", "bee", "cow", "dog")),
        (column, ("-5", "5", "15", "25")),
    ):
        np.savez(
            tmp_path / "own.npz",
            **dict(zip(names, (own["images"], labels, own["images"][:8], labels[:8]), strict=True)),
        )
        found = load_user_images(tmp_path / "own.npz")
        assert found.class_names == expected
        assert found.held_out.name == "test"
        assert found.held_out.labels.tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": arrays()["images"] / 255},
            r"own\.npz\['images'\]: expected uint8 gray levels 0 to 255, found float64",
        ),
        (
            {"images": arrays(shape=(5, 10, 12))["images"]},
            r"expected N H W, N H W C or N C H W with one or three channels, found 24x5x10x12; save it",
        ),
        (
            {"images": arrays(shape=(70, 60))["images"]},
            r"images of 70x60 are too large; scale them to at most 64x64",
        ),
        (
            {"labels": arrays()["labels"][:-1]},
            r"\['labels'\]: expected one whole number or word for each of 24 images, found int64 23",
        ),
        (
            {"labels": arrays()["labels"] + 0.5},
            r"expected whole numbers or words, found float64; convert them with "
            r'labels\.astype\("int64"\)',
        ),
        (
            {"labels": np.array([b"cat", b"dog"] * 12)},
            r'expected whole numbers or words, found \|S3; convert .* labels\.astype\("str"\)',
        ),
        (
            {"labels": np.eye(24, 4)},
            r"\['labels'\]: expected one whole number or word for each .* found float64 24x4; save",
        ),
        ({"labels": np.zeros(24, int)}, r"found 1 class, and a classifier needs at least 2"),
        (
            {"labels": np.array([None] * 24)},
            r"cannot be read as an \.npz of arrays \(an array of Python objects\)",
        ),
        (
            {"test_images": arrays()["images"], "test_labels": arrays()["labels"] + 1},
            r"\['test_labels'\]: 4 is not a class of the training images; add training images",
        ),
        (
            {"test_images": arrays(shape=(9, 9))["images"], "test_labels": arrays()["labels"]},
            r"images of train are 1x10x12, of test 1x9x9; give all the same shape",
        ),
    ],
)
def test_an_invalid_array_is_reported(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "own.npz", **{**arrays(), **change})
    with pytest.raises(DataError, match=message) as caught:
        load_user_images(tmp_path / "own.npz")
    assert "\n" not in str(caught.value)


def test_a_file_without_arrays_is_reported(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"own\.npz: cannot be read as an \.npz of arrays"):
        load_user_images(tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", pictures=np.zeros(3))
    with pytest.raises(
        DataError,
        match=r"expected 'images' and 'labels' \(or x_train and y_train\), found pictures",
    ):
        load_user_images(tmp_path / "own.npz")


def test_a_saved_data_set_loads_unchanged(tmp_path: Path) -> None:
    drawn = make_scribble(40, 20)
    save_npz(drawn, tmp_path / "drawn.npz")
    back = load_user_images(tmp_path / "drawn.npz")
    assert back.checksums.items() > drawn.checksums.items()
    assert back.class_names == drawn.class_names
    with pytest.raises(
        DataError, match=r"drawn\.zip: the name must end in \.npz; use .*drawn\.npz"
    ):
        save_npz(drawn, tmp_path / "drawn.zip")


# --- from training to evaluation


@pytest.mark.parametrize(
    "net",
    few_fast(
        (
            *("mnistnet_1", "week4", "code_3"),
            *("swift", "pyramid", "expand_squeeze", "week4_conv", "code_1", "code_4"),
        ),
        fast=3,
    ),
)
def test_every_net_takes_its_classes_and_shape_from_the_data(
    netlet: Netlet, tmp_path: Path, net: str
) -> None:
    write_folder(tmp_path / "kinds", classes=3, images=6, mode="RGB", size=(40, 36))
    code, out, err = netlet(
        "train", net, "--dataset", "kinds", "--set", "epochs=1", "--set", "batch_size=5", "--json"
    )
    assert code in (0, 1), err
    record = json.loads(out)
    assert record["data"]["name"] == "kinds/"
    assert record["data"]["shape"] == [3, 40, 36]
    assert record["data"]["classes"] == 3
    assert record["data"]["class_names"] == ["kind 0", "kind 1", "kind 2"]
    assert len(record["data"]["digest"]) == 64
    assert record["last_epoch"]["split"] == "val"
    assert len(record["confusion"]) == 3


@pytest.mark.slow
def test_training_evaluating_and_resuming_on_own_data(netlet: Netlet, tmp_path: Path) -> None:
    write_folder(tmp_path / "all" / "train", images=30, size=(24, 24))
    write_folder(tmp_path / "all" / "test", images=10, size=(24, 24))
    fast = ("--set", "epochs=6", "--set", "batch_size=10", "--set", "ema_decay=0.8")
    code, out, err = netlet(
        "train", "swift", "--dataset", "all", *fast, "--accuracy-at-least", "90"
    )
    assert code == 0, out + err
    assert "on all/" in err
    assert "accuracy, last epoch  at least 90%" in out
    folder = "runs/swift-all_-seed0"
    assert (
        "training on all/ (eager backend, because compiling takes longer than training on " in out
    )
    assert f"fewer than 30,000 images); recorded in {folder}" in out
    run = records.load_run(tmp_path / folder)
    assert run.verdict is not None
    assert run.verdict.passed  # the bar was given for this data: it is judged
    code, out, _ = netlet("evaluate", folder, "--dataset", "all", "--json")
    assert json.loads(out)["score"]["correct"] == run.last_epoch.correct
    assert netlet("evaluate", folder)[0] == 2  # where the data are must be said
    code, _, err = netlet("evaluate", folder, "--dataset", "scribble")
    assert (code, len(err.splitlines())) == (2, 1)
    code, out, _ = netlet("train", "swift", "--dataset", "all", *fast[2:], "--epochs", "1")
    assert "twenty_k: not judged: trained on all/" in out


def test_images_too_small_for_a_net_are_reported(netlet: Netlet, tmp_path: Path) -> None:
    write_folder(tmp_path / "tiny", size=(14, 14))
    code, _, err = netlet("train", "code_4", "--dataset", "tiny")
    assert (code, len(err.splitlines())) == (2, 1)
    assert (
        "the images are too small for this net: its last feature map would be -1x-1; "
        "use a shallower net" in err
    )


# --- contact sheets


def test_a_sheet_shows_ten_images_per_class_plain_and_augmented(tmp_path: Path) -> None:
    found = load_user_images(write_folder(tmp_path / "kinds", images=14))
    plain = draw_contact_sheet(found.train, found.class_names)
    both = draw_contact_sheet(found.train, found.class_names, AUGMENTS["none"])
    zoom, gap, title = 2, 4, 16
    assert plain.height == both.height == title + 3 * (20 * zoom + gap) + gap
    block = 10 * (24 * zoom + gap) + 4 * gap
    assert both.width - plain.width == block
    pixels = np.asarray(both)
    margin = both.width - 2 * block
    known = {image.numpy().tobytes() for image in found.train.images[:, 0]}
    for k in range(3):
        top = title + gap + k * (20 * zoom + gap)
        for i in range(10):
            left = margin + i * (24 * zoom + gap)
            shown = pixels[top : top + 20 * zoom : zoom, left : left + 24 * zoom : zoom, 0]
            assert shown.tobytes() in known
            assert 2 + 4 * k <= shown.mean(1).argmax() < 6 + 4 * k  # of its class
            beside = pixels[
                top : top + 20 * zoom : zoom, left + block : left + block + 24 * zoom : zoom, 0
            ]
            assert np.array_equal(shown, beside)  # "none" changes nothing
    moved = np.asarray(draw_contact_sheet(found.train, found.class_names, AUGMENTS["full"]))
    assert np.array_equal(
        moved[:, : margin + block - 4 * gap], pixels[:, : margin + block - 4 * gap]
    )
    assert not np.array_equal(moved, pixels)
    assert np.array_equal(
        np.asarray(draw_contact_sheet(found.train, found.class_names)), np.asarray(plain)
    )


def test_a_sheet_leaves_places_blank_and_refuses_too_many_classes(
    tmp_path: Path,
) -> None:
    found = load_user_images(write_folder(tmp_path / "kinds", images=4))
    sheet = np.asarray(draw_contact_sheet(found.train, found.class_names))
    assert (sheet[30, -40] == sheet[2, -2]).all()
    with pytest.raises(DataError, match="300 classes are too many for one sheet; it holds 200"):
        draw_contact_sheet(found.train, [str(i) for i in range(300)])


def test_show_and_make_on_the_command_line(netlet: Netlet, tmp_path: Path) -> None:
    code, out, _ = netlet(
        "data", "make", "--out", "few.npz", "--train", "200", "--test", "50", "--seed", "3"
    )
    assert code == 0
    assert "200 train and 50 test images in few.npz" in out
    digest = re.findall(r"SHA-256 \w{64}$", out, re.MULTILINE)
    code, out, _ = netlet(
        "data", "show", "few.npz", "--recipe", "steady", "--out", "sheet.png", "--split", "test"
    )
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert (
            f"sheet.png: {sheet.width}x{sheet.height}, few.npz test, and as steady augments it"
            in out
        )
    assert netlet("data", "show", "few.npz")[0] == 0
    assert (tmp_path / "few.npz.png").is_file()
    assert re.findall(r"SHA-256 \w+", netlet("data", "verify", "few.npz")[1]) == digest
    for arguments, message in (
        (
            ("show", "few.npz", "--split", "val"),
            "few.npz has no split 'val'; it has train and test",
        ),
        (
            ("show", "few.npz", "-o", "sheet.xyz"),
            "sheet.xyz: cannot write this format; name a file like sheet.png with --out",
        ),
        (
            ("show", "few.npz", "-o", "few.npz/sheet.png"),
            "few.npz is a file); name another file with --out",
        ),
        (
            ("make", "mnist"),
            "only scribble can be generated; 'netlet data get mnist' downloads 'mnist'",
        ),
        (("make", "fashion"), "only scribble can be generated; leave 'fashion' out"),
        (("make", "--seed", "3"), "--seed, --train and --test need --out FILE.npz; without"),
        (("get", "scribble"), "no public data set 'scribble'; scribble is generated, not download"),
    ):
        code, _, err = netlet("data", *arguments)
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1


# --- validation splits


def test_holding_out_again_starts_from_the_whole_training_set(tmp_path: Path) -> None:
    found = load_user_images(write_folder(tmp_path / "kinds"))
    assert (len(found.train), len(found.held_out)) == (30, 6)
    more = found.hold_out(12)
    assert (len(more.train), len(more.held_out)) == (24, 12)  # 36 in all: none is lost
    assert torch.equal(found.hold_out(6).held_out.images, found.held_out.images)
    assert found.with_channels(3).hold_out(12).shape == (3, 20, 24)
    problem = "its 3 channels cannot become 1, only gray images can be repeated; use a net for 3 ch"
    with pytest.raises(DataError, match=problem):
        found.with_channels(3).with_channels(1)


def test_a_val_folder_gives_the_score_if_there_is_no_test_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "all" / "train")
    write_folder(tmp_path / "all" / "val", images=5)
    found = load_user_images(tmp_path / "all")
    assert (found.held_out.name, len(found.train), len(found.held_out)) == ("val", 36, 15)
    write_folder(tmp_path / "all" / "test", images=4)
    found = load_user_images(tmp_path / "all")
    assert (found.held_out.name, len(found.train), len(found.held_out)) == ("test", 36, 12)


def write_repeated(path: Path, repeated: int) -> Dataset:
    """Write an .npz of 40 training and 10 test images, of which some are training images, too."""
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (50, 20, 24), np.uint8)
    images[40 : 40 + repeated] = images[:repeated]
    labels = np.arange(50) % 2
    arrays = {"images": images[:40], "test_images": images[40:]}
    np.savez(path, **arrays, labels=labels[:40], test_labels=labels[40:])
    return load_user_images(path)


@pytest.mark.parametrize("repeated", [0, 1, 10])
def test_test_images_that_are_trained_on_are_counted(tmp_path: Path, repeated: int) -> None:
    data = write_repeated(tmp_path / "own.npz", repeated)
    assert count_repeated(data) == count_repeated(data.with_channels(3)) == repeated
    assert count_repeated(data, data.train) == 0
    assert count_repeated(data.hold_out(10)) == 0
    assert count_repeated(load(tmp_path / "own.npz", read_test=False)) == 0


@pytest.mark.slow
def test_commands_warn_of_images_that_are_trained_on_and_scored(
    netlet: Netlet, tmp_path: Path
) -> None:
    write_repeated(tmp_path / "all.npz", 10)
    write_repeated(tmp_path / "one.npz", 1)
    write_repeated(tmp_path / "none.npz", 0)
    settings = ("--epochs", "1", "--set", "backend=eager")
    begin = "netlet: warning: {}: {}; keep each image in one split, or the score does not tell"
    all_of_them = begin.format("all.npz", "10 of 10 test images are also training images")
    one = begin.format("one.npz", "1 of 10 test images is also a training image")
    train = ("train", "speck", *settings, "--dataset")
    assert all_of_them in netlet(*train, "all.npz", "-o", "run")[2]
    assert all_of_them in netlet("evaluate", "run", "--dataset", "all.npz")[2]
    assert one in netlet("study", "speck", *settings, "--seeds", "1", "--dataset", "one.npz")[2]
    for words in (
        (*train, "none.npz"),
        (*train, "all.npz", "--val", "10"),  # which is scored instead of the test images
        ("evaluate", "run", "--dataset", "all.npz", "--split", "train"),
    ):
        assert "also" not in netlet(*words)[2], words
    code, out, err = netlet("data", "verify", "all.npz", "none.npz")
    assert (code, err, out.count("10 of 10 test images are also")) == (0, "", 1)
    rows = json.loads(netlet("data", "verify", "all.npz", "none.npz", "--json")[1])["datasets"]
    assert [row["repeated"] for row in rows] == [10, 0]


def test_both_splits_contain_every_class(tmp_path: Path) -> None:
    labels = np.array([0] * 80 + [1] * 2 + [2] * 3 + [3] * 35)
    images = np.zeros((120, 8, 8), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    for n in (4, 20, 60, 100):
        held = load_user_images(tmp_path / "own.npz").hold_out(n)
        counts = [
            torch.bincount(split.labels, minlength=4) for split in (held.held_out, held.train)
        ]
        assert all((count > 0).all() for count in counts)
        assert int(counts[0].sum()) == n
        assert int(counts[1].sum()) == 120 - n


def test_evaluate_uses_the_split_that_the_run_held_out(netlet: Netlet, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "kinds", images=30, size=(24, 24))
    code, out, _ = netlet(
        "train",
        "swift",
        "--dataset",
        "kinds",
        "--val",
        "30",
        "--set",
        "epochs=2",
        "--set",
        "batch_size=10",
        "--json",
    )
    record = json.loads(out)
    assert record["data"]["images"] == {"train": 60, "val": 30}
    folder = "runs/swift-kinds_-seed0"
    for split, score in (("val", record["last_epoch"]), ("train", record["train_score"])):
        code, out, err = netlet(
            "evaluate", folder, "--dataset", "kinds", "--split", split, "--json"
        )
        assert code == 0, err
        found = json.loads(out)["score"]
        assert (found["correct"], found["total"]) == (score["correct"], score["total"])
    picture(np.random.default_rng(99), 1, (24, 24)).save(root / "kind 1" / "new.png")
    code, _, err = netlet("evaluate", folder, "--dataset", "kinds")
    assert code == 2
    assert (
        "kinds/ has changed since this run: its val split would contain images that were trained on"
        in err
    )


def test_a_run_is_scored_on_the_changed_val_images_of_its_folder(
    netlet: Netlet, tmp_path: Path
) -> None:
    root = tmp_path / "kinds"
    for split, images in (("train", 8), ("val", 6)):
        write_folder(root / split, images=images)
    words = ("--dataset", "kinds", "--set", "epochs=1", "--set", "batch_size=12", "--json")
    _, out, _ = netlet("train", "swift", *words)
    assert json.loads(out)["data"]["images"] == {"train": 24, "val": 18}
    assert json.loads(out)["mistakes"]
    for path in [*(root / "val").rglob("*.png")][::2]:
        path.unlink()
    code, out, err = netlet("evaluate", "runs/swift-kinds_-seed0", "--dataset", "kinds", "--json")
    assert (code, json.loads(out)["score"]["total"]) == (0, 9), err


def test_training_images_of_a_run_are_not_scored_as_held_out(
    netlet: Netlet, tmp_path: Path
) -> None:
    for split, images in (("train", 20), ("test", 8)):
        write_folder(tmp_path / "kinds" / split, images=images)
    shutil.copytree(tmp_path / "kinds" / "train", tmp_path / "copy")
    words = ("--set", "epochs=1", "--set", "batch_size=12")
    assert netlet("train", "swift", "--dataset", "kinds", *words, "--out", "run")[0] in (0, 1)
    inner = ("--dataset", "kinds/train")
    for command in (("evaluate", "run"), ("export", "run", "--to", "c")):
        code, out, err = netlet(*command, *inner)
        assert (code, out) == (2, "")
        assert (
            "train/: its val images are held out of those that the run was trained on; pass "
            "kinds/, or images that are new"
        ) in err
    assert netlet("evaluate", "run", *inner, "--split", "train")[0] == 0
    assert netlet("evaluate", "run", "--dataset", "kinds")[0] == 0
    # A run that held the same images out of the same ones may be scored on a copy of them.
    assert netlet("train", "swift", *inner, *words, "--out", "inner")[0] in (0, 1)
    code, out, err = netlet("evaluate", "inner", "--dataset", "copy")
    assert (code, "val images" in out) == (0, True), err
    assert netlet("evaluate", "inner", "--dataset", "kinds")[0] == 0  # its test images


@pytest.mark.slow
def test_evaluate_matches_classes_by_name(netlet: Netlet, tmp_path: Path) -> None:
    write_folder(tmp_path / "kinds", classes=4, images=30, size=(24, 24))
    _, out, _ = netlet(
        "train",
        "swift",
        "--dataset",
        "kinds",
        "--set",
        "epochs=8",
        "--set",
        "batch_size=10",
        "--set",
        "ema_decay=0.8",
        "--json",
    )
    assert json.loads(out)["last_epoch"]["correct"] >= 18
    write_folder(tmp_path / "few", classes=4, images=10, size=(24, 24))
    for name in ("kind 0", "kind 2"):  # so that the labels of the rest shift
        for file in (tmp_path / "few" / name).iterdir():
            file.unlink()
        (tmp_path / "few" / name).rmdir()
    code, out, err = netlet(
        "evaluate", "runs/swift-kinds_-seed0", "--dataset", "few", "--split", "train", "--json"
    )
    assert code == 0, err
    assert [row["images"] > 0 for row in json.loads(out)["classes"]] == [False, True, False, True]
    assert json.loads(out)["score"]["correct"] >= 0.9 * json.loads(out)["score"]["total"]
    (tmp_path / "few" / "kind 1").rename(tmp_path / "few" / "dragon")
    code, _, err = netlet("evaluate", "runs/swift-kinds_-seed0", "--dataset", "few")
    assert code == 2
    assert (
        "few/: its class 'dragon' is not among the expected classes "
        "(kind 0, kind 1, kind 2, kind 3)" in err
    )


def test_a_single_leftover_image_joins_the_last_batch(tmp_path: Path) -> None:
    from netlet.data import count_steps, iterate_epoch
    from netlet.recipes import Recipe

    found = make_scribble(65, 10).train
    batches = [
        len(labels)
        for _, labels in iterate_epoch(
            found, Recipe(batch_size=16), torch.Generator().manual_seed(0)
        )
    ]
    assert batches == [16, 16, 16, 17]
    assert count_steps(65, 16) == 4
    assert [
        count_steps(n, b) for n, b in ((64, 16), (66, 16), (1, 16), (17, 16), (5, 1), (60_000, 128))
    ] == [
        4,
        5,
        1,
        1,
        5,
        469,
    ]
    for batch in (700, 3):
        seen = torch.cat(
            [
                labels
                for _, labels in iterate_epoch(found, Recipe(batch_size=batch), torch.Generator())
            ]
        )
        assert torch.equal(seen.sort().values, found.labels.sort().values)


@pytest.mark.slow
def test_own_images_without_a_test_set_are_judged_on_val_if_that_is_asked_for(
    netlet: Netlet, tmp_path: Path
) -> None:
    write_folder(tmp_path / "kinds")
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\ndef net(classes, shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(20 * 24, classes))\n"
    )
    command = ("train", str(net), "--dataset", "kinds", "--epochs", "1")
    command += ("--accuracy-at-least", "1.5", "--json")
    record = json.loads(netlet(*command)[1])
    assert record["verdict"]["state"] == "NOT YET"
    assert "judged on test only" in record["verdict"]["results"][-1]["found"]
    code, out, _ = netlet(*command, "--judge", "val")
    record = json.loads(out)
    assert record["budget"]["judged_on"] == "val"
    assert record["budget"]["name"] == "twenty_k with at least 1.5% on val"
    assert record["verdict"]["state"] == ("FAIL" if code else "PASS")
    found = record["verdict"]["results"][-1]["found"]
    assert found.endswith("; judged on val, not test")
    assert records.load_run(record["folder"]).verdict is not None
    words = ("study", str(net), "--dataset", "kinds", "--epochs", "1", "--seeds", "1")
    netlet(*words, "--workers", "1", "--judge", "val", "-o", "study")
    assert records.load_study("study").budget["judged_on"] == "val"  # type: ignore[index]
