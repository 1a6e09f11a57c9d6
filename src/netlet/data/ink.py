"""Finding what is drawn on a picture: paper of any level, unevenly lit, grainy; a pen lighter or darker than it."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from netlet.data.scribble import BOX
from netlet.errors import DataError

_Levels = NDArray[np.float64]
_Mask = NDArray[np.bool_]

_PAPER_PX = 64  # light on paper changes slowly: so many pixels along the longer side show it
# share of the variance between two levels; evenly spread levels, as of slanting light, have 0.75
_TWO_LEVELS = 0.85
_FITS = 12  # rounds until the paper's surface lies still
_PEN_WEIGHT = 0.01  # of pixels beyond the paper, against 1 for its own
_FAINTEST = 10.0  # gray levels; what differs less from the paper is not seen
_GRAINS = 5.0  # standard deviations of the paper's grain; what differs less is grain
_EDGE_GRAINS = 3.0  # the same at the edge of what is seen
_FLOOR = 0.1  # of the pen's level; below it a pixel is paper
_EDGE = 0.05  # of the digit's longer side; so far from the stroke its soft edge goes
_SPECK = 0.02  # of the largest piece's area; a smaller piece is dirt
_SMALLEST_PX, _SMALLEST = (
    6,
    0.015,
)  # a digit's longer side, at least; the same as a share of the picture's
# Chosen on MNIST's train images and pairs of them (docs/pictures.md says what they give).
_BROAD, _SOLID = 0.5, 0.8  # shorter by longer side; of its box that a digit so broad fills at most
_TWO_HEIGHT, _TWO_AREA, _TWO_BESIDE, _TWO_LEVEL = 0.5, 0.2, 0.25, 0.5
_THINNEST_PX = 2.0  # of a pen, where the digit's longer side is 20 px; few of MNIST's are thinner
_EIGHT_NEIGHBOURS = np.ones((3, 3))


def extract_ink(gray: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The ink on a picture; its soft edges kept, paper, grain and specks gone, a very thin pen made broader.

    The paper is taken for one level where two levels explain the picture (Otsu 1979), otherwise for
    the second-degree surface on its lightest pixels, or its darkest, found by asymmetric least
    squares (Eilers 2003), and what deviates smoothly from it. The pen is darker or lighter,
    whichever covers less of the picture and its rim.

    Args:
        gray: ``H W``, levels 0..255.

    Returns:
        uint8 ``h w``, cut to the ink, 0 paper to 255 ink.

    Raises:
        DataError: Nothing is drawn there, an area instead of strokes, or two digits side by side.
    """
    levels = gray.astype(np.float64)
    drawn = _drawn(levels) if np.ptp(levels) > _FAINTEST else np.zeros_like(levels)
    # The ink is all on the other side of the paper's level.
    grain = 1.4826 * float(np.median(-drawn[drawn <= 0]))
    seen = drawn[drawn > max(_FAINTEST, _GRAINS * grain)]
    if not len(seen):
        raise DataError(
            "blank, nothing is drawn on it; draw one digit, or take a sharper picture of it"
        )
    # Otsu alone would divide what is seen of a pen that has but one level.
    threshold = max(min(_otsu(seen), float(np.percentile(seen, 98)) / 2), _EDGE_GRAINS * grain)
    core, largest = _without_specks(drawn > threshold)
    if max(largest.shape) < max(_SMALLEST_PX, _SMALLEST * max(core.shape)):
        raise DataError(
            "blank, nothing larger than a speck is drawn on it; draw one digit, or cut the picture to it"
        )
    if _two_digits(core):
        raise DataError("two digits side by side, or more; cut the picture to one digit")
    longer, shorter = sorted(core[_box(core)].shape, reverse=True)
    if shorter > _BROAD * longer and core[_box(core)].mean() > _SOLID:
        raise DataError(
            "an area and no strokes (a shadow, or what the paper lies on?); cut the picture to the digit"
        )
    full = float(np.percentile(drawn[core], 75))
    # Farther away lie ruled lines, shadows and what shines through.
    near = ndimage.binary_dilation(core, iterations=max(2, round(_EDGE * longer)))
    edge = near & (drawn > max(_FLOOR * full, _EDGE_GRAINS * grain))
    levels = np.where(edge, (255 * drawn / full).clip(0, 255), 0)
    box = _box(levels > 0)
    levels, core = levels[box], core[box]
    return _broadened(levels, core, longer).round().astype(np.uint8)


