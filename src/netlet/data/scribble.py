"""``scribble``, a generated data set of handwritten-looking digits that needs no network or files.

Each image is one style of ``skeletons.py`` in a random handwriting: the control points are
jittered, the digit is slanted, rotated and bent, drawn with a pen of varying width, then put into
MNIST's frame (LeCun et al. 1998: the longer side becomes 20 pixels, the center of mass the middle
of 28x28).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch.nn import functional as F

from netlet.data.dataset import Dataset
from netlet.data.skeletons import STYLES, Point, Stroke, Style
from netlet.data.split import Split
from netlet.errors import DataError, LockedError, NetletError, OutputError, warn
from netlet.files import read_regular, write_atomic
from netlet.locks import lock_file

VERSION = 1  # of the images; a cache with another version is ignored
_SPLITS = ("train", "test")
SIZE, BOX = 28, 20  # pixels: the side of the frame, and of the box that a digit is fitted into
_MAX_CACHED_BYTES = 1 << 27
_MARKS = 80  # points per digit at which the pen's ink is computed
_IMAGES_AT_ONCE = 256  # keeps the distances from pixels to marks close to the cache

_LOCK_WAIT_S = 60.0  # for another process that draws the same images

OnDraw = Callable[[int, int], None]  # the images drawn so far, and all
OnUnsaved = Callable[[NetletError], None]  # why the images cannot be cached


def draw_digits(
    images: int, seed: int, on_progress: OnDraw = lambda done, total: None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw digits with their labels; class counts differ by at most one.

    Args:
        images: Number of images.
        seed: The same seed gives the same images.
        on_progress: A function that is called with the number of images drawn so far and in total.

    Returns:
        uint8 ``N 1 28 28`` and int64 ``N``, in random order.
    """
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % len(STYLES)
    labels = labels[torch.randperm(images, generator=random)]
    drawn = torch.empty(images, SIZE, SIZE, dtype=torch.uint8)
    done = 0
    for digit, styles in STYLES.items():
        of_digit = (labels == digit).nonzero()[:, 0]
        shares = torch.tensor([style.share for style in styles], dtype=torch.float64)
        chosen = torch.multinomial(
            shares, max(1, len(of_digit)), replacement=True, generator=random
        )[: len(of_digit)]
        for i, style in enumerate(styles):
            for part in of_digit[chosen == i].split(_IMAGES_AT_ONCE):
                drawn[part] = draw_style(style, len(part), random)
                done += len(part)
                on_progress(done, images)
    return drawn.unsqueeze(1), labels


def draw_style(style: Style, images: int, random: torch.Generator) -> torch.Tensor:
    """Draw one style in different handwritings.

    Returns:
        uint8 ``images 28 28``.
    """
    return _render(_draw_tracks(style, images, random), random)


def _draw_tracks(style: Style, n: int, random: torch.Generator) -> torch.Tensor:
    """Return the pen tracks of ``n`` digits in one style, each in a different handwriting.

    Returns:
        ``n marks 2``, x and y within about the unit square around 0.
    """
    controls, basis = _build_curves(style.strokes)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=random) - 1

    jittered = (
        controls
        + 0.035 * normal(n, 1, 1).abs() * normal(n, *controls.shape)
        + 0.012 * normal(n, *controls.shape)
    )
    marks = basis @ jittered - 0.5
    # Two slow waves across the square bend the digit a little, as an unsteady hand does.
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


