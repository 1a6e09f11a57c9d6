"""A convolution or linear layer, and what directly follows it: the parts that take the time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from netlet.backends.cpu.parts.base import (
    IMAGE,
    Code,
    MapShape,
    Part,
    Step,
    normalize,
    per_channel,
)

# Cycles between two additions to the same sum; a tile with fewer sums leaves the processor idle.
_ADD_LATENCY = 6
_ROWS_AT_ONCE = 24  # images of a linear layer for which its tile is chosen

Pair = tuple[int, int]
_NONE = MapShape(0)


@dataclass(frozen=True, eq=False)
class Stage(Part):
    """Convolution, ReLU, batch norm, dropout, ReLU and 2x2 max pooling, in this order.

    All but the convolution are optional. A linear layer is a convolution of a 1x1 map whose
    channels are all the numbers that it reads.

    Attributes:
        source: Shape of the map that it reads.
        taps: Rows and columns of the weights.
        stride: Downwards and to the right.
        padding: Rows above, columns left, rows below, columns right, of zeros.
        dilation: Downwards and to the right.
        groups: The number of groups of channels.
        linear: Whether it is a linear layer.
        relu_first: Whether a ReLU follows before the norm.
        norm: Whether it has a batch norm.
        relu: Whether a ReLU follows the dropout.
        pool: Whether it ends in a 2x2 max pooling.
        scale: For a stage that reads the images: factors of their channels.
        shift: Likewise, added to them.
    """

    source: MapShape = _NONE
    taps: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    linear: bool = False
    relu_first: bool = False
    norm: bool = False
    relu: bool = False
    pool: bool = False
    scale: tuple[float, ...] | None = None
    shift: tuple[float, ...] | None = None

    kept: ClassVar[bool] = False

    @property
    def kernel(self) -> Pair:
        """Rows and columns of the window, with the gaps of dilation."""
        (h, w), (down, right) = self.taps, self.dilation
        return (h - 1) * down + 1, (w - 1) * right + 1

    @property
    def conv_h(self) -> int:
        """Height of the convolution's output."""
        top, _, bottom, _ = self.padding
        return (self._in_size[0] + top + bottom - self.kernel[0]) // self.stride[0] + 1

    @property
    def conv_w(self) -> int:
        """Width of the convolution's output."""
        _, left, _, right = self.padding
        return (self._in_size[1] + left + right - self.kernel[1]) // self.stride[1] + 1

    @property
    def _in_size(self) -> Pair:
        return (1, 1) if self.linear else (self.source.h, self.source.w)

    @property
    def in_channels(self) -> int:
        """Channels of the input; of a linear layer, all numbers of the map in memory."""
        return self.source.size if self.linear else self.source.channels

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved by itself."""
        return self.groups > 1 and self.groups == self.source.channels == self.shape.channels

    @property
    def kernels(self) -> int:
        """Of a depthwise convolution, its kernels: channel ``o`` has number ``o % kernels``."""
        weight = self.tensors.weight
        return len(weight) if self.depthwise and weight is not None else self.shape.channels

    @property
    def norm_values(self) -> int:
        """Pixels of the convolution's output, if it has a norm."""
        return self.conv_h * self.conv_w if self.norm else 0

    def masks(self) -> int:
        """Return the vectors of dropout masks for one image."""
        return self.conv_h * self.conv_w * self.shape.blocks if self.dropout else 0

    def scratch(self, code: Code) -> int:
        """Return room for the input's gradient if it is added to another."""
        return self.source.size if code.adds[0] else 0

    def literal(self, half: bool, registers: int) -> str:
        """Return the stage as an initializer of ``Stage`` in layout.c."""
        pair = 2 if half else 1
        in_h, in_w = self._in_size
        (kernel_h, kernel_w), (stride_h, _), (top, *_) = self.kernel, self.stride, self.padding
        out_blocks, in_blocks = self.shape.blocks, -(-self.in_channels // self.shape.vector)
        kernel_row = kernel_w * (-(-self.in_channels // pair) * pair)
        if self.linear:
            forward = _fastest_tile(1, _ROWS_AT_ONCE, out_blocks, registers)
            backward = _fastest_tile(1, _ROWS_AT_ONCE, in_blocks, registers)
        else:
            forward = _fastest_tile(
                self.conv_h, self.conv_w, out_blocks, registers, (kernel_h, stride_h, top, in_h)
            )
            backward = _fastest_tile(
                in_h,
                in_w,
                in_blocks,
                registers,
                (kernel_h, 1, kernel_h - 1 - top, (self.conv_h - 1) * stride_h + 1),
            )
        values = [
            *(self.in_channels, in_h, in_w, self.shape.channels, self.conv_h, self.conv_w),
            *(*self.kernel, *self.taps, *self.stride, *self.dilation, *self.padding),
            *(self.groups, self.depthwise, self.kernels, self.linear, self.source.channels),
            *(self.tensors.bias is not None, self.relu_first, self.norm, self.dropout > 0),
            *(self.relu, self.pool, self.shape.h, self.shape.w),
            *forward,
            *backward,
            *_fastest_tile(kernel_h, min(kernel_row, 4096), out_blocks, registers),
        ]
        return "{" + ", ".join(str(int(value)) for value in values) + "}"

    def definitions(self, code: Code) -> str:
        """Return the stage's literal."""
        k = code.number
        return f"#define STAGE_{k} ((Stage){self.literal(code.half, code.registers)})"

    def forward(self, code: Code) -> str:
        """Return the packing of the input, the convolution and the dropout mask."""
        k = code.number
        lines = []
        if self.inputs != (IMAGE,):
            lines.append(
                f"pack_input({code.read(0)}, STAGE_{k}, "
                f"arena->x[{k}] + (size_t)slot * x_size(STAGE_{k}));"
            )
        if not self.linear:
            lines.append(f"convolve(STAGE_{k}, net, arena, {k}, slot, {code.workspace});")
        return "\n    ".join(lines)

    def backward(self, code: Code) -> str:
        """Return the gradients of the convolution's output, its weights and its input."""
        k = code.number
        conv = f"conv_output(STAGE_{k}, arena, net, {k}, thread, slot, 1)"
        with_input = int(code.wanted[0] or self.depthwise or self.linear)
        lines = [f"ThreadWorkspace ws = {code.workspace};"]
        if self.linear:
            lines.append(f"ws.dy = arena->dy[{k}] + (size_t)slot * back_size(STAGE_{k});")
        lines.append(f"convolution_gradient(STAGE_{k}, {conv}, {code.gradient}, ws, {with_input});")
        if not self.linear:
            lines.append(f"weight_gradient_{k}(arena, thread, slot);")
            if code.wanted[0]:
                lines.append(f"input_gradient_{k}(arena, thread, slot);")
        return "\n    ".join(lines)

    def norm_gradient_sums(self, code: Code) -> str:
        """Return the sums over the values that the convolution computes."""
        k = code.number
        conv = f"conv_output(STAGE_{k}, arena, net, {k}, thread, slot, 1)"
        return f"add_norm_gradient_sums(STAGE_{k}, {conv}, {code.gradient}, {code.workspace});"

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output, rounded where the C code rounds."""
        x, weight, bias = inputs[0], self.tensors.weight, self.tensors.bias
        assert weight is not None
        if self.scale is not None and self.shift is not None:
            x = x * per_channel(torch.tensor(self.scale)) + per_channel(torch.tensor(self.shift))
        x, weight = step.rounded(x, values=True), step.rounded(weight, values=True)
        if self.linear:
            product = F.linear(x.flatten(1), weight.flatten(1))[:, :, None, None]
        else:
            top, left, bottom, right = self.padding
            padded = F.pad(x, (left, right, top, bottom))
            weight = weight.reshape(len(weight), -1, *self.taps)
            if self.depthwise:
                weight = weight[torch.arange(self.shape.channels) % self.kernels]
            product = F.conv2d(padded, weight, None, self.stride, 0, self.dilation, self.groups)
        # The gradient of the bias is summed before rounding.
        exact = step.rounded(product, gradient=True)
        if bias is not None:
            exact = exact + per_channel(bias)
        y = step.rounded(exact, values=True)
        if self.relu_first:
            y = exact = y.relu()
        z = normalize(self.tensors, y, exact.detach(), step) if self.norm else y
        if step.mask is not None:
            z = z * (step.mask / float(np.float32(1) - np.float32(self.dropout)))
        if self.relu:
            z = z.relu()
        return F.max_pool2d(z, 2) if self.pool else z


@functools.cache
def _fastest_tile(
    height: int,
    width: int,
    blocks: int,
    registers: int,
    window: tuple[int, int, int, int] = (1, 1, 0, 0),
) -> tuple[int, int, int]:
    """Return rows, columns and vectors of the tile that covers a feature map in the fewest cycles.

    Each step of a tile needs one load per position, one load per vector, and one multiply-add per
    pair of both. Kernel rows that read only zero padding are skipped.

    Args:
        height: The height of the map.
        width: The width of the map.
        blocks: Vectors of channels.
        registers: The number of vector registers.
        window: Kernel size, stride, rows of zero padding above, rows of data (0: unknown).
    """
    kernel, stride, pad_rows, data_rows = window

    def cycles(tile: tuple[int, int, int]) -> int:
        rows, cols, vectors = tile
        total = 0
        for row, r in _split_into_tiles(height, rows):
            kernel_rows = kernel
            if data_rows:
                last = min(kernel, pad_rows + data_rows - row * stride)
                kernel_rows = last - max(0, pad_rows - (row + r - 1) * stride)
            total += kernel_rows * sum(
                max(r * c * vectors, r * c + vectors, _ADD_LATENCY)
                for _, c in _split_into_tiles(width, cols)
            )
        return total * (blocks // vectors)

    shapes = (
        (rows, cols, vectors)
        for vectors in range(1, min(blocks, registers) + 1)
        if blocks % vectors == 0
        for rows in range(1, min(height, registers) + 1)
        for cols in range(1, min(width, registers) + 1)
        if rows * cols * vectors <= registers - vectors - 1
    )
    return min(shapes, key=lambda tile: (cycles(tile), -tile[1]))


def _split_into_tiles(size: int, step: int) -> list[tuple[int, int]]:
    """Return the start and the length of each tile along one dimension."""
    return [(start, min(step, size - start)) for start in range(0, size, step)]
