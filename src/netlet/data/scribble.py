"""``scribble``: digits as if written by hand, drawn by a program, so that everything runs with no network and no files.

Each image is one style of ``skeletons.py``, written by another hand: control points shaken, the
whole slanted, turned and bent, drawn with a pen of varying width, then put into MNIST's frame
(LeCun et al. 1998: the longer side fitted to 20 pixels, the center of mass to the middle of 28x28).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch.nn import functional as F

from netlet.data.dataset import Dataset, Split
from netlet.data.skeletons import STYLES, Stroke, Style
from netlet.errors import DataError
from netlet.files import write_whole

VERSION = 1  # of what is drawn; a cache of another is not read
_SPLITS = ("train", "test")
SIZE, BOX = 28, 20  # pixels: the frame, and the box that a digit fits into
_MARKS = 80  # points that a skeleton is drawn by
_AT_ONCE = 256  # images; their distances to all marks stay near the cache


def draw_digits(images: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Digits with their labels, every class equally often up to one image.

    Args:
        images: How many.
        seed: The same seed gives the same images.

    Returns:
        uint8 ``N 1 28 28`` and int64 ``N``, in random order.
    """
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % len(STYLES)
    labels = labels[torch.randperm(images, generator=random)]
    drawn = torch.empty(images, SIZE, SIZE, dtype=torch.uint8)
    for digit, styles in STYLES.items():
        mine = (labels == digit).nonzero()[:, 0]
        shares = torch.tensor([style.share for style in styles], dtype=torch.float64)
        chosen = torch.multinomial(shares, max(1, len(mine)), replacement=True, generator=random)[
            : len(mine)
        ]
        for i, style in enumerate(styles):
            for some in mine[chosen == i].split(_AT_ONCE):
                drawn[some] = _draw(_write(style, len(some), random), random)
    return drawn.unsqueeze(1), labels


def _write(style: Style, n: int, random: torch.Generator) -> torch.Tensor:
    """``n`` hands write a style: where their pens have been, ``n marks 2``, about the unit square."""
    controls, basis = _curve(style.strokes)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=random) - 1

    shaken = (
        controls
        + 0.035 * normal(n, 1, 1).abs() * normal(n, *controls.shape)
        + 0.012 * normal(n, *controls.shape)
    )
    marks = basis @ shaken - 0.5
    # Two slow waves across the square bend everything a little, as an unsteady hand does.
    for _ in range(2):
        pull, phase = math.pi * 1.5 * normal(n, 1, 2), math.pi * uniform(n, 1, 1)
        marks = marks + 0.035 * normal(n, 1, 2) * torch.sin(
            (marks * pull).sum(2, keepdim=True) + phase
        )
    aspect = torch.exp(0.16 * normal(n, 1))
    slant = 0.12 + 0.25 * normal(n, 1)
    turn = torch.deg2rad(6 * normal(n, 1))
    x, y = marks[..., 0] * aspect - slant * marks[..., 1], marks[..., 1]
    return torch.stack([x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()], dim=2)


