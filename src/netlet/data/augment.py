"""Random augmentation of whole batches on their device; each image has its own parameters."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from netlet.recipes import Warp


@dataclass(frozen=True)
class WarpParameters:
    """The random parameters of one warp for ``N`` images.

    Attributes:
        maps: Affine maps ``N 2 3``, as returned by :func:`draw_inverse_maps`.
        points: Displacements ``N 2 P P`` of the elastic grid's points in x and y, in pixels;
            ``N 2 0 0`` if the warp has no elastic part.
    """

    maps: torch.Tensor
    points: torch.Tensor

    def select(self, part: slice) -> WarpParameters:
        """Return the parameters of some of the images."""
        return WarpParameters(self.maps[part], self.points[part])


def augment_images(
    images: torch.Tensor, ops: Sequence[Warp], generator: torch.Generator
) -> torch.Tensor:
    """Warp each image at random, one op after the other.

    Args:
        images: The images, float32 ``N C H W``, gray levels 0 to 255.
        ops: The warps to apply; the draws of one are independent of those of the next.
        generator: A generator on the CPU, so that a seed gives the same images on every device.

    Returns:
        float32 ``N C H W``.
    """
    ops = drop_identity_ops(ops)
    if not ops:
        return images
    return warp_images(images, ops, draw_augmentation(ops, len(images), generator))


def drop_identity_ops(ops: Sequence[Warp]) -> list[Warp]:
    """Return the ops without those that change nothing."""
    return [op for op in ops if not op.is_identity]


def draw_augmentation(
    ops: Sequence[Warp],
    n: int,
    generator: torch.Generator,
    strengths: torch.Tensor | None = None,
) -> list[WarpParameters]:
    """Draw the parameters of each op for ``n`` images.

    Args:
        ops: The warps.
        n: The number of images.
        generator: A generator on the CPU. The strengths do not change what it draws.
        strengths: For each image, the share of the full strengths of all ops, float64 ``N``; None:
            full strength.
    """
    return [
        WarpParameters(
            draw_inverse_maps(op, n, generator, strengths),
            _draw_grid_points(op, n, generator, strengths),
        )
        for op in ops
    ]


def warp_images(
    images: torch.Tensor, ops: Sequence[Warp], parameters: Sequence[WarpParameters]
) -> torch.Tensor:
    """Apply ops one after the other, with parameters that have been drawn already.

    Args:
        images: The images, float32 ``N C H W``.
        ops: The warps to apply.
        parameters: The parameters of each op, in the same order.

    Returns:
        float32 ``N C H W``.
    """
    for op, drawn in zip(ops, parameters, strict=True):
        images = apply_warp(
            images, drawn.maps.to(images.device), op, drawn.points.to(images.device)
        )
    return images


def _draw_grid_points(
    op: Warp, n: int, generator: torch.Generator, strengths: torch.Tensor | None
) -> torch.Tensor:
    if not op.elastic_px:
        return torch.empty(n, 2, 0, 0)
    points = op.elastic_px * torch.randn(
        n, 2, op.elastic_points, op.elastic_points, generator=generator
    )
    return points if strengths is None else points * strengths.to(points).view(n, 1, 1, 1)


def draw_inverse_maps(
    op: Warp, n: int, generator: torch.Generator, strengths: torch.Tensor | None = None
) -> torch.Tensor:
    """Draw for each image the affine map from output to input pixels, relative to the center.

    The forward map shears, scales and rotates (counter-clockwise) about the center, then shifts,
    like torchvision's ``RandomAffine``.

    Args:
        op: The warp.
        n: The number of images.
        generator: A generator on the CPU.
        strengths: For each image, the share of the op's strengths, float64 ``N``; None: all of it.

    Returns:
        ``N 2 3``, float64: x and y of the input as linear functions of x, y and 1 of the output, in
        pixels, with y pointing down.
    """
    turn, scale, shear, right, down = (
        2 * torch.rand(5, n, generator=generator, dtype=torch.float64) - 1
    ).unbind()
    share = 1.0 if strengths is None else strengths
    turn = torch.deg2rad(turn * (op.rotate_deg * share))
    shear = torch.tan(torch.deg2rad(shear * (op.shear_deg * share)))
    scale = 1 + scale * (op.scale * share)
    cos, sin = torch.cos(turn), torch.sin(turn)
    # forward = rotate · scale · shear, with rotate = [[cos, sin], [-sin, cos]] since y points down;
    # its determinant is that of the scale.
    inverse = torch.stack([cos - sin * shear, -cos * shear - sin, sin, cos], dim=1).view(
        n, 2, 2
    ) / scale.view(n, 1, 1)
    reach = op.shift_px * share
    shift = torch.stack([right * reach, down * reach], dim=1).unsqueeze(1)
    return torch.cat([inverse, -(inverse * shift).sum(2, keepdim=True)], dim=2)


@functools.cache
def cubic_weights(points: int, size: int) -> torch.Tensor:
    """Return weights that interpolate ``size`` pixels from points spread evenly from edge to edge.

    Cubic convolution, the same as bicubic ``torch.nn.functional.interpolate`` in one dimension.

    Returns:
        float32 ``size points``.
    """
    line = torch.eye(points)[:, None, None, :]
    spread = F.interpolate(line.expand(-1, 1, 2, -1), (2, size), mode="bicubic", align_corners=True)
    return spread[:, 0, 0].T.contiguous()


def apply_warp(
    images: torch.Tensor, maps: torch.Tensor, op: Warp, points: torch.Tensor | None = None
) -> torch.Tensor:
    """Sample each image through its map; pixels from outside the image become ``op.fill``.

    Args:
        images: The images, float32 ``N C H W``.
        maps: Affine maps ``N 2 3``, as returned by :func:`draw_inverse_maps`.
        op: The op, which has the fill level and the interpolation.
        points: Displacements ``N 2 P P`` of the elastic grid in pixels, or None for an affine map
            only.

    Returns:
        float32 ``N C H W``.
    """
    h, w = images.shape[2:]
    x, y = _centered_positions(w, maps), _centered_positions(h, maps)
    # grid_sample measures in half-extents from the center.
    maps = maps / maps.new_tensor([w / 2, h / 2])[:, None]
    # Each coordinate is a term of the column plus a term of the row. One sum replaces the slow
    # matrix products of affine_grid; plane by plane, it runs along whole rows.
    columns = maps[:, :, 0, None] * x
    rows = maps[:, :, 1, None] * y + maps[:, :, 2, None]
    if op.interpolation == "nearest":
        # Exact halves would round to even; a nudge makes nearest-neighbor round as image libraries
        # do.
        rows = rows + 1e-7
    planes = columns.to(images)[:, :, None, :] + rows.to(images)[:, :, :, None]
    if points is not None and points.numel():
        down, across = (cubic_weights(points.shape[-1], side).to(images) for side in (h, w))
        planes = (
            planes
            + (down @ points.to(images) @ across.T)
            / images.new_tensor([w / 2, h / 2])[:, None, None]
        )
    grid = planes.permute(0, 2, 3, 1)
    source = images - op.fill if op.fill else images
    warped = F.grid_sample(
        source, grid, mode=op.interpolation, padding_mode="zeros", align_corners=False
    )
    return warped + op.fill if op.fill else warped


def _centered_positions(n: int, like: torch.Tensor) -> torch.Tensor:
    """Return the positions of ``n`` pixels relative to their center."""
    return torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2
