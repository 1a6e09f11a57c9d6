"""Random maps of a whole batch of images at once, on its device, each image with its own draw."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from netlet.recipes import Warp


@dataclass(frozen=True)
class WarpParameters:
    """What one op drew for some images."""

    maps: torch.Tensor  # n 2 3, as of inverse_maps
    points: (
        torch.Tensor
    )  # n 2 p p: by how many pixels x and y of the grid's points move; n 2 0 0 if nothing bends

    def select(self, part: slice) -> WarpParameters:
        """Those of some of the images."""
        return WarpParameters(self.maps[part], self.points[part])


def augment_images(
    images: torch.Tensor, ops: Sequence[Warp], generator: torch.Generator
) -> torch.Tensor:
    """Move each image at random, one op after the other.

    Args:
        images: float32 ``N C H W``, gray levels 0 to 255.
        ops: What to draw from; the draws of one op are independent of those of the next.
        generator: On the CPU, so that a seed means the same images on every device.

    Returns:
        float32 ``N C H W``.
    """
    ops = drop_identity_ops(ops)
    return warp_images(images, ops, draw_augmentation(ops, len(images), generator)) if ops else images


def drop_identity_ops(ops: Sequence[Warp]) -> list[Warp]:
    """Those ops that move anything."""
    return [op for op in ops if not op.still]


def draw_augmentation(ops: Sequence[Warp], n: int, generator: torch.Generator) -> list[WarpParameters]:
    """What each op draws for ``n`` images."""
    return [WarpParameters(draw_inverse_maps(op, n, generator), _points(op, n, generator)) for op in ops]


def warp_images(images: torch.Tensor, ops: Sequence[Warp], draws: Sequence[WarpParameters]) -> torch.Tensor:
    """Images ``N C H W``, float32, through the maps of one op after the other; the same shape."""
    for op, of_op in zip(ops, draws, strict=True):
        images = apply_warp(images, of_op.maps.to(images.device), op, of_op.points.to(images.device))
    return images


def _points(op: Warp, n: int, generator: torch.Generator) -> torch.Tensor:
    if not op.elastic_px:
        return torch.empty(n, 2, 0, 0)
    return op.elastic_px * torch.randn(
        n, 2, op.elastic_points, op.elastic_points, generator=generator
    )


def draw_inverse_maps(op: Warp, n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw for each image the map from output pixel to input pixel, both measured from the center.

    The forward map shears, scales and rotates (counter-clockwise) about the center, then shifts,
    like torchvision's ``RandomAffine``.

    Returns:
        ``N 2 3``: x and y of the input as linear functions of x, y and 1 of the output, in pixels,
        y pointing down.
    """
    turn, scale, shear, right, down = (
        2 * torch.rand(5, n, generator=generator, dtype=torch.float64) - 1
    ).unbind()
    turn = torch.deg2rad(turn * op.rotate_deg)
    shear = torch.tan(torch.deg2rad(shear * op.shear_deg))
    scale = 1 + scale * op.scale
    cos, sin = torch.cos(turn), torch.sin(turn)
    # forward = rotate · scale · shear, with rotate = [[cos, sin], [-sin, cos]] since y points down;
    # its determinant is that of the scale.
    inverse = torch.stack([cos - sin * shear, -cos * shear - sin, sin, cos], dim=1).view(
        n, 2, 2
    ) / scale.view(n, 1, 1)
    shift = torch.stack([right, down], dim=1).unsqueeze(1) * op.shift_px
    return torch.cat([inverse, -(inverse * shift).sum(2, keepdim=True)], dim=2)


@functools.cache
def cubic_weights(points: int, size: int) -> torch.Tensor:
    """What each point of a line, its ends among them, counts for at each of ``size`` pixels: ``size points``.

    Cubic convolution, as ``torch.nn.functional.interpolate`` has it in two dimensions.
    """
    line = torch.eye(points)[:, None, None, :]
    spread = F.interpolate(line.expand(-1, 1, 2, -1), (2, size), mode="bicubic", align_corners=True)
    return spread[:, 0, 0].T.contiguous()


def apply_warp(
    images: torch.Tensor, maps: torch.Tensor, op: Warp, points: torch.Tensor | None = None
) -> torch.Tensor:
    """Sample each image through its map; what lies outside is ``op.fill``.

    Args:
        images: float32 ``N C H W``.
        maps: ``N 2 3`` as of :func:`inverse_maps`.
        op: Gives fill and interpolation.
        points: ``N 2 P P``, of the bending, in pixels; none: nothing bends.

    Returns:
        float32 ``N C H W``.
    """
    h, w = images.shape[2:]
    x, y = _centred(w, maps), _centred(h, maps)
    # grid_sample measures in half-extents from the center.
    maps = maps / maps.new_tensor([w / 2, h / 2])[:, None]
    # Each coordinate is a part of the column plus a part of the row: one sum instead of
    # affine_grid's slow products, and plane by plane, so that it runs along whole rows.
    columns = maps[:, :, 0, None] * x
    rows = maps[:, :, 1, None] * y + maps[:, :, 2, None]
    if op.interpolation == "nearest":
        # Exact halves would round to even; a nudge makes nearest-neighbour decide as image
        # libraries do.
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
    moved = F.grid_sample(
        source, grid, mode=op.interpolation, padding_mode="zeros", align_corners=False
    )
    return moved + op.fill if op.fill else moved


def _centred(n: int, like: torch.Tensor) -> torch.Tensor:
    """Positions of ``n`` pixels, measured from the middle of them all."""
    return torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2
