"""How well `netlet predict` reads pictures: MNIST's test images made into pictures of several kinds, and read back.

    python -m benchmarks.pictures [--images 2000]

writes results/pictures.json. Everything that reading does was chosen on train images; two digits
side by side are counted on train images, too.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

OUT = Path(__file__).parent.parent / "results" / "pictures.json"


def placed(digit, random, size_px, picture_px, paper, pen):
    """A digit enlarged, somewhere on a paper ``h w``; levels as floats."""
    big = Image.fromarray(digit).resize((size_px, size_px), Image.Resampling.BICUBIC)
    picture = np.full(picture_px, float(paper))
    top, left = (int(random.integers(0, side - size_px + 1)) for side in picture_px)
    place = picture[top : top + size_px, left : left + size_px]
    place += (pen - paper) * np.asarray(big, dtype=np.float64) / 255
    return picture


def as_image(levels):
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def as_it_is(digit, random):
    return Image.fromarray(digit)


def dark_on_light(digit, random):
    return Image.fromarray(255 - digit)


def eight_times_as_large(digit, random):
    return Image.fromarray(np.kron(digit, np.ones((8, 8), dtype=np.uint8)))


def drawn_off_centre(digit, random):
    return as_image(placed(digit, random, 280, (400, 600), 255, 0))


def in_slanting_light(digit, random):
    """Eight times as large, dark on light, anywhere, one side up to half again as bright as the other."""
    return as_image(
        placed(digit, random, 224, (320, 420), 1, 0.25) * (200 * slant((320, 420), random, 0.2))
    )


def slant(shape, random, share):
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    angle = random.uniform(0, 2 * np.pi)
    return 1 + share * (np.cos(angle) * x + np.sin(angle) * y) - share / 2 * (x**2 + y**2)


def photographed(digit, random, pen=0.35):
    """Dark pen, unsharp, uneven light, darker corners, grain, a tint, JPEG; the digit a third to 7/10 of the height."""
    size = (480, 640)
    levels = (
        placed(digit, random, int(random.integers(140, 340)), size, 1, pen)
        * 170
        * slant(size, random, 0.3)
    )
    grain = ndimage.gaussian_filter(random.normal(0, 10, size), 0.7)
    levels = ndimage.gaussian_filter(levels, 1.2) + grain
    tinted = np.stack([levels * 1.05, levels, levels * 0.85], axis=2).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(tinted).save(file, "JPEG", quality=70)
    return Image.open(file)


def pencil_photographed(digit, random):
    return photographed(digit, random, pen=0.78)


def chalk_photographed(digit, random):
    return Image.fromarray(255 - np.asarray(photographed(digit, random)))


def small_on_a_sheet(digit, random):
    return as_image(
        placed(digit, random, 130, (900, 1200), 240, 60) + random.normal(0, 4, (900, 1200))
    )


def on_ruled_paper(digit, random):
    levels = placed(digit, random, 200, (480, 640), 230, 50)
    for top in range(20, 480, 40):
        levels[top : top + 2] = np.minimum(levels[top : top + 2], 190)
    return as_image(levels + random.normal(0, 3, levels.shape))


def cut_to_its_box(digit, random):
    rows, columns = digit.any(axis=1).nonzero()[0], digit.any(axis=0).nonzero()[0]
    box = Image.fromarray(255 - digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return box.resize((10 * box.width, 10 * box.height), Image.Resampling.BICUBIC)


def by_a_thin_pen(digit, random):
    """A pen of 3 px in a picture of 1,000."""
    big = Image.fromarray(digit).resize((280, 280), Image.Resampling.BICUBIC)
    line = thinned(np.asarray(big) > 110)
    picture = Image.new("L", (1000, 1000), 255)
    pen, zoom = ImageDraw.Draw(picture), 1000 / 280
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        there = np.roll(line, (-down, -right), (0, 1)) & line
        for y, x in zip(*there.nonzero(), strict=True):
            pen.line([x * zoom, y * zoom, (x + right) * zoom, (y + down) * zoom], fill=0, width=3)
    return picture


def thinned(ink):
    """Lines of one pixel in the middle of the strokes (Zhang and Suen 1984)."""
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


KINDS: tuple[Callable, ...] = (
    as_it_is,
    dark_on_light,
    eight_times_as_large,
    drawn_off_centre,
    in_slanting_light,
    photographed,
    pencil_photographed,
    chalk_photographed,
    small_on_a_sheet,
    on_ruled_paper,
    cut_to_its_box,
    by_a_thin_pen,
)


def side_by_side(one, other, gap_px):
    """The boxes of two digits in one row, light on dark."""
    boxes = []
    for digit in (one, other):
        rows, columns = digit.any(axis=1).nonzero()[0], digit.any(axis=0).nonzero()[0]
        boxes.append(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    a, b = boxes
    picture = np.zeros(
        (max(len(a), len(b)) + 8, a.shape[1] + b.shape[1] + gap_px + 8), dtype=np.uint8
    )
    picture[4 : 4 + len(a), 4 : 4 + a.shape[1]] = a
    picture[4 : 4 + len(b), -4 - b.shape[1] : -4] = b
    return Image.fromarray(picture)


def reading(make, images, folder, seed=0):
    """Each image as a picture in a file, read back; None with what was said where it was refused."""
    from netlet.data import prepared, read_picture
    from netlet.errors import DataError

    random = np.random.default_rng(seed)
    found = []
    for image in images:
        picture = make(image, random)
        path = Path(folder) / ("picture.jpg" if picture.format == "JPEG" else "picture.png")
        picture.save(
            path, **({"quality": 90} if picture.format == "JPEG" else {"compress_level": 1})
        )
        try:
            found.append(prepared(read_picture(path)))
        except DataError as error:
            found.append(str(error).split(": ", 1)[1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2_000, help="of test, the first")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--singles", type=int, default=60_000, help="of train, for false alarms")
    arguments = parser.parse_args()
    from netlet import data, evaluation
    from netlet.experiments import trained_net

    digits = data.load("mnist")
    test = digits.held_out.images[: arguments.images, 0].numpy()
    train = digits.train.images[:, 0].numpy()
    labels = digits.held_out.labels[: arguments.images].tolist()
    crest = trained_net("crest")

    def right(images):
        answered = [
            (image, label)
            for image, label in zip(images, labels, strict=True)
            if not isinstance(image, str)
        ]
        answers = evaluation.predict(crest.net, [image for image, _ in answered], crest.recipe)
        return sum(
            answer.best == label for answer, (_, label) in zip(answers, answered, strict=True)
        )

    found: dict[str, object] = {
        "net": "crest",
        "images": len(test),
        "raw_right": right(list(test)),
        "kinds": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for make in KINDS:
            images = reading(make, test, folder)
            refused = sum(isinstance(image, str) for image in images)
            found["kinds"][make.__name__] = {"right": right(images), "refused": refused}
            print(make.__name__, found["kinds"][make.__name__], flush=True)
        random = np.random.default_rng(1)
        pairs = random.integers(0, len(train), (arguments.pairs, 2))
        gaps = random.integers(2, 9, arguments.pairs)
        order = iter(zip(pairs, gaps, strict=True))

        def next_pair(_image, _random):
            (a, b), gap_px = next(order)
            return side_by_side(train[a], train[b], int(gap_px))

        for name, make, images in (
            ("pairs", next_pair, train[: arguments.pairs]),
            ("singles", as_it_is, train[: arguments.singles]),
        ):
            told = [image for image in reading(make, images, folder) if isinstance(image, str)]
            two = sum(text.startswith("two digits") for text in told)
            found[name] = {
                "number": len(images),
                "taken_for_two": two,
                "otherwise_refused": len(told) - two,
            }
            print(name, found[name], flush=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