def _draw(marks: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Pen tracks ``n marks 2`` to MNIST-style images, uint8 ``n 28 28``."""
    n = len(marks)
    width = (2.7 * torch.exp(0.34 * torch.randn(n, 1, generator=random))).clamp(1.2, 6.0)  # px
    # Fit the inked box, pen included, to 20 px.
    low, high = marks.amin(1), marks.amax(1)
    extent = (high - low).amax(1, keepdim=True).clamp(min=1e-3)
    marks = (marks - (low + high).unsqueeze(1) / 2) * ((BOX - width) / extent).unsqueeze(2)
    # A pen presses differently along its way.
    along = torch.linspace(0, 1, marks.shape[1])
    phase = torch.rand(n, 1, generator=random)
    speed = 0.5 + 1.5 * torch.rand(n, 1, generator=random)
    press = 0.25 * torch.rand(n, 1, generator=random)
    radius = width / 2 * (1 + press * torch.sin(2 * math.pi * (speed * along + phase)))
    ink = _ink(marks, radius, width / 2, 0.6 + 0.7 * torch.rand(n, 1, generator=random))
    return _centred(ink)


def _ink(
    marks: torch.Tensor, radius: torch.Tensor, mean_radius: torch.Tensor, edge: torch.Tensor
) -> torch.Tensor:
    """Gray levels 0..1 of a frame with the tracks in its middle, ``n 28 28``.

    A pixel's darkness falls from one to zero over ``edge`` px about the rim of the nearest mark. In
    units of each mark's radius the squared distance is a product of four numbers of the pixel and
    four of the mark, so that one matrix product gives them all.
    """
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pixels = (
        torch.stack([x * x + y * y, x, y, torch.ones_like(x)], dim=-1)
        .view(1, -1, 4)
        .expand(len(marks), -1, -1)
    )
    weight = radius.square().reciprocal()
    of_mark = [
        weight,
        -2 * weight * marks[..., 0],
        -2 * weight * marks[..., 1],
        weight * marks.square().sum(2),
    ]
    nearest = torch.bmm(pixels, torch.stack(of_mark, dim=1)).amin(2)
    outside = (nearest.clamp(min=0).sqrt() - 1) * mean_radius
    return (0.5 - outside / edge).clamp(0, 1).view(-1, SIZE, SIZE)


def _centred(ink: torch.Tensor) -> torch.Tensor:
    """Move the center of mass to pixel (14, 14), by whole pixels, as MNIST has it; uint8."""
    gray = (255 * ink).round().to(torch.uint8)
    positions = torch.arange(SIZE, dtype=torch.float32)
    mass = ink.sum((1, 2)).clamp(min=1e-6)
    shift_x = (SIZE // 2 - (ink.sum(1) * positions).sum(1) / mass).round().long()
    shift_y = (SIZE // 2 - (ink.sum(2) * positions).sum(1) / mass).round().long()
    pad = 8
    padded = F.pad(gray, (pad, pad, pad, pad))
    index = torch.arange(SIZE) + pad
    rows = (index - shift_y.clamp(-pad, pad).unsqueeze(1)).unsqueeze(2)
    columns = (index - shift_x.clamp(-pad, pad).unsqueeze(1)).unsqueeze(1)
    return padded[torch.arange(len(ink)).view(-1, 1, 1), rows, columns]


def _curve(strokes: Sequence[Stroke]) -> tuple[torch.Tensor, torch.Tensor]:
    """A style's distinct control points ``M 2``, and the ``marks x M`` matrix from them to points along the curves.

    The curves are Catmull-Rom splines: linear in their control points, and through them.
    """
    points = list(dict.fromkeys(point for stroke in strokes for point in stroke))
    lengths = [sum(math.dist(a, b) for a, b in itertools.pairwise(stroke)) for stroke in strokes]
    rows: list[list[float]] = []
    for s, stroke in enumerate(strokes):
        share = sum(lengths[: s + 1]) / sum(lengths)
        count = max(2, round(_MARKS * share) - len(rows))
        for i in range(count):
            u = i / (count - 1) * (len(stroke) - 1)
            k = min(int(u), len(stroke) - 2)
            t = u - k
            row = [0.0] * len(points)
            around = (
                (k - 1, (-t + 2 * t**2 - t**3) / 2),
                (k, (2 - 5 * t**2 + 3 * t**3) / 2),
                (k + 1, (t + 4 * t**2 - 3 * t**3) / 2),
                (k + 2, (-(t**2) + t**3) / 2),
            )
            for j, value in around:
                # Beyond an end the curve goes on as it came: p[-1] = 2 p[0] - p[1].
                inside = min(max(j, 0), len(stroke) - 1)
                if inside == j:
                    row[points.index(stroke[j])] += value
                else:
                    row[points.index(stroke[inside])] += 2 * value
                    row[points.index(stroke[2 * inside - j])] -= value
            rows.append(row)
    return torch.tensor(points), torch.tensor(rows)


def make_scribble(train: int = 60_000, test: int = 10_000, seed: int = 0) -> Dataset:
    """The data set: ``train`` and ``test`` from two streams of one seed.

    Raises:
        DataError: Fewer images than classes.
    """
    if min(train, test) < len(STYLES):
        raise DataError(
            f"{min(train, test)} images do not hold {len(STYLES)} classes; ask for at least {len(STYLES)}"
        )
    splits = [
        Split(name, *draw_digits(n, 2 * seed + i))
        for i, (name, n) in enumerate((("train", train), ("test", test)))
    ]
    return _dataset(*splits)


def load_scribble(folder: Path) -> Dataset:
    """The data set as it was made here the first time, or made and kept in ``folder`` now.

    A file there that is damaged is made anew; a folder that cannot be written to costs only the
    time of making.
    """
    path = folder / f"scribble-{VERSION}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, KeyError, DataError):
        tensors = load_safetensors(path.read_bytes())
        kept = _dataset(
            *(Split(name, tensors[f"{name}_images"], tensors[f"{name}_labels"]) for name in _SPLITS)
        )
        with safe_open(path, framework="pt") as file:
            if kept.checksums == file.metadata():
                return kept
    made = make_scribble()
    tensors = {
        f"{split.name}_{what}": values
        for split in (made.train, made.held_out)
        for what, values in (("images", split.images), ("labels", split.labels))
    }
    with contextlib.suppress(OSError):
        write_whole(path, save_safetensors(tensors, dict(made.checksums)))
    return made


def _dataset(train: Split, test: Split) -> Dataset:
    checksums = {split.name: split.sha256() for split in (train, test)}
    return Dataset("scribble", train, test, tuple(map(str, STYLES)), checksums)
