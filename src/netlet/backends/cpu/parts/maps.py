"""Operations on whole feature maps: sums, products, concatenation, dropout, norms and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from netlet.backends.cpu.parts.base import (
    Code,
    MapShape,
    Part,
    Step,
    normalize,
    per_channel,
)
from netlet.backends.cpu.parts.functions import format_float

_NONE = MapShape(0)


@dataclass(frozen=True, eq=False)
class Images(Part):
    """The images as a feature map, times a scale plus a shift for each channel."""

    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()

    def forward(self, code: Code) -> str:
        """Return nothing: images are packed before the first part."""
        return ""

    def backward(self, code: Code) -> str:
        """Return nothing: images have no gradient."""
        return ""

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the images."""
        scale, shift = torch.tensor(self.scale), torch.tensor(self.shift)
        return inputs[0] * per_channel(scale) + per_channel(shift)


@dataclass(frozen=True, eq=False)
class _OfTwo(Part):
    """An operation of two maps, the second of which may be 1x1.

    Attributes:
        broadcast: Whether it is.
    """

    broadcast: bool = False

    def _second_dx(self, code: Code) -> str:
        return f"{code.workspace}.scratch + {self.shape.size}"

    def _pass_both(self, code: Code) -> str:
        dx = f"{code.workspace}.scratch"
        return f"{code.pass_gradient(0, dx)}\n    {code.pass_gradient(1, self._second_dx(code))}"