def _drawn(gray: _Levels) -> _Levels:
    """How far each pixel is from the paper, towards the pen; about 0 on paper."""
    h, w = gray.shape
    scale = min(1, _PAPER_PX / max(h, w))
    small_px = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = np.asarray(
        Image.fromarray(gray.astype(np.float32)).resize(small_px, Image.Resampling.BOX), np.float64
    )
    threshold = _otsu(small)
    upper = small > threshold
    between = upper.mean() * (1 - upper.mean()) * (small[upper].mean() - small[~upper].mean()) ** 2
    if between > _TWO_LEVELS * small.var():
        light, dark = (np.full_like(small, np.median(small[side])) for side in (upper, ~upper))
    else:
        light, dark = _surface(small), -_surface(-small)
    if _coverage(light - small) <= _coverage(small - dark):
        paper = light
    else:
        small, gray, paper = -small, -gray, -dark
    below = paper - small
    of_paper = (below < below.max() / 4).astype(np.float64)
    sigma_px = max(small.shape) / 8
    # The small number draws the mean to 0 where no paper is near.
    paper = paper - ndimage.gaussian_filter(of_paper * below, sigma_px) / (
        ndimage.gaussian_filter(of_paper, sigma_px) + 0.05
    )
    smooth = Image.fromarray(paper.astype(np.float32)).resize((w, h), Image.Resampling.BILINEAR)
    drawn: _Levels = np.asarray(smooth, np.float64) - gray
    return drawn


def _surface(levels: _Levels) -> _Levels:
    """The second-degree surface that lies on the lightest of levels ``H W``."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in levels.shape), indexing="ij")
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    flat = levels.ravel()
    weight = np.ones_like(flat)
    for _ in range(_FITS):
        weighted = basis * weight[:, None]
        # The small diagonal is for pictures of a single row or column.
        surface = basis @ np.linalg.solve(weighted.T @ basis + 1e-6 * np.eye(6), weighted.T @ flat)
        weight = np.where(flat > surface, 1.0, _PEN_WEIGHT)
    shaped: _Levels = surface.reshape(levels.shape)
    return shaped


def _coverage(drawn: _Levels) -> float:
    """How much of a picture, and of its rim, would be ink."""
    ink = drawn > drawn.max() / 2
    return float(ink.mean() + np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).mean())


def _otsu(levels: _Levels) -> float:
    """The threshold that parts levels with the greatest variance between both sides."""
    counts, edges = np.histogram(levels, 128)
    middles = (edges[:-1] + edges[1:]) / 2
    below, moment = counts.cumsum()[:-1].clip(min=1), (counts * middles).cumsum()
    above = (counts.sum() - below).clip(min=1)
    parted = below * above * (moment[:-1] / below - (moment[-1] - moment[:-1]) / above) ** 2
    return float(edges[1:][parted.argmax()])


def _without_specks(core: _Mask) -> tuple[_Mask, _Mask]:
    """The pieces that are no dirt, and the box of the largest."""
    pieces, number = ndimage.label(core, _EIGHT_NEIGHBOURS)
    areas = np.bincount(pieces.ravel(), minlength=number + 1)
    areas[0] = 0
    largest = core[ndimage.find_objects(pieces)[int(areas.argmax()) - 1]]
    return _of_labels(pieces, (areas >= _SPECK * areas.max()).nonzero()[0]), largest


def _of_labels(labels: NDArray[np.integer], wanted: NDArray[np.generic]) -> _Mask:
    """Where labels are among the wanted ones; 0 is none."""
    mask = np.zeros(int(labels.max()) + 1, dtype=bool)
    mask[wanted] = True
    mask[0] = False
    kept: _Mask = mask[labels]
    return kept


def _box(mask: _Mask) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _two_digits(core: _Mask) -> bool:
    """Whether two large pieces stand beside each other; those of one digit lie above each other, or one is small."""
    pieces, _ = ndimage.label(core, _EIGHT_NEIGHBOURS)
    areas = np.bincount(pieces.ravel())[1:]
    height = len(core[_box(core)])
    tall = [
        (rows, columns, int(area))
        for (rows, columns), area in zip(ndimage.find_objects(pieces), areas, strict=True)
        if rows.stop - rows.start >= _TWO_HEIGHT * height
    ]
    return any(
        min(a[2], b[2]) >= _TWO_AREA * max(a[2], b[2])
        and _shared(a[1], b[1]) <= _TWO_BESIDE
        and _shared(a[0], b[0]) >= _TWO_LEVEL
        for a, b in itertools.combinations(tall, 2)
    )


def _shared(a: slice, b: slice) -> float:
    """How much two ranges overlap, as a share of the shorter; below 0 for a gap."""
    overlap: int = min(a.stop, b.stop) - max(a.start, b.start)
    return overlap / int(min(a.stop - a.start, b.stop - b.start))


def _broadened(levels: _Levels, core: _Mask, longer: int) -> _Levels:
    """A pen that would be too thin when the digit is scaled down, made as broad as MNIST's thin ones."""
    # Across a stroke the distance to its rim is a quarter of its width in the mean.
    width_px = 4 * float(ndimage.distance_transform_edt(core)[core].mean() - 0.5)
    grow_px = (_THINNEST_PX * longer / BOX - width_px) / 2
    if grow_px <= 0:
        return levels
    rim = int(grow_px) + 2
    levels, core = np.pad(levels, rim), np.pad(core, rim)
    beyond_px = ndimage.distance_transform_edt(~core)
    broad: _Levels = np.maximum(levels, 255 * (grow_px + 1 - beyond_px).clip(0, 1))
    return broad
