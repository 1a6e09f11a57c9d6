"""Generate the C program of a net: definitions of its stages, followed by the files in ``c/``."""

from __future__ import annotations

import functools
from importlib import resources

from netlet.backends.cpu.chain import Chain, Stage

LANES = 16  # as in numbers.c
# Cycles between two additions to the same sum; a tile with fewer sums leaves the processor idle.
_ADD_LATENCY = 6


def generate_c_source(
    chain: Chain, *, half: bool, training: bool, images: int, registers: int
) -> str:
    """Return the C program of a net's training step and evaluation.

    Args:
        chain: The net.
        half: Whether convolutions read bfloat16 instead of float32.
        training: Whether to include the training step.
        images: The largest batch size.
        registers: The number of vector registers that can hold sums.
    """
    n = len(chain.stages)
    head = chain.head
    lines = [
        f"#define HALF {int(half)}",
        f"#define TRAINING {int(training)}",
        f"#define IMAGES {images}",
        f"#define CLASSES {chain.classes}",
        f"#define HEAD {int(head is not None)}",
        f"#define HEAD_BIAS {int(head is not None and head.bias is not None)}",
        f"#define STAGES {n}",
        *(
            f"#define STAGE_{k} ((Stage){_stage_literal(stage, half, registers)})"
            for k, stage in enumerate(chain.stages)
        ),
        "#define ALL_STAGES "
        + ", ".join(_stage_literal(stage, half, registers) for stage in chain.stages),
        "#define FOR_STAGES(DO) " + " ".join(f"DO({k})" for k in range(n)),
        "#define FOR_STAGES_WITH_PREVIOUS(DO) "
        + " ".join(f"DO({k}, {max(0, k - 1)})" for k in range(n)),
        "#define FOR_STAGES_REVERSED(DO) "
        + " ".join(f"DO({k}, {max(0, k - 1)})" for k in reversed(range(n))),
    ]
    folder = resources.files(__package__) / "c"
    parts = [
        (folder / f"{part}.c").read_text()
        for part in ("numbers", "layout", "convolution", "depthwise", "activation", "step")
    ]
    return "\n".join([*lines, *parts])


def _stage_literal(stage: Stage, half: bool, registers: int) -> str:
    """Return a stage as an initializer of ``Stage`` in layout.c."""
    conv = stage.conv
    pair = 2 if half else 1
    (kernel, _), (stride, _), padding = conv.kernel_size, conv.stride, conv.padding[0]
    assert isinstance(padding, int)
    out_blocks, in_blocks = (
        -(-channels // LANES) for channels in (conv.out_channels, conv.in_channels)
    )
    kernel_row = kernel * (-(-conv.in_channels // pair) * pair)
    values = [
        conv.in_channels,
        stage.in_h,
        stage.in_w,
        conv.out_channels,
        stage.height,
        stage.width,
        kernel,
        stride,
        padding,
        conv.groups > 1,
        conv.bias is not None,
        stage.relu_first,
        stage.norm is not None,
        stage.dropout > 0,
        stage.relu,
        stage.pool,
        stage.out_h,
        stage.out_w,
        *_fastest_tile(
            stage.height, stage.width, out_blocks, registers, (kernel, stride, padding, stage.in_h)
        ),
        *_fastest_tile(
            stage.in_h,
            stage.in_w,
            in_blocks,
            registers,
            (kernel, 1, kernel - 1 - padding, (stage.height - 1) * stride + 1),
        ),
        *_fastest_tile(kernel, kernel_row, out_blocks, registers),
    ]
    return "{" + ", ".join(str(int(value)) for value in values) + "}"


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
        height: Of the map.
        width: Of the map.
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
        for vectors in range(1, blocks + 1)
        if blocks % vectors == 0
        for rows in range(1, height + 1)
        for cols in range(1, width + 1)
        if rows * cols * vectors <= registers - vectors - 1
    )
    return min(shapes, key=lambda tile: (cycles(tile), -tile[1]))


def _split_into_tiles(size: int, step: int) -> list[tuple[int, int]]:
    """Return the start and the length of each tile along one dimension."""
    return [(start, min(step, size - start)) for start in range(0, size, step)]
