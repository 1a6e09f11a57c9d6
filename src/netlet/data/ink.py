"""Find the pen strokes in a picture, whatever the paper's brightness, lighting and grain.

The pen may be darker or lighter than the paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netlet.data.pieces import group_pieces
from netlet.data.scribble import BOX
from netlet.errors import DataError

_Levels = NDArray[np.float64]
_Mask = NDArray[np.bool_]

# Lighting varies slowly, so the paper is estimated on a copy with this longer side.
_PAPER_PX = 64
# Minimum share of the variance that lies between two levels. Evenly spread levels, as from oblique
# light, have 0.75.
_TWO_LEVELS_SHARE = 0.85
_FIT_ITERATIONS = 12  # enough for the paper's surface to converge
_PEN_WEIGHT = 0.01  # of pixels on the pen's side of the surface; those of the paper have 1
_MIN_CONTRAST = 10.0  # gray levels between pen and paper
_MIN_GRAIN_SDS = 5.0  # minimum difference from the paper, in standard deviations of its grain
_EDGE_GRAIN_SDS = 3.0  # the same at the soft edge of a stroke
_EDGE_LEVEL = 0.1  # share of the pen's level below which a pixel is paper
_EDGE_WIDTH = 0.05  # maximum width of a stroke's soft edge, as a share of the digit's longer side
_SPECK_AREA = 0.02  # pieces smaller than this share of the largest one are dirt
# Minimum of a digit's longer side, in pixels and as a share of the picture's longer side.
_MIN_DIGIT_PX, _MIN_DIGIT_SHARE = 6, 0.015
# Chosen on MNIST's train images: a digit whose sides have at least the ratio _BROAD fills at most
# _SOLID of its box.
_BROAD, _SOLID = 0.5, 0.8
_MAX_DIGITS = 32  # in a picture; each takes memory for a copy of it
_MIN_PEN_PX = 2.0  # pen width when the digit's longer side is 20 px; few MNIST digits are thinner
_EIGHT_NEIGHBORS = np.ones((3, 3))


def extract_digits(gray: NDArray[np.generic]) -> list[NDArray[np.uint8]]:
    """Return the ink of each digit in a picture, without paper, grain and specks.

    The soft edges of strokes are kept, and a very thin pen is made broader.

    If two levels explain the picture (Otsu 1979), the paper is one of them. Otherwise it is the
    second-degree surface through the lightest or darkest pixels, found by asymmetric least squares
    (Eilers 2003), plus smooth deviations from it. The pen is darker or lighter than the paper,
    whichever covers less of the picture and its border.

    Args:
        gray: Gray levels 0..255, ``H W``.

    Returns:
        For each digit, from left to right, uint8 ``h w``, cropped to its ink, 0 paper to 255 ink.

    Raises:
        DataError: Nothing is drawn there, a solid area, or more than 32 digits.
    """
    from scipy import ndimage  # slow to import

    levels = gray.astype(np.float64)
    is_blank = np.ptp(levels) <= _MIN_CONTRAST
    contrast = np.zeros_like(levels) if is_blank else _subtract_paper(levels)
    # Ink is only above 0, so values at or below 0 show the grain alone.
    grain = 1.4826 * float(np.median(-contrast[contrast <= 0]))
    core = _find_strokes(contrast, grain)
    digits = group_pieces(core)
    numbers = range(1, int(digits.max()) + 1)
    if len(numbers) > _MAX_DIGITS:
        raise DataError(
            f"{len(numbers)} digits side by side; crop the picture to at most {_MAX_DIGITS} digits"
        )
    longer = max(_check_strokes(digits == number) for number in numbers)
    full = float(np.percentile(contrast[core], 75))
    # Ruled lines, shadows and writing that shines through lie farther away than the soft edge.
    near = ndimage.binary_dilation(core, iterations=max(2, round(_EDGE_WIDTH * longer)))
    edge = core | near & (contrast > max(_EDGE_LEVEL * full, _EDGE_GRAIN_SDS * grain))
    levels = np.where(edge, (255 * contrast / full).clip(0, 255), 0)
    nearest = _nearest_digit(digits)
    return [_cut_out(np.where(nearest == n, levels, 0), digits == n) for n in numbers]


def _check_strokes(core: _Mask) -> int:
    """Return the longer side of a digit.

    Raises:
        DataError: It is a solid area.
    """
    box = core[_bounding_box(core)]
    longer, shorter = max(box.shape), min(box.shape)
    if shorter > _BROAD * longer and box.mean() > _SOLID:
        raise DataError(
            "a solid area instead of strokes (a shadow, or the table under the paper?); "
            "crop the picture to the digit"
        )
    return int(longer)


def _nearest_digit(digits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each pixel the number of the digit whose strokes are nearest."""
    from scipy import ndimage  # slow to import

    if digits.max() == 1:
        return np.ones_like(digits)
    rows, columns = ndimage.distance_transform_edt(
        digits == 0, return_distances=False, return_indices=True
    )
    nearest: NDArray[np.int64] = digits[rows, columns]
    return nearest


def _cut_out(levels: _Levels, core: _Mask) -> NDArray[np.uint8]:
    """Crop the ink of one digit, with a pen that is not too thin."""
    box = _bounding_box(levels > 0)
    longer = max(core[_bounding_box(core)].shape)
    return _broaden_thin_pen(levels[box], core[box], longer).round().astype(np.uint8)


