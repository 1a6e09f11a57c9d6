"""Users' pictures: read from files of many kinds, prepared like MNIST, classified by shipped weights."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.slips import SqueezesTheBatch
from helpers import FIXTURES, Netlet, few_fast
from PIL import Image
from torch import nn

from benchmarks import pictures
from netlet import evaluation
from netlet.cli.picture_files import read_picture
from netlet.data import (
    Dataset,
    draw_captioned_sheet,
    make_scribble,
    prepare_digit,
    read_digits,
    read_raw_picture,
    read_whole_picture,
    save_npz,
)
from netlet.data.scribble import draw_digits
from netlet.errors import DataError, NetError
from netlet.experiments import TrainedNet, load_trained_net
from netlet.export import trace_model
from netlet.export.page_export import build_page
from netlet.recipes import Recipe


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return draw_digits(40, seed=3)[0][:, 0].numpy()


@pytest.fixture(scope="module")
def crest() -> TrainedNet:
    return load_trained_net("crest")


@pytest.fixture(scope="module")
def drawing(digits: np.ndarray) -> Image.Image:
    """Dark on light, off-center in 160x220."""
    return pictures.to_image(
        pictures.place_digit(digits[0], np.random.default_rng(0), 112, (160, 220), 255, 0)
    )


def saved(picture: Image.Image, path: Path, **options: object) -> Path:
    picture.save(path, **options)
    return path


def seen(path: Path) -> np.ndarray:
    (ink,) = read_digits(path)
    return prepare_digit(ink).astype(int)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean difference in gray levels, up to a shift by a pixel; other digits differ by 40."""
    moved = [
        np.roll(a.astype(int), (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)
    ]
    return float(min(np.abs(other - b).mean() for other in moved))


# --- MNIST's frame


def test_a_prepared_digit_has_mnists_geometry(digits: np.ndarray) -> None:
    random = np.random.default_rng(0)
    for digit in digits:
        big = Image.fromarray(digit).resize(
            [int(n) for n in random.integers(20, 300, 2)], Image.Resampling.BICUBIC
        )
        frame = prepare_digit(np.asarray(big))
        assert (frame.shape, frame.dtype, frame.max()) == ((28, 28), np.uint8, 255)
        rows, columns = frame.any(axis=1).nonzero()[0], frame.any(axis=0).nonzero()[0]
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
        for masses in (frame.sum(axis=1), frame.sum(axis=0)):
            assert abs((masses * np.arange(28)).sum() / masses.sum() - 14) <= 0.5


def test_preparing_averages_areas_in_whole_numbers() -> None:
    ink = np.zeros((50, 41))
    ink[5:45, 1:21] = 100  # 40x20: each new pixel is the mean of four
    frame = prepare_digit(ink)
    wanted = np.zeros((28, 28))
    wanted[5:, 10:20][:20] = (
        255  # 20x10, its center of mass at (9.5, 4.5): from (4.5, 9.5) on, halves upwards
    )
    assert (frame == wanted).all()


def test_rounding_follows_the_docstring() -> None:
    line = prepare_digit(
        np.full((3, 200), 0.5)
    )  # 0.5 is rounded to 1; 3 of 200 become 0.3 px, at least one
    assert (line.any(axis=1).sum(), line.any(axis=0).sum()) == (1, 20)
    assert line[14, 5:25].tolist() == [255] * 20  # (29 * 20 - 2 * 190) // 40 = 5
    assert not (prepare_digit(np.full((3, 200), 1.0)) != line).any()
    half = prepare_digit(np.array([[2.0, 1.0]]))  # enlarged by the same averaging: ten pixels each
    assert (
        half.max(axis=0)[half.any(axis=0)].tolist() == [255] * 10 + [128] * 10
    )  # 127.5, halves upwards
    corner = np.zeros((20, 20))
    corner[0], corner[:, 0] = 1, 1
    corner[:12, :12] = 255
    frame = prepare_digit(corner)
    assert (
        frame[8, 8] == 255
    )  # its center of mass is at 5.5: from 8.5 on, halves upwards 9, clamped to 8
    with pytest.raises(DataError, match="blank"):
        prepare_digit(np.full((5, 5), 0.4))
    with pytest.raises(DataError, match="found 2x2x2"):
        prepare_digit(np.ones((2, 2, 2)))


@pytest.mark.mnist
def test_preparing_mnists_own_images_hardly_changes_them(mnist: Dataset) -> None:
    images = mnist.train.images[:, 0].numpy()
    rows, columns = images.any(axis=2), images.any(axis=1)
    sides = [28 - side.argmax(axis=1) - side[:, ::-1].argmax(axis=1) for side in (rows, columns)]
    assert (np.maximum(*sides) == 20).sum() == 59_987  # as docs/pictures.md has it
    near = np.ones(len(images), bool)
    for axis in (1, 2):
        masses = images.sum(axis=axis, dtype=np.int64)
        center = (masses * np.arange(28)).sum(axis=1) / masses.sum(axis=1)
        near &= np.abs(center - 14) <= 0.5
    assert near.sum() == 59_998
    some = images[:3_000]
    apart = np.array([np.abs(prepare_digit(image).astype(int) - image).max() for image in some])
    assert (apart <= 1).mean() > 0.999  # one level: where the brightest is 254
    assert (apart == 0).mean() > 0.85


# --- files


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif", "a.tif"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA"])
def test_every_format_and_mode_shows_the_same_digit(
    drawing: Image.Image, tmp_path: Path, name: str, mode: str
) -> None:
    try:
        path = saved(drawing.convert(mode), tmp_path / name)
    except (OSError, ValueError):
        path = saved(
            drawing.convert(mode).convert("RGB"), tmp_path / name
        )  # the format does not hold such a mode
    assert difference(seen(path), seen(saved(drawing, tmp_path / "plain.png"))) < (
        9 if mode == "1" else 3
    )