@dataclass(frozen=True, eq=False)
class Sum(_OfTwo):
    """The sum of two maps."""

    def forward(self, code: Code) -> str:
        """Return the sum of one image."""
        inputs = f"{code.read(0)}, {code.read(1)}"
        return f"sum_forward({self.shape.literal()}, {inputs}, {self.broadcast:d}, {code.output});"

    def backward(self, code: Code) -> str:
        """Return the gradients of both inputs."""
        return (
            f"sum_backward({self.shape.literal()}, {code.gradient}, {self.broadcast:d}, "
            f"{code.workspace}.scratch, {self._second_dx(code)});\n    {self._pass_both(code)}"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the sum in PyTorch."""
        return inputs[0] + inputs[1]


@dataclass(frozen=True, eq=False)
class Product(_OfTwo):
    """The product of two maps."""

    def forward(self, code: Code) -> str:
        """Return the product of one image."""
        inputs = f"{code.read(0)}, {code.read(1)}"
        return (
            f"product_forward({self.shape.literal()}, {inputs}, {self.broadcast:d}, {code.output});"
        )

    def backward(self, code: Code) -> str:
        """Return the gradients of both inputs."""
        inputs = f"{code.read(0)}, {code.read(1)}"
        return (
            f"product_backward({self.shape.literal()}, {inputs}, {code.gradient}, "
            f"{self.broadcast:d}, {code.workspace}.scratch, {self._second_dx(code)});\n    "
            f"{self._pass_both(code)}"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the product in PyTorch."""
        return inputs[0] * inputs[1]


@dataclass(frozen=True, eq=False)
class Concatenation(Part):
    """Maps joined along their channels.

    Attributes:
        parts: Their shapes.
    """

    parts: tuple[MapShape, ...] = ()

    @property
    def _firsts(self) -> list[int]:
        channels = [part.channels for part in self.parts]
        return [sum(channels[:i]) for i in range(len(channels))]

    def forward(self, code: Code) -> str:
        """Return the copies of all parts, in order."""
        return "\n    ".join(
            f"concatenate_forward({part.literal()}, {code.read(i)}, {self.shape.literal()}, "
            f"{first}, {code.output});"
            for i, (part, first) in enumerate(zip(self.parts, self._firsts, strict=True))
        )

    def backward(self, code: Code) -> str:
        """Return the gradients of all parts."""
        dx = f"{code.workspace}.scratch"
        return "\n    ".join(
            f"concatenate_backward({part.literal()}, {self.shape.literal()}, {first}, "
            f"{code.gradient}, {dx});\n    {code.pass_gradient(i, dx)}"
            for i, (part, first) in enumerate(zip(self.parts, self._firsts, strict=True))
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the joined maps in PyTorch."""
        return torch.cat(list(inputs), 1)


@dataclass(frozen=True, eq=False)
class Channels(Part):
    """Some neighboring channels of a map.

    Attributes:
        first: The first of them.
    """

    first: int = 0

    def forward(self, code: Code) -> str:
        """Return the copy of one image's channels."""
        return (
            f"channels_forward({self.shape.literal()}, {code.read(0)}, {self.first}, "
            f"{code.output});"
        )

    def backward(self, code: Code) -> str:
        """Return the gradient of the whole map."""
        (whole,) = code.inputs
        assert whole is not None
        dx = f"{code.workspace}.scratch"
        return (
            f"channels_backward({self.shape.literal()}, {whole.shape.lanes}, {self.first}, "
            f"{code.gradient}, {dx});\n    {code.pass_gradient(0, dx)}"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the channels in PyTorch."""
        return inputs[0][:, self.first : self.first + self.shape.channels]


@dataclass(frozen=True, eq=False)
class Affine(Part):
    """A map times a constant plus a constant, both for each channel."""

    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()

    def definitions(self, code: Code) -> str:
        """Return the constants."""
        k, padding = code.number, [0.0] * (self.shape.lanes - self.shape.channels)
        return "\n".join(
            f"static const float {name}_{k}[] = "
            f"{{{', '.join(format_float(v) for v in (*values, *padding))}}};"
            for name, values in (("scale", self.scale), ("shift", self.shift))
        )

    def forward(self, code: Code) -> str:
        """Return the function of one image."""
        k = code.number
        return (
            f"affine_forward({self.shape.literal()}, {code.read(0)}, scale_{k}, shift_{k}, "
            f"{code.output});"
        )

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        return (
            f"affine_backward({self.shape.literal()}, {code.gradient}, scale_{code.number}, "
            f"{dx});\n    {code.pass_gradient(0, dx)}"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        scale, shift = torch.tensor(self.scale), torch.tensor(self.shift)
        return inputs[0] * per_channel(scale) + per_channel(shift)


@dataclass(frozen=True, eq=False)
class Pad(Part):
    """Rows and columns of zeros around a map; fewer rows and columns where they are negative.

    Attributes:
        source: Shape of the input.
        top: Rows above.
        left: Columns left.
    """

    source: MapShape = _NONE
    top: int = 0
    left: int = 0

    def forward(self, code: Code) -> str:
        """Return the padded image."""
        maps = f"{self.source.literal()}, {self.shape.literal()}"
        return f"pad_forward({maps}, {code.read(0)}, {self.top}, {self.left}, {code.output});"

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        maps = f"{self.source.literal()}, {self.shape.literal()}"
        return (
            f"pad_backward({maps}, {code.gradient}, {self.top}, {self.left}, {dx});\n    "
            + code.pass_gradient(0, dx)
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        bottom = self.shape.h - self.source.h - self.top
        right = self.shape.w - self.source.w - self.left
        return F.pad(inputs[0], (self.left, right, self.top, bottom))


@dataclass(frozen=True, eq=False)
class Dropout(Part):
    """Dropout that does not directly follow a convolution.

    Attributes:
        channelwise: Whether whole channels are dropped.
    """

    channelwise: bool = False

    def masks(self) -> int:
        """Return the vectors of masks for one image."""
        return self.shape.blocks if self.channelwise else self.shape.size // self.shape.vector

    def _mask(self, code: Code) -> str:
        k = code.number
        masks = f"arena->masks[{k}] + (size_t)slot * {self.masks()}"
        return f"{masks}, 1 / (1 - net->op[{k}].dropout), {self.channelwise:d}"

    def forward(self, code: Code) -> str:
        """Return the dropout of one image."""
        return (
            f"dropout_forward({self.shape.literal()}, {code.read(0)}, {self._mask(code)}, "
            f"training, {code.output});"
        )

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        return (
            f"dropout_backward({self.shape.literal()}, {self._mask(code)}, {code.gradient}, "
            f"{dx});\n    {code.pass_gradient(0, dx)}"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        if step.mask is None:
            return inputs[0]
        return inputs[0] * (step.mask / float(np.float32(1) - np.float32(self.dropout)))


@dataclass(frozen=True, eq=False)
class Norm(Part):
    """Batch norm that does not directly follow a convolution."""

    @property
    def norm_values(self) -> int:
        """Pixels of the map."""
        return self.shape.h * self.shape.w

    def forward(self, code: Code) -> str:
        """Return the sums over one image; :meth:`apply` follows when all images are summed."""
        return f"norm_sums({self.shape.literal()}, {code.read(0)}, {code.workspace});"

    def apply(self, code: Code) -> str:
        """Return the normalization of one image."""
        return (
            f"norm_forward({self.shape.literal()}, {code.read(0)}, {code.workspace}, "
            f"{code.output});"
        )

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        return (
            f"norm_backward({self.shape.literal()}, {code.read(0)}, {code.gradient}, "
            f"{code.workspace}, {dx});\n    {code.pass_gradient(0, dx)}"
        )

    def norm_gradient_sums(self, code: Code) -> str:
        """Return the sums over the values of one image."""
        return (
            f"norm_gradient_sums({self.shape.literal()}, {code.read(0)}, {code.gradient}, "
            f"{code.workspace});"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        return normalize(self.tensors, inputs[0], inputs[0].detach(), step)