def _find_strokes(contrast: _Levels, grain: float) -> _Mask:
    """Return where the contrast with the paper is that of a pen.

    Raises:
        DataError: Nothing is drawn there.
    """
    visible = contrast[contrast > max(_MIN_CONTRAST, _MIN_GRAIN_SDS * grain)]
    if not len(visible):
        raise DataError(
            "blank, nothing is drawn on it; draw one digit, or take a sharper picture of it"
        )
    # Otsu's threshold alone would divide the ink of a pen that has only one level.
    threshold = max(
        min(_otsu_threshold(visible), float(np.percentile(visible, 98)) / 2),
        _EDGE_GRAIN_SDS * grain,
    )
    core, largest = _remove_specks(contrast > threshold)
    if max(largest.shape) < max(_MIN_DIGIT_PX, _MIN_DIGIT_SHARE * max(core.shape)):
        raise DataError(
            "blank, nothing larger than a speck is drawn on it; "
            "draw one digit, or crop the picture to it"
        )
    return core


def _subtract_paper(gray: _Levels) -> _Levels:
    """Return each pixel's difference from the paper, positive towards the pen, about 0 on paper."""
    from scipy import ndimage  # slow to import

    h, w = gray.shape
    scale = min(1, _PAPER_PX / max(h, w))
    small_px = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = np.asarray(
        Image.fromarray(gray.astype(np.float32)).resize(small_px, Image.Resampling.BOX), np.float64
    )
    upper = small > _otsu_threshold(small)
    between = upper.mean() * (1 - upper.mean()) * (small[upper].mean() - small[~upper].mean()) ** 2
    if between > _TWO_LEVELS_SHARE * small.var():
        light, dark = (np.full_like(small, np.median(small[side])) for side in (upper, ~upper))
    else:
        light, dark = _fit_surface(small), -_fit_surface(-small)
    if _coverage(light - small) <= _coverage(small - dark):
        paper = light
    else:
        small, gray, paper = -small, -gray, -dark
    below = paper - small
    is_paper = (below < below.max() / 4).astype(np.float64)
    sigma_px = max(small.shape) / 8
    # The small constant pulls the mean to 0 where no paper is near.
    paper = paper - ndimage.gaussian_filter(is_paper * below, sigma_px) / (
        ndimage.gaussian_filter(is_paper, sigma_px) + 0.05
    )
    smooth = Image.fromarray(paper.astype(np.float32)).resize((w, h), Image.Resampling.BILINEAR)
    contrast: _Levels = np.asarray(smooth, np.float64) - gray
    return contrast


def _fit_surface(levels: _Levels) -> _Levels:
    """Fit a second-degree surface to the lightest pixels of levels ``H W``."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in levels.shape), indexing="ij")
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    flat = levels.ravel()
    weight = np.ones_like(flat)
    for _ in range(_FIT_ITERATIONS):
        weighted = basis * weight[:, None]
        # The small diagonal keeps the system solvable for pictures of a single row or column.
        surface = basis @ np.linalg.solve(weighted.T @ basis + 1e-6 * np.eye(6), weighted.T @ flat)
        weight = np.where(flat > surface, 1.0, _PEN_WEIGHT)
    shaped: _Levels = surface.reshape(levels.shape)
    return shaped


def _coverage(contrast: _Levels) -> float:
    """Return the share of a picture that would be ink, plus that of its border."""
    ink = contrast > contrast.max() / 2
    return float(ink.mean() + np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).mean())


def _otsu_threshold(levels: _Levels) -> float:
    """Return the threshold with the greatest variance between the levels above and below it."""
    counts, edges = np.histogram(levels, 128)
    middles = (edges[:-1] + edges[1:]) / 2
    below, moment = counts.cumsum()[:-1].clip(min=1), (counts * middles).cumsum()
    above = (counts.sum() - below).clip(min=1)
    variance = below * above * (moment[:-1] / below - (moment[-1] - moment[:-1]) / above) ** 2
    return float(edges[1:][variance.argmax()])


def _remove_specks(core: _Mask) -> tuple[_Mask, _Mask]:
    """Return a mask without tiny pieces, and the same mask cropped to the largest piece."""
    from scipy import ndimage  # slow to import

    pieces, number = ndimage.label(core, _EIGHT_NEIGHBORS)
    areas = np.bincount(pieces.ravel(), minlength=number + 1)
    areas[0] = 0
    largest = core[ndimage.find_objects(pieces)[int(areas.argmax()) - 1]]
    is_kept = areas >= _SPECK_AREA * areas.max()
    is_kept[0] = False  # the background
    kept: _Mask = is_kept[pieces]
    return kept, largest


def _bounding_box(mask: _Mask) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _broaden_thin_pen(levels: _Levels, core: _Mask, longer: int) -> _Levels:
    """Broaden strokes that would be thinner than MNIST's once the digit is scaled down."""
    from scipy import ndimage  # slow to import

    # On average, a pixel of a stroke is a quarter of the stroke's width away from its edge.
    width_px = 4 * float(ndimage.distance_transform_edt(core)[core].mean() - 0.5)
    grow_px = (_MIN_PEN_PX * longer / BOX - width_px) / 2
    if grow_px <= 0:
        return levels
    margin = int(grow_px) + 2
    levels, core = np.pad(levels, margin), np.pad(core, margin)
    beyond_px = ndimage.distance_transform_edt(~core)
    broad: _Levels = np.maximum(levels, 255 * (grow_px + 1 - beyond_px).clip(0, 1))
    return broad
