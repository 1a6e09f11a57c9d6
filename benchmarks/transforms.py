"""Write-up 001's transforms, one image at a time through Pillow, as torchvision's classes do them.

They are written anew from torchvision's documented behavior, since its wheels cannot be imported
beside a CPU-only build of PyTorch. They draw the same random numbers from PyTorch's generator, make
the same Pillow calls and the same tensor operations for each image, and leave out the checks of
arguments.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image


def document_001(pixels: torch.Tensor) -> torch.Tensor:
    """Apply all four transforms: uint8 ``H W`` to normalized float32 ``1 H W``."""
    picture = Image.fromarray(pixels.numpy())
    return normalize(to_tensor(random_affine(random_rotation(picture))))


def random_rotation(picture: Image.Image) -> Image.Image:
    """Apply ``RandomRotation((-7, 7), fill=(1,))``."""
    return picture.rotate(_uniform(-7, 7), Image.Resampling.NEAREST, fillcolor=1)


def random_affine(picture: Image.Image) -> Image.Image:
    """Apply ``RandomAffine(degrees=10, scale=(0.95, 1.05))``."""
    angle, scale = math.radians(_uniform(-10, 10)), _uniform(0.95, 1.05)
    x, y = picture.width / 2, picture.height / 2
    a, b = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = (a, b, x - a * x - b * y, -b, a, y + b * x - a * y)
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=0
    )


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """Apply ``ToTensor()``."""
    tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    tensor = tensor.view(picture.height, picture.width, 1).permute(2, 0, 1).contiguous()
    return tensor.to(torch.float32).div(255)


def normalize(tensor: torch.Tensor) -> torch.Tensor:
    """Apply ``Normalize((0.1307,), (0.3081,))``."""
    mean = torch.as_tensor((0.1307,), dtype=tensor.dtype).view(-1, 1, 1)
    std = torch.as_tensor((0.3081,), dtype=tensor.dtype).view(-1, 1, 1)
    return tensor.clone().sub_(mean).div_(std)


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high).item())