def test_a_file_is_recognized_by_its_content(drawing: Image.Image, tmp_path: Path) -> None:
    path = saved(drawing, tmp_path / "photo.jpg", format="PNG")
    assert seen(path).max() == 255


@pytest.mark.parametrize("dark", [True, False])
def test_sixteen_bit_and_float_images_are_read(
    drawing: Image.Image, tmp_path: Path, dark: bool
) -> None:
    levels = np.asarray(drawing) if dark else 255 - np.asarray(drawing)
    wanted = seen(saved(drawing, tmp_path / "plain.png"))
    deep = levels.astype(np.uint16) * 257
    for name, values in (
        ("a.png", deep),
        ("a.tif", deep),
        ("b.tif", levels.astype(np.int32) * 9_999),
        ("c.tif", levels.astype(np.float32) / 255),
    ):
        assert difference(seen(saved(Image.fromarray(values), tmp_path / name)), wanted) <= 0.1, (
            name
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(
    drawing: Image.Image, tmp_path: Path, orientation: int
) -> None:
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[
        orientation
    ]  # Image.Transpose that the tag promises to undo
    turned = drawing if undo is None else drawing.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(turned, tmp_path / "a.png", exif=exif)
    assert difference(seen(path), seen(saved(drawing, tmp_path / "plain.png"))) < 1


def test_transparent_areas_get_a_contrasting_backing(drawing: Image.Image, tmp_path: Path) -> None:
    wanted = seen(saved(drawing, tmp_path / "plain.png"))
    ink = 255 - np.asarray(drawing)
    for level in (0, 255, 200):
        layers = np.dstack([np.full_like(ink, level)] * 3 + [ink])
        assert difference(seen(saved(Image.fromarray(layers), tmp_path / "a.png")), wanted) < 2, (
            level
        )
    # Paper with its corners cut off.
    opaque = np.full_like(ink, 255)
    opaque[:20, :20] = 0
    layers = np.dstack([255 - ink] * 3 + [opaque])
    assert difference(seen(saved(Image.fromarray(layers), tmp_path / "a.png")), wanted) < 2


def test_a_colored_pen_is_found_on_paper_of_the_same_luminance(
    drawing: Image.Image, tmp_path: Path
) -> None:
    share = 1 - np.asarray(drawing)[..., None] / 255
    colors = share * np.array([200, 40, 40]) + (1 - share) * np.array([40, 120, 40])
    path = saved(Image.fromarray(colors.round().astype(np.uint8)), tmp_path / "a.png")
    assert difference(seen(path), seen(saved(drawing, tmp_path / "plain.png"))) < 3


@pytest.mark.parametrize("make", few_fast(pictures.KINDS, 5), ids=lambda make: make.__name__)
def test_every_kind_of_picture_shows_the_digit(
    digits: np.ndarray, tmp_path: Path, make: Callable[..., Image.Image]
) -> None:
    some = digits[1:5]
    for found, digit in zip(pictures.read_back(make, some, tmp_path), some, strict=True):
        assert not isinstance(found, str), found
        (only,) = found
        assert difference(only, digit) < (30 if make is pictures.thin_pen else 24)


def test_specks_on_a_large_picture_are_ignored(digits: np.ndarray, tmp_path: Path) -> None:
    levels = pictures.place_digit(digits[2], np.random.default_rng(0), 700, (2_400, 3_200), 250, 10)
    levels[100:112, 200:212] = 0
    levels[2_300:2_310, 3_000:3_030] = 60
    path = saved(pictures.to_image(levels), tmp_path / "a.jpg")
    assert difference(seen(path), digits[2]) < 12


# --- pictures that are refused


def bomb() -> bytes:
    """Return a PNG whose header announces 30,000x30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1_000)))
        + chunk(b"IEND", b"")
    )


def png(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(150, 12, (300, 300)).clip(0, 255).astype(np.uint8)


def dusty() -> np.ndarray:
    levels = np.full((500, 500), 240, np.uint8)
    levels[100:104, 100:103] = 20
    return levels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(np.full((90, 60), 255, np.uint8)), "blank, nothing is drawn on it; draw one digit"),
        (png(np.zeros((90, 60), np.uint8)), "blank, nothing is drawn on it"),
        (png(np.full((1, 1), 7, np.uint8)), "blank, nothing is drawn on it"),
        (png(noise()), "blank"),
        (png(dusty()), "blank, nothing larger than a speck is drawn on it"),
        (b"", "empty; use a PNG, JPEG, WebP"),
        (b"no image at all", "not an image that can be read; use a PNG"),
        (png(noise())[:2_000], "cannot be read as an image ("),
        (bomb(), "its pixels are far too many; scale it to at most 50 million"),
    ],
    ids=["white", "black", "one pixel", "noise", "dust", "empty", "text", "truncated", "bomb"],
)
def test_a_picture_without_a_digit_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_digits(path)
    assert str(refused.value).startswith(f"{path}: {message}"), refused.value
    assert "\n" not in str(refused.value)


def test_a_picture_below_pillows_limit_may_still_be_too_large(tmp_path: Path) -> None:
    path = saved(Image.new("1", (10_000, 6_000)), tmp_path / "a.png")
    with pytest.raises(
        DataError, match="10000x6000 pixels are too many; scale it to at most 50 million"
    ):
        read_digits(path)


def test_paper_on_a_dark_table_is_refused(digits: np.ndarray, tmp_path: Path) -> None:
    table = np.full((640, 860), 60.0)
    table[80:560, 110:750] = pictures.place_digit(
        digits[0], np.random.default_rng(0), 200, (480, 640), 230, 50
    )
    with pytest.raises(
        DataError, match=r"a solid area instead of strokes .*; crop the picture to the digit"
    ):
        read_digits(saved(pictures.to_image(table), tmp_path / "a.png"))


# --- predictions


def test_softmax_or_log_softmax_at_the_end_of_a_net_make_no_difference(
    digits: np.ndarray, crest: TrainedNet
) -> None:
    images = list(digits[:7])
    plain = evaluation.predict(crest.net, images)
    for end in (nn.LogSoftmax(1), nn.Softmax(1)):
        for one, other in zip(
            plain, evaluation.predict(nn.Sequential(crest.net, end), images), strict=True
        ):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    assert all(abs(sum(answer.probabilities) - 1) < 1e-5 for answer in plain)
    assert all(answer.confidence >= answer.runner_up_confidence for answer in plain)
    assert all(answer.best != answer.runner_up for answer in plain)
    assert evaluation.predict(crest.net, []) == []


def test_a_net_without_one_row_per_image_is_refused(digits: np.ndarray) -> None:
    with pytest.raises(NetError, match="it must return one row of scores for each"):
        evaluation.predict(nn.Flatten(0), list(digits[:2]))
    drops = r"returns 10 for 1 image; it must .* for each; squeeze\(\) also removes the batch dim"
    with pytest.raises(NetError, match=drops):
        evaluation.predict(SqueezesTheBatch(), list(digits[:1]))
    with pytest.raises(NetError, match=drops):
        evaluation.explain(SqueezesTheBatch(), torch.from_numpy(digits[:1])[:, None])
    with pytest.raises(NetError, match="has 1 class; classification needs at least 2"):
        evaluation.predict(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), list(digits[:2]))


def test_images_are_classified_in_large_batches_in_order(
    digits: np.ndarray, crest: TrainedNet
) -> None:
    sizes: list[int] = []
    hook = crest.net.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    many = list(digits) * 13  # 520
    answers = evaluation.predict(crest.net, many, Recipe())
    hook.remove()
    assert sizes == [500, 20]
    singly = [evaluation.predict(crest.net, [image])[0].best for image in digits[:5]]
    assert (
        [answer.best for answer in answers[:5]]
        == [answer.best for answer in answers[40:45]]
        == singly
    )


def test_predict_classifies_the_good_files_and_reports_the_bad_ones(
    netlet: Netlet, digits: np.ndarray, tmp_path: Path
) -> None:
    for i in range(3):
        saved(pictures.dark_on_light(digits[i], None), tmp_path / f"good{i}.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder").mkdir()
    code, out, err = netlet(
        "predict",
        "good0.png",
        "text.png",
        "good1.png",
        "missing.png",
        "folder",
        "good2.png",
        "--show",
        "seen/all.png",
    )
    assert code == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        "text.png",
        "missing.png",
        "folder",
    ]
    assert all(line.startswith("netlet: ") for line in err.splitlines())
    assert "missing.png: no such file" in err
    assert "folder: is a folder; name the images in it" in err
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["file", "digit", "confidence", "runner-up"]
    assert [line.split()[0] for line in lines[2:]] == ["good0.png", "good1.png", "good2.png"]
    sheet = Image.open(tmp_path / "seen" / "all.png")
    assert sheet.format == "PNG"
    assert sheet.width > 3 * 140

    code, out, err = netlet("predict", "good0.png", "missing.png", "--json")
    good, bad = json.loads(out)["predictions"]
    assert code == 1
    assert set(bad) == {"file", "error"}
    assert set(good) == {
        "file",
        "position",
        "digits",
        "digit",
        "unsure",
        "confidence",
        "runner_up",
        "runner_up_confidence",
        "probabilities",
    }
    assert (
        good["probabilities"][good["digit"]]
        == good["confidence"]
        == max(good["probabilities"].values())
    )
    assert good["digit"] == lines[2].split()[1]
    assert netlet("predict", "good0.png")[0] == 0
    code, out, err = netlet("predict", "missing.png")
    assert (code, out) == (1, "")


def test_raw_uses_an_image_unchanged(netlet: Netlet, digits: np.ndarray, tmp_path: Path) -> None:
    shifted = np.roll(digits[0], 2, axis=1)
    path = saved(Image.fromarray(shifted), tmp_path / "raw.png")
    assert (read_raw_picture(path) == shifted).all()
    assert (
        read_raw_picture(saved(Image.fromarray(shifted).convert("RGB"), tmp_path / "rgb.png"))
        == shifted
    ).all()
    assert netlet("predict", "--raw", "raw.png")[0] == 0
    color = np.dstack([shifted, shifted, 0 * shifted])
    for picture, message in (
        (
            Image.fromarray(shifted).resize((29, 28)),
            "is 29 wide and 28 high, but --raw needs 28x28",
        ),
        (Image.fromarray(255 - shifted), "is dark on light, but --raw needs light on dark"),
        (Image.fromarray(color), "is in color, but --raw needs gray"),
        (Image.fromarray(shifted).convert("LA"), "has mode LA, but --raw needs 8-bit gray"),
        (Image.new("L", (28, 28)), "blank, every pixel is 0"),
    ):
        saved(picture, tmp_path / "bad.png")
        code, out, err = netlet("predict", "--raw", "bad.png")
        assert (code, out) == (1, "")
        assert err.startswith(f"netlet: bad.png: {message}; "), err
        assert len(err.splitlines()) == 1


def test_wrong_usage_ends_with_exit_code_2(
    netlet: Netlet, digits: np.ndarray, tmp_path: Path
) -> None:
    saved(Image.fromarray(digits[0]), tmp_path / "a.png")
    (tmp_path / "file").write_text("no folder")
    for arguments, message in (
        (("--net", "sprint"), "has no trained weights"),
        (("--net", f"{FIXTURES}/small_nets.py:flat_10"), "has no trained weights"),
        (("--show", "a.jpg"), "a.jpg: the sheet is a PNG file; name it like seen.png"),
        (("--show", "."), "the sheet is a PNG file; name it like seen.png"),
        (("--show", "./a.png"), "a.png: is one of the pictures and would be overwritten"),
        (("--weights", "none.pt"), "no such weights file"),
    ):
        code, out, err = netlet("predict", "a.png", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1
    assert netlet("predict")[0] == 2
    assert (read_raw_picture(tmp_path / "a.png") == digits[0]).all()
    code, out, err = netlet("predict", "a.png", "--show", "file/seen.png")
    assert code == 2
    assert out == ""  # said before the pictures are read
    assert "file/seen.png: cannot be written" in err


@pytest.mark.slow
def test_twelve_classes_are_named_and_a_diverged_net_is_reported(
    netlet: Netlet, digits: np.ndarray, tmp_path: Path
) -> None:
    saved(Image.fromarray(digits[0]), tmp_path / "a.png")
    twelve = f"{FIXTURES}/small_nets.py:flat_12"
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 12))
    net[1].bias.data[11] += 100
    torch.save(net.state_dict(), tmp_path / "a.pt")
    code, out, _ = netlet("predict", "a.png", "--net", twelve, "--weights", "a.pt", "--json")
    assert code == 0
    assert json.loads(out)["predictions"][0]["digit"] == "11"
    net[1].weight.data[0, 0] = float("nan")
    torch.save(net.state_dict(), tmp_path / "a.pt")
    code, out, err = netlet("predict", "a.png", "--net", twelve, "--weights", "a.pt")
    assert (code, out) == (2, "")
    assert "(NaN or infinite): the training diverged; train with a lower learning rate" in err


@pytest.mark.slow
def test_color_nets_work_and_nets_for_other_sizes_see_the_whole_picture(
    netlet: Netlet,
    digits: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crest: TrainedNet,
) -> None:
    import dataclasses

    class ColorNet(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1:] == (3, 28, 28)
            return crest.net(x.mean(1, keepdim=True))

    saved(Image.fromarray(digits[0]), tmp_path / "a.png")

    def predicted() -> str:
        (only,) = json.loads(netlet("predict", "a.png", "--json")[1])["predictions"]
        return str(only["digit"])

    plain = predicted()
    color = dataclasses.replace(crest, net=ColorNet(), shape=(3, 28, 28))
    monkeypatch.setattr("netlet.experiments.load_trained_net", lambda *_, **__: color)
    assert predicted() == plain
    monkeypatch.setattr(
        "netlet.experiments.load_trained_net",
        lambda *_, **__: dataclasses.replace(crest, shape=(1, 32, 32)),
    )
    (only,) = json.loads(netlet("predict", "a.png", "--json")[1])["predictions"]
    (expected,) = evaluation.predict(
        crest.net, [read_whole_picture(tmp_path / "a.png", (1, 32, 32))], crest.recipe
    )
    assert list(only["probabilities"].values()) == pytest.approx(expected.probabilities)


@pytest.mark.parametrize("light", [True, False])
def test_the_images_of_a_run_decide_whether_pictures_are_inverted(
    light: bool, netlet: Netlet, tmp_path: Path
) -> None:
    data = make_scribble(200, 20)
    images = data.held_out.images
    if light:
        train, test = (
            dataclasses.replace(one, images=255 - one.images) for one in (data.train, data.held_out)
        )
        data = dataclasses.replace(data, train=train, held_out=test, checksums={}, measured=None)
        images = test.images
    save_npz(data, tmp_path / "own.npz")
    saved(Image.fromarray(images[0, 0].numpy()), tmp_path / "a.png")
    options = ("--dataset", "own.npz", "--epochs", "1", "--out", "own")
    assert netlet("train", "4 P 8", *options)[0] in (0, 1)
    trained = load_trained_net("own")
    assert trained.run is not None
    assert trained.run.data.get("light_background") == (True if light else None)
    (seen,) = read_picture(tmp_path / "a.png", trained, raw=False)
    if light:  # as the net has seen it in training
        assert (seen == images[0].numpy()).all()
        page = build_page(trace_model(trained)).replace('": ', '":')
        assert '"whole":true' in page
        assert '"paper":"white"' in page
    else:
        assert seen.shape == (28, 28)


def test_a_sheet_has_a_tile_for_each_image(digits: np.ndarray) -> None:
    one = draw_captioned_sheet([digits[0]], [("a.png", "5  99.00 %")])
    ten = draw_captioned_sheet(list(digits[:10]), [("a rather long name of a file.png", "5")] * 10)
    assert ten.width > 7 * one.width
    assert ten.height > 1.9 * (one.height - 10)
    assert (np.asarray(ten)[152:162, 6 + 140 :: 146] == np.asarray(ten)[0, 0]).all()  # cut to fit
    assert (np.asarray(one)[6:146, 6:146, 0] == np.kron(digits[0], np.ones((5, 5)))).all()


@pytest.mark.slow
@pytest.mark.mnist
def test_crest_reads_pictures_as_well_as_mnist_images(
    mnist: Dataset, crest: TrainedNet, tmp_path: Path
) -> None:
    images, labels = mnist.held_out.images[:200, 0].numpy(), mnist.held_out.labels[:200].tolist()
    found = pictures.read_back(pictures.in_uneven_light, images, tmp_path)
    assert not [digits for digits in found if isinstance(digits, str)]
    answers = evaluation.predict(crest.net, [digits[0] for digits in found], crest.recipe)
    right = [
        len(digits) == 1 and answer.best == label
        for digits, answer, label in zip(found, answers, labels, strict=True)
    ]
    assert sum(right) >= 196


def test_pictures_that_need_no_preparation_are_said_to_need_raw(
    netlet: Netlet, tmp_path: Path
) -> None:
    """Pictures of shirts and the like have areas and parts, where digits have strokes."""
    image = np.zeros((28, 28), np.uint8)
    image[6:24, 4:24] = 200
    saved(Image.fromarray(image), tmp_path / "shirt.png")
    saved(Image.fromarray(np.kron(image, np.ones((2, 2), np.uint8))), tmp_path / "large.png")
    code, _, err = netlet("predict", "shirt.png", "large.png")
    assert code == 1
    assert "netlet: 1 picture of 28x28 pixels refused or divided; pass --raw if" in err
    code, _, err = netlet("predict", "shirt.png", "--raw")
    assert (code, err) == (0, "")
