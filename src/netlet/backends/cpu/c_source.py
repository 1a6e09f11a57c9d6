"""A chain as the C program of its step: the sizes of its stages, then the files of ``c/``."""

from __future__ import annotations

import functools
from importlib import resources

from netlet.backends.cpu.chain import Chain, Stage

LANES = 16  # as in numbers.c
_ADD_LATENCY = (
    6  # cycles until a sum can be added to again: fewer sums than that leave the machine idle
)


def generate_c_source(chain: Chain, *, half: bool, images: int, registers: int) -> str:
    """The whole C program of a net's step.

    Args:
        chain: The net.
        half: Whether convolutions read bfloat16.
        images: The largest batch.
        registers: How many vectors of sums the machine can keep.
    """
    n = len(chain.stages)
    head = chain.head
    lines = [
        f"#define HALF {int(half)}",
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
        "#define FOR_STAGES_WITH_PREVIOUS(DO) " + " ".join(f"DO({k}, {max(0, k - 1)})" for k in range(n)),
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
    conv = stage.conv
    pair = 2 if half else 1
    (kernel, _), (stride, _), padding = conv.kernel_size, conv.stride, conv.padding[0]
    assert isinstance(padding, int)
    out_blocks, in_blocks = (
        -(-channels // LANES) for channels in (conv.out_channels, conv.in_channels)
    )
    run = kernel * (-(-conv.in_channels // pair) * pair)
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
        *_fastest_tile(kernel, run, out_blocks, registers),
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
    """Rows, columns and vectors of the tile that covers a map in the fewest cycles.

    A tile's step takes a load for each of its positions and each of its vectors, and a multiply-add
    for each pair. Rows of the window (kernel, stride, rows of zeros above, rows with numbers) that
    meet only zeros are left out.
    """
    kernel, stride, edge, filled = window

    def cycles(tile: tuple[int, int, int]) -> int:
        rows, cols, vectors = tile
        total = 0
        for row, r in _split_into_tiles(height, rows):
            met = kernel
            if filled:
                met = min(kernel, edge + filled - row * stride) - max(
                    0, edge - (row + r - 1) * stride
                )
            total += met * sum(
                max(r * c * vectors, r * c + vectors, _ADD_LATENCY) for _, c in _split_into_tiles(width, cols)
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
    """Where the pieces begin that a size is cut into, and how long they are."""
    return [(start, min(step, size - start)) for start in range(0, size, step)]