def _render(marks: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Draw pen tracks ``n marks 2`` as MNIST-style images, uint8 ``n 28 28``."""
    n = len(marks)
    width = (2.7 * torch.exp(0.34 * torch.randn(n, 1, generator=random))).clamp(1.2, 6.0)  # px
    # Fit the bounding box of the ink, including the pen's width, to 20 px.
    low, high = marks.amin(1), marks.amax(1)
    extent = (high - low).amax(1, keepdim=True).clamp(min=1e-3)
    marks = (marks - (low + high).unsqueeze(1) / 2) * ((BOX - width) / extent).unsqueeze(2)
    # The pressure of the pen varies along the track.
    along = torch.linspace(0, 1, marks.shape[1])
    phase = torch.rand(n, 1, generator=random)
    speed = 0.5 + 1.5 * torch.rand(n, 1, generator=random)
    press = 0.25 * torch.rand(n, 1, generator=random)
    radius = width / 2 * (1 + press * torch.sin(2 * math.pi * (speed * along + phase)))
    edge = 0.6 + 0.7 * torch.rand(n, 1, generator=random)
    return _center_mass(_ink_tracks(marks, radius, width / 2, edge))


def _ink_tracks(
    marks: torch.Tensor, radius: torch.Tensor, mean_radius: torch.Tensor, edge: torch.Tensor
) -> torch.Tensor:
    """Return gray levels 0..1 of a frame with the tracks in its center, ``n 28 28``.

    Ink falls from one to zero over ``edge`` px around the rim of the nearest mark. In units of a
    mark's radius, the squared distance is the dot product of four numbers of the pixel and four of
    the mark, so one matrix product computes all distances.
    """
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pixels = (
        torch.stack([x * x + y * y, x, y, torch.ones_like(x)], dim=-1)
        .view(1, -1, 4)
        .expand(len(marks), -1, -1)
    )
    weight = radius.square().reciprocal()
    coefficients = [
        weight,
        -2 * weight * marks[..., 0],
        -2 * weight * marks[..., 1],
        weight * marks.square().sum(2),
    ]
    nearest = torch.bmm(pixels, torch.stack(coefficients, dim=1)).amin(2)
    outside = (nearest.clamp(min=0).sqrt() - 1) * mean_radius
    return (0.5 - outside / edge).clamp(0, 1).view(-1, SIZE, SIZE)


def _center_mass(ink: torch.Tensor) -> torch.Tensor:
    """Move the center of mass to pixel (14, 14) by whole pixels, as in MNIST.

    Returns:
        uint8 ``n 28 28``.
    """
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


def _build_curves(strokes: tuple[Stroke, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a style's curves as control points and a matrix that interpolates them.

    The curves are Catmull-Rom splines, which pass through their control points and are linear in
    them.

    Returns:
        The distinct control points ``M 2``, and the matrix ``marks M`` that maps them to points
        along the curves.
    """
    points, rows = _interpolate(strokes)
    return torch.tensor(points), torch.tensor(rows)


@functools.cache  # each style is drawn at least twice, once for each split
def _interpolate(strokes: tuple[Stroke, ...]) -> tuple[list[Point], list[list[float]]]:
    """Return the control points and the matrix of :func:`_build_curves`."""
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
                # Beyond an end, the control points are mirrored: p[-1] = 2 p[0] - p[1].
                inside = min(max(j, 0), len(stroke) - 1)
                if inside == j:
                    row[points.index(stroke[j])] += value
                else:
                    row[points.index(stroke[inside])] += 2 * value
                    row[points.index(stroke[2 * inside - j])] -= value
            rows.append(row)
    return points, rows


def make_scribble(
    train: int = 60_000,
    test: int = 10_000,
    seed: int = 0,
    on_progress: OnDraw = lambda done, total: None,
) -> Dataset:
    """Generate the data set.

    Args:
        train: Number of training images.
        test: Number of test images.
        seed: The seed; each gives two independent random streams, one for each split.
        on_progress: A function that is called with the number of images drawn so far and in total.

    Raises:
        DataError: There are fewer images than classes.
    """
    if min(train, test) < len(STYLES):
        raise DataError(
            f"{min(train, test)} images are too few for {len(STYLES)} classes; "
            f"ask for at least {len(STYLES)}"
        )
    total = train + test
    return _build_dataset(
        Split("train", *draw_digits(train, 2 * seed, lambda n, _: on_progress(n, total))),
        Split("test", *draw_digits(test, 2 * seed + 1, lambda n, _: on_progress(train + n, total))),
    )


def _warn_unsaved(error: NetletError) -> None:
    warn(f"scribble cannot be cached and is generated again each time: {error}")


def load_scribble(
    folder: Path,
    on_progress: OnDraw = lambda done, total: None,
    on_unsaved: OnUnsaved = _warn_unsaved,
    *,
    read_test: bool = True,
) -> Dataset:
    """Load the default data set from a cache folder, or generate it and save it there.

    A damaged file is replaced. If the folder cannot be written to, the data set is generated each
    time. Of several processes, one generates it and the others wait.

    Args:
        folder: The cache folder.
        on_progress: A function that is called with the number of images drawn so far and in total.
        on_unsaved: A function called with the reason if the data set cannot be saved, if possible
            before is generated; by default, a warning is issued.
        read_test: Whether to read the test images; without them, ``held_out`` is empty.
    """
    path = folder / f"scribble-{VERSION}.safetensors"
    if cached := _read_cached(path, read_test=read_test):
        return cached
    with contextlib.ExitStack() as stack:
        locked = True
        try:
            stack.enter_context(lock_file(path, "netlet data make", _LOCK_WAIT_S))
        except (LockedError, OutputError) as error:
            locked = False
            on_unsaved(error)
        # Another process may have drawn it in the meantime.
        if cached := _read_cached(path, read_test=read_test):
            return cached
        dataset = make_scribble(on_progress=on_progress)
        if locked:
            _save(dataset, path, on_unsaved)
    return dataset if read_test else _without_test(dataset.train)


def _read_cached(path: Path, *, read_test: bool = True) -> Dataset | None:
    """Return the data set in a file, or None if it is missing or damaged."""
    with contextlib.suppress(OSError, SafetensorError, KeyError, DataError):
        if not read_test:
            return _read_cached_training(path)
        tensors = load_safetensors(read_regular(path, _MAX_CACHED_BYTES, DataError))
        cached = _build_dataset(
            *(Split(name, tensors[f"{name}_images"], tensors[f"{name}_labels"]) for name in _SPLITS)
        )
        with safe_open(path, framework="pt") as file:
            if cached.checksums == file.metadata():
                return cached
    return None


def _read_cached_training(path: Path) -> Dataset | None:
    with safe_open(path, framework="pt") as file:
        train = Split("train", file.get_tensor("train_images"), file.get_tensor("train_labels"))
        cached = _without_test(train)
        return cached if cached.checksums["train"] == file.metadata()["train"] else None


def _save(dataset: Dataset, path: Path, on_unsaved: OnUnsaved) -> None:
    tensors = {
        f"{split.name}_{what}": values
        for split in (dataset.train, dataset.held_out)
        for what, values in (("images", split.images), ("labels", split.labels))
    }
    try:
        write_atomic(path, save_safetensors(tensors, dict(dataset.checksums)))
    except OSError as error:
        on_unsaved(
            OutputError(
                f"{path}: cannot be written ({error.strerror}); check its permissions and the disk"
            )
        )


def _without_test(train: Split) -> Dataset:
    classes = tuple(map(str, STYLES))
    nothing = train.take(torch.arange(0), "test")
    return Dataset("scribble", train, nothing, classes, {"train": train.sha256()})


def _build_dataset(train: Split, test: Split) -> Dataset:
    checksums = {split.name: split.sha256() for split in (train, test)}
    return Dataset("scribble", train, test, tuple(map(str, STYLES)), checksums)
