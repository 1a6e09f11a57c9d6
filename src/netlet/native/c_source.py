"""A chain as the constants that ``step.c`` is compiled with."""

from __future__ import annotations

import itertools
from importlib import resources

from netlet.native.chain import Chain, Stage

LANES = 16  # as in step.c
_LATENCY = 6  # cycles until a sum can be added to again: fewer sums than that leave the machine idle


def c_source(chain: Chain, *, half: bool, images: int, registers: int) -> str:
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
        *(f"#define STAGE_{k} ((Stage){_fields(stage, half, registers)})" for k, stage in enumerate(chain.stages)),
        "#define ALL_STAGES " + ", ".join(_fields(stage, half, registers) for stage in chain.stages),
        "#define FOR_STAGES(DO) " + " ".join(f"DO({k})" for k in range(n)),
        "#define FOR_STAGES_AFTER(DO) " + " ".join(f"DO({k}, {max(0, k - 1)})" for k in range(n)),
        "#define FOR_STAGES_BACKWARDS(DO) " + " ".join(f"DO({k}, {max(0, k - 1)})" for k in reversed(range(n))),
    ]
    return "\n".join(lines) + "\n" + resources.files(__package__).joinpath("step.c").read_text()


def _fields(stage: Stage, half: bool, registers: int) -> str:
    conv = stage.conv
    pair = 2 if half else 1
    (kernel, _), (stride, _), padding = conv.kernel_size, conv.stride, conv.padding[0]
    out_blocks, in_blocks = (-(-channels // LANES) for channels in (conv.out_channels, conv.in_channels))
    run = kernel * (-(-conv.in_channels // pair) * pair)
    values = [
        conv.in_channels, stage.in_h, stage.in_w,
        conv.out_channels, stage.height, stage.width,
        kernel, stride, padding,
        conv.bias is not None, stage.relu_first, stage.norm is not None, stage.dropout > 0, stage.relu, stage.pool,
        stage.out_h, stage.out_w,
        *_tile(stage.height, stage.width, out_blocks, registers),
        *_tile(stage.in_h, stage.in_w, in_blocks, registers),
        *_tile(kernel, run, out_blocks, registers),
    ]  # fmt: skip
    return "{" + ", ".join(str(int(value)) for value in values) + "}"


def _tile(height: int, width: int, blocks: int, registers: int) -> tuple[int, int, int]:
    """Rows, columns and vectors of the tile that covers a map in the fewest cycles.

    A tile's step takes a load for each of its positions and each of its vectors, and a multiply-add for each pair.
    """
    def cycles(tile: tuple[int, int, int]) -> int:
        rows, cols, vectors = tile
        parts = itertools.product(_parts(height, rows), _parts(width, cols))
        return blocks // vectors * sum(
            count * other * max(r * c * vectors, r * c + vectors, _LATENCY) for (r, count), (c, other) in parts
        )

    shapes = (
        (rows, cols, vectors)
        for vectors in range(1, blocks + 1) if blocks % vectors == 0
        for rows in range(1, height + 1)
        for cols in range(1, width + 1)
        if rows * cols * vectors <= registers - vectors - 1
    )  # fmt: skip
    return min(shapes, key=lambda tile: (cycles(tile), -tile[1]))


def _parts(size: int, step: int) -> list[tuple[int, int]]:
    """How long the pieces are that a size is cut into, and how many there are of each."""
    return [(length, count) for length, count in ((step, size // step), (size % step, 1)) if length and count]
