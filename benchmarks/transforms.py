"""A recipe's transforms, one image at a time through Pillow, as torchvision's classes do them.

They are written anew from torchvision's documented behavior, since its wheels cannot be imported
beside a CPU-only build of PyTorch. They draw random numbers from PyTorch's generator, make the same
Pillow calls and the same tensor operations for each image, and leave out the checks of arguments.
Unlike torchvision's, a random shift is not rounded to whole pixels, since netlet's is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from netlet.recipes import Recipe, Warp

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
}


def make_transform(recipe: Recipe) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the recipe's transform of an image: uint8 ``H W`` to normalized float32 ``1 H W``."""
    ops = [op for op in recipe.augment if not op.is_identity]
    if any(op.elastic_px for op in ops):
        raise SystemExit(f"recipe {recipe.name!r}: Pillow has no elastic deformation")

    def transform(pixels: torch.Tensor) -> torch.Tensor:
        picture = Image.fromarray(pixels.numpy())
        for op in ops:
            picture = random_warp(picture, op)
        return normalize(to_tensor(picture), recipe.mean, recipe.std)

    return transform


def random_warp(picture: Image.Image, op: Warp) -> Image.Image:
    """Apply ``RandomRotation`` if the op only rotates, else ``RandomAffine``."""
    if op.shift_px or op.scale or op.shear_deg:
        return random_affine(picture, op)
    angle = _uniform(-op.rotate_deg, op.rotate_deg)
    return picture.rotate(angle, _RESAMPLING[op.interpolation], fillcolor=op.fill)


def random_affine(picture: Image.Image, op: Warp) -> Image.Image:
    """Apply ``RandomAffine``: shear, scale and rotate about the center, then shift."""
    angle = math.radians(_uniform(-op.rotate_deg, op.rotate_deg))
    right, down = (_uniform(-op.shift_px, op.shift_px) if op.shift_px else 0.0 for _ in range(2))
    scale = _uniform(1 - op.scale, 1 + op.scale) if op.scale else 1.0
    shear = math.radians(_uniform(-op.shear_deg, op.shear_deg)) if op.shear_deg else 0.0
    cos, sin, tan = math.cos(angle), math.sin(angle), math.tan(shear)
    # From output to input pixels, as Pillow wants it.
    a, b = (cos - tan * sin) / scale, -(tan * cos + sin) / scale
    c, d = sin / scale, cos / scale
    x, y = picture.width / 2, picture.height / 2
    u, v = x + right, y + down
    matrix = (a, b, x - a * u - b * v, c, d, y - c * u - d * v)
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        _RESAMPLING[op.interpolation],
        fillcolor=op.fill,
    )


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """Apply ``ToTensor()``."""
    tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    tensor = tensor.view(picture.height, picture.width, 1).permute(2, 0, 1).contiguous()
    return tensor.to(torch.float32).div(255)


def normalize(tensor: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Apply ``Normalize((mean,), (std,))``."""
    means = torch.as_tensor((mean,), dtype=tensor.dtype).view(-1, 1, 1)
    stds = torch.as_tensor((std,), dtype=tensor.dtype).view(-1, 1, 1)
    return tensor.clone().sub_(means).div_(stds)


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high).item())
