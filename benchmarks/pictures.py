"""Measure how well ``netlet predict`` reads pictures.

    python -m benchmarks.pictures                  2,000 test images, all kinds of pictures
    python -m benchmarks.pictures --images 100     fewer of them

MNIST's test images are made into pictures of several kinds and read back; results/pictures.json
gets the figures, ``divided`` for those that are taken for several digits. Everything in the reading
was chosen on training images, and the pictures with two digits side by side are made from training
images, too.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from netlet.data import Split

RECORD = Path(__file__).parent.parent / "results" / "pictures.json"

Levels = NDArray[np.uint8]  # H W
Floats = NDArray[np.float64]  # H W
Random = np.random.Generator
Make = Callable[[Levels, Random], Image.Image]


def place_digit(
    digit: Levels,
    random: Random,
    size_px: int,
    picture_px: tuple[int, int],
    paper: float,
    pen: float,
) -> Floats:
    """Return a paper ``H W`` with the enlarged digit at a random place; levels as floats."""
    big = Image.fromarray(digit).resize((size_px, size_px), Image.Resampling.BICUBIC)
    picture = np.full(picture_px, float(paper))
    top, left = (int(random.integers(0, side - size_px + 1)) for side in picture_px)
    place = picture[top : top + size_px, left : left + size_px]
    place += (pen - paper) * np.asarray(big, dtype=np.float64) / 255
    return picture


def to_image(levels: Floats) -> Image.Image:
    """Round and clip levels to a gray image."""
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def unchanged(digit: Levels, random: Random) -> Image.Image:
    return Image.fromarray(digit)


def dark_on_light(digit: Levels, random: Random) -> Image.Image:
    return Image.fromarray(255 - digit)


def eight_times_as_large(digit: Levels, random: Random) -> Image.Image:
    return Image.fromarray(np.kron(digit, np.ones((8, 8), dtype=np.uint8)))


def drawn_off_center(digit: Levels, random: Random) -> Image.Image:
    return to_image(place_digit(digit, random, 280, (400, 600), 255, 0))


def in_uneven_light(digit: Levels, random: Random) -> Image.Image:
    """Enlarge 8 times, dark on light, anywhere, with light from one side.

    The bright side is up to half again as bright as the other.
    """
    return to_image(
        place_digit(digit, random, 224, (320, 420), 1, 0.25)
        * (200 * make_uneven_light((320, 420), random, 0.2))
    )


def make_uneven_light(shape: tuple[int, int], random: Random, share: float) -> Floats:
    """Return a factor for each pixel: brighter to one side, darker toward the corners."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    angle = random.uniform(0, 2 * np.pi)
    return 1 + share * (np.cos(angle) * x + np.sin(angle) * y) - share / 2 * (x**2 + y**2)


def photographed(digit: Levels, random: Random, pen: float = 0.35) -> Image.Image:
    """Photograph a digit drawn with a dark pen.

    The picture is unsharp and unevenly lit, has darker corners, grain and a tint, and is a JPEG.
    The digit takes 29% to 71% of the height.
    """
    size = (480, 640)
    levels = (
        place_digit(digit, random, int(random.integers(140, 340)), size, 1, pen)
        * 170
        * make_uneven_light(size, random, 0.3)
    )
    grain = ndimage.gaussian_filter(random.normal(0, 10, size), 0.7)
    levels = ndimage.gaussian_filter(levels, 1.2) + grain
    tinted = np.stack([levels * 1.05, levels, levels * 0.85], axis=2).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(tinted).save(file, "JPEG", quality=70)
    return Image.open(file)


def pencil_photographed(digit: Levels, random: Random) -> Image.Image:
    return photographed(digit, random, pen=0.78)


def chalk_photographed(digit: Levels, random: Random) -> Image.Image:
    return Image.fromarray(255 - np.asarray(photographed(digit, random)))


def small_on_a_sheet(digit: Levels, random: Random) -> Image.Image:
    return to_image(
        place_digit(digit, random, 130, (900, 1200), 240, 60) + random.normal(0, 4, (900, 1200))
    )


def on_ruled_paper(digit: Levels, random: Random) -> Image.Image:
    levels = place_digit(digit, random, 200, (480, 640), 230, 50)
    for top in range(20, 480, 40):
        levels[top : top + 2] = np.minimum(levels[top : top + 2], 190)
    return to_image(levels + random.normal(0, 3, levels.shape))


