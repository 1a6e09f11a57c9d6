"""Several digits in a row: divided from left to right, while the parts of one digit stay together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import Netlet
from PIL import Image, ImageDraw

from benchmarks import pictures
from netlet.data import Dataset, prepare_digit, read_digits
from netlet.data.pieces import group_pieces
from netlet.data.scribble import draw_digits
from netlet.errors import DataError


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return draw_digits(60, seed=5)[0][:, 0].numpy()


def grouped(*lines: str) -> list[str]:
    """Number the digits of a drawing in which every sign but a dot is ink."""
    ink = np.array([[sign != "." for sign in line] for line in lines])
    numbers = group_pieces(ink)
    return ["".join("." if n == 0 else str(n) for n in row) for row in numbers]


def row_of(digits: list[np.ndarray], gap_px: int = 6, zoom: int = 6) -> Image.Image:
    """Write digits side by side, dark on light."""
    boxes = []
    for digit in digits:
        rows, columns = digit.any(axis=1).nonzero()[0], digit.any(axis=0).nonzero()[0]
        boxes.append(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    width = sum(box.shape[1] for box in boxes) + gap_px * (len(boxes) - 1) + 16
    paper = np.zeros((36, width), np.uint8)
    left = 8
    for n, box in enumerate(boxes):
        top = 8 + n % 3 - 1  # nobody writes exactly on the line
        paper[top : top + len(box), left : left + box.shape[1]] = box
        left += box.shape[1] + gap_px
    large = Image.fromarray(255 - paper)
    return large.resize((zoom * large.width, zoom * large.height), Image.Resampling.BICUBIC)


# --- Pieces


def test_pieces_side_by_side_are_numbered_from_the_left() -> None:
    assert grouped("..#.##.#", "..#.##.#", "#.#.##.#", "#.#.##.#") == [
        "..2.33.4",
        "..2.33.4",
        "1.2.33.4",
        "1.2.33.4",
    ]


def test_ink_that_touches_at_a_corner_is_one_piece() -> None:
    assert grouped("##..", "##..", "..##", "..##") == ["11..", "11..", "..11", "..11"]


def test_the_parts_of_a_digit_stay_together() -> None:
    # a 5 whose bar is apart, beside a 1
    assert grouped("..###..#", ".......#", ".##....#", "...#...#", ".##....#") == [
        "..111..2",
        ".......2",
        ".11....2",
        "...1...2",
        ".11....2",
    ]
    # a speck belongs to the nearest digit, and does not count as one
    assert grouped("##.....##", "##.#...##", "##.....##", "##.....##") == [
        "11.....22",
        "11.1...22",
        "11.....22",
        "11.....22",
    ]
    # halves above each other
    assert grouped("###", "###", "...", "###", "###") == ["111", "111", "...", "111", "111"]


def test_blank_paper_has_no_digit_and_a_full_one_has_one() -> None:
    assert group_pieces(np.zeros((4, 5), bool)).max() == 0
    assert (group_pieces(np.ones((4, 5), bool)) == 1).all()
    assert group_pieces(np.zeros((0, 0), bool)).size == 0


def test_a_row_that_climbs_is_divided_as_well() -> None:
    ink = np.zeros((60, 200), bool)
    for n in range(6):
        ink[40 - 6 * n : 60 - 6 * n, 5 + 30 * n : 20 + 30 * n] = True
    assert sorted(np.unique(group_pieces(ink))) == list(range(7))


# --- Pictures


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_row_of_digits_is_read_from_left_to_right(
    digits: np.ndarray, tmp_path: Path, count: int
) -> None:
    for first in range(0, 40, 8):
        chosen = list(digits[first : first + count])
        row_of(chosen).save(tmp_path / "row.png")
        found = read_digits(tmp_path / "row.png")
        assert len(found) == count
        for ink, digit in zip(found, chosen, strict=True):
            # A pixel of shift is allowed: the enlarged digit is centered anew.
            seen, wanted = prepare_digit(ink).astype(int), prepare_digit(digit).astype(int)
            moved = [
                np.abs(np.roll(seen, (down, right), (0, 1)) - wanted).mean()
                for down in (-1, 0, 1)
                for right in (-1, 0, 1)
            ]
            assert min(moved) < 24  # other digits differ by 40


def test_a_row_is_read_in_photos_and_with_a_light_pen(digits: np.ndarray, tmp_path: Path) -> None:
    row = np.asarray(row_of(list(digits[:4])))
    light = 255 - row
    uneven = 60 + 0.6 * row * pictures.make_uneven_light(row.shape, np.random.default_rng(0), 0.2)
    for levels in (light, uneven.clip(0, 255).astype(np.uint8)):
        Image.fromarray(levels).save(tmp_path / "row.jpg", quality=85)
        assert len(read_digits(tmp_path / "row.jpg")) == 4


def test_a_thin_pen_is_broadened_for_each_digit(tmp_path: Path) -> None:
    paper = Image.new("L", (900, 200), 255)
    pen = ImageDraw.Draw(paper)
    for n in range(6):
        pen.line([60 + 140 * n, 40, 70 + 140 * n, 160], fill=0, width=2)
    paper.save(tmp_path / "row.png")
    found = read_digits(tmp_path / "row.png")
    assert len(found) == 6
    # 2 px of 20 on MNIST's scale are 12 of 120 here; a row's width would have made it 90.
    assert all(10 <= ink.shape[1] <= 30 for ink in found)


def test_more_digits_than_anybody_writes_are_refused(tmp_path: Path) -> None:
    bars = np.full((60, 1000), 255, np.uint8)
    bars[10:50, 10:990:20] = bars[10:50, 11:990:20] = bars[10:50, 12:990:20] = 0
    Image.fromarray(bars).save(tmp_path / "bars.png")
    with pytest.raises(DataError, match=r"49 digits side by side; crop the picture to at most 32"):
        read_digits(tmp_path / "bars.png")


@pytest.mark.slow
@pytest.mark.mnist
def test_pairs_of_mnist_digits_are_divided_and_single_ones_are_not(
    mnist: Dataset, tmp_path: Path
) -> None:
    images = mnist.train.images[:800, 0].numpy()
    alone = pictures.read_back(pictures.unchanged, images[:400], tmp_path)
    assert sum(len(found) > 1 for found in alone if not isinstance(found, str)) <= 1
    others = iter(images[400:])
    pairs = pictures.read_back(
        lambda image, _: pictures.join_digits(image, next(others), 3), images[:400], tmp_path
    )
    assert sum(not isinstance(found, str) and len(found) == 2 for found in pairs) > 0.98 * 400


# --- The command


def test_predict_answers_for_each_digit_of_a_row(
    netlet: Netlet, digits: np.ndarray, tmp_path: Path
) -> None:
    row_of(list(digits[:3])).save(tmp_path / "row.png")
    row_of(list(digits[3:4])).save(tmp_path / "one.png")
    code, out, err = netlet("predict", "row.png", "one.png", "--show", "seen.png")
    assert (code, err) == (0, "")
    assert [line.split("  ")[0] for line in out.splitlines()[2:]] == [
        "row.png, 1 of 3",
        "row.png, 2 of 3",
        "row.png, 3 of 3",
        "one.png",
    ]
    assert Image.open(tmp_path / "seen.png").width > 4 * 140
    _, out, _ = netlet("predict", "row.png", "one.png", "--json")
    entries = json.loads(out)["predictions"]
    assert [(entry["file"], entry["position"], entry["digits"]) for entry in entries] == [
        ("row.png", 1, 3),
        ("row.png", 2, 3),
        ("row.png", 3, 3),
        ("one.png", 1, 1),
    ]
    for i, entry in enumerate(entries):
        pictures.to_image(255.0 - digits[i]).save(tmp_path / "alone.png")
        _, out, _ = netlet("predict", "alone.png", "--json")
        assert json.loads(out)["predictions"][0]["digit"] == entry["digit"]