def cropped_to_the_digit(digit: Levels, random: Random) -> Image.Image:
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    box = Image.fromarray(255 - digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return box.resize((10 * box.width, 10 * box.height), Image.Resampling.BICUBIC)


def thin_pen(digit: Levels, random: Random) -> Image.Image:
    """Draw the digit with a pen of 3 px on a picture of 1000x1000 px."""
    big = Image.fromarray(digit).resize((280, 280), Image.Resampling.BICUBIC)
    line = thin_strokes(np.asarray(big) > 110)
    picture = Image.new("L", (1000, 1000), 255)
    pen, zoom = ImageDraw.Draw(picture), 1000 / 280
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        there = np.roll(line, (-down, -right), (0, 1)) & line
        for y, x in zip(*there.nonzero(), strict=True):
            pen.line([x * zoom, y * zoom, (x + right) * zoom, (y + down) * zoom], fill=0, width=3)
    return picture


def thin_strokes(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Reduce strokes to lines of one pixel in their middle (Zhang and Suen 1984)."""
    while True:
        before = ink
        for first in (True, False):
            p = np.pad(ink, 1)
            n, ne, e, se = p[:-2, 1:-1], p[:-2, 2:], p[1:-1, 2:], p[2:, 2:]
            s, sw, w, nw = p[2:, 1:-1], p[2:, :-2], p[1:-1, :-2], p[:-2, :-2]
            ring = np.stack([n, ne, e, se, s, sw, w, nw])
            around, rises = ring.sum(axis=0), (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)
            kept = (n & e & s) | (e & s & w) if first else (n & e & w) | (n & s & w)
            ink = ink & ~((around >= 2) & (around <= 6) & (rises == 1) & ~kept)
        if (ink == before).all():
            return ink


KINDS: tuple[Make, ...] = (
    unchanged,
    dark_on_light,
    eight_times_as_large,
    drawn_off_center,
    in_uneven_light,
    photographed,
    pencil_photographed,
    chalk_photographed,
    small_on_a_sheet,
    on_ruled_paper,
    cropped_to_the_digit,
    thin_pen,
)


def join_digits(one: Levels, other: Levels, gap_px: int) -> Image.Image:
    """Return two digits in one row, cropped and light on dark."""
    boxes = []
    for digit in (one, other):
        rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
        boxes.append(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    a, b = boxes
    picture = np.zeros(
        (max(len(a), len(b)) + 8, a.shape[1] + b.shape[1] + gap_px + 8), dtype=np.uint8
    )
    picture[4 : 4 + len(a), 4 : 4 + a.shape[1]] = a
    picture[4 : 4 + len(b), -4 - b.shape[1] : -4] = b
    return Image.fromarray(picture)


def read_back(
    make: Make, images: Iterable[Levels], folder: Path | str, seed: int = 0
) -> list[list[Levels] | str]:
    """Write each image as a picture of one kind and read it back.

    Returns:
        For each image the prepared digits, or the message with which it was refused.
    """
    from netlet.data import prepare_digit, read_digits
    from netlet.errors import DataError

    random = np.random.default_rng(seed)
    found: list[list[Levels] | str] = []
    for image in images:
        picture = make(image, random)
        path = Path(folder) / ("picture.jpg" if picture.format == "JPEG" else "picture.png")
        if picture.format == "JPEG":
            picture.save(path, quality=90)
        else:
            picture.save(path, compress_level=1)
        try:
            found.append([prepare_digit(ink) for ink in read_digits(path)])
        except DataError as error:
            found.append(str(error).split(": ", 1)[1])
    return found


def count_kinds(test: Split, images: int, folder: str) -> dict[str, Any]:
    """Return how many of the first test images the net ``crest`` classifies, by kind of picture."""
    from netlet import evaluation
    from netlet.experiments import load_confidence, load_trained_net

    crest = load_trained_net("crest")
    confidence = load_confidence(crest)
    digits = list(test.images[:images, 0].numpy())
    labels = test.labels[:images].tolist()

    def count_answers(found: Sequence[list[Levels] | str]) -> dict[str, int]:
        read = [
            (digits[0], label)
            for digits, label in zip(found, labels, strict=True)
            if not isinstance(digits, str) and len(digits) == 1
        ]
        answers = evaluation.predict(
            crest.net, [image for image, _ in read], crest.recipe, confidence=confidence
        )
        pairs = [(answer, label) for answer, (_, label) in zip(answers, read, strict=True)]
        refused = sum(isinstance(digits, str) for digits in found)
        return {
            "right": sum(answer.best == label for answer, label in pairs),
            "unsure": sum(bool(answer.unsure) for answer, _ in pairs),
            "wrong_and_sure": sum(
                answer.best != label and not answer.unsure for answer, label in pairs
            ),
            "divided": len(found) - len(read) - refused,
            "refused": refused,
        }

    kinds: dict[str, dict[str, int]] = {}
    for make in KINDS:
        kinds[make.__name__] = count_answers(read_back(make, digits, folder))
        print(make.__name__, kinds[make.__name__], flush=True)
    raw = count_answers([[digit] for digit in digits])
    return {"net": "crest", "images": len(digits), "raw": raw, "kinds": kinds}


def count_pairs(train: Split, pairs: int, singles: int, folder: str) -> dict[str, Any]:
    """Return into how many digits pairs of training digits, and single ones, are divided."""
    digits = train.images[:, 0].numpy()
    random = np.random.default_rng(1)
    chosen = random.integers(0, len(digits), (pairs, 2))
    gaps_px = random.integers(2, 9, pairs)
    order = iter(zip(chosen, gaps_px, strict=True))

    def next_pair(_image: Levels, _random: Random) -> Image.Image:
        (a, b), gap_px = next(order)
        return join_digits(digits[a], digits[b], int(gap_px))

    figures = {}
    for name, make, images in (
        ("pairs", next_pair, digits[:pairs]),
        ("singles", unchanged, digits[:singles]),
    ):
        found = read_back(make, images, folder)
        counts = [0 if isinstance(digits, str) else len(digits) for digits in found]
        figures[name] = {
            "number": len(images),
            "taken_for_one": counts.count(1),
            "taken_for_two": counts.count(2),
            "taken_for_more": sum(count > 2 for count in counts),
            "refused": counts.count(0),
        }
        print(name, figures[name], flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2_000, help="test images (default: 2000)")
    parser.add_argument(
        "--pairs", type=int, default=10_000, help="pairs of training images (default: 10000)"
    )
    parser.add_argument(
        "--singles",
        type=int,
        default=60_000,
        help="training images in which only one digit may be found (default: all 60,000)",
    )
    given = parser.parse_args()

    from netlet import data

    digits = data.load("mnist")
    with tempfile.TemporaryDirectory() as folder:
        record = {
            **count_kinds(digits.held_out, given.images, folder),
            **count_pairs(digits.train, given.pairs, given.singles, folder),
        }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
