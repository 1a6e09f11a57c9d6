"""What the tables of torchsummary and torchinfo have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table as another program prints it.

    Attributes:
        lines: The table.
        problems: Why the program itself raises an error on this net, one sentence each; empty if
            it prints this table.
    """

    lines: list[str]
    problems: list[str]


def parameter_lines(total: int, trainable: int) -> list[str]:
    """Return the lines about numbers of parameters."""
    return [
        f"Total params: {total:,}",
        f"Trainable params: {trainable:,}",
        f"Non-trainable params: {total - trainable:,}",
    ]


def size_lines(image: int, both_passes: int, weights: int, *, megabyte: float) -> list[str]:
    """Return the lines about sizes.

    Args:
        image: Bytes of the input.
        both_passes: Bytes of the outputs that count, and of their gradients.
        weights: Bytes of the parameters.
        megabyte: Bytes of a MB.
    """
    total = image + both_passes + weights
    return [
        f"Input size (MB): {image / megabyte:.2f}",
        f"Forward/backward pass size (MB): {both_passes / megabyte:.2f}",
        f"Params size (MB): {weights / megabyte:.2f}",
        f"Estimated Total Size (MB): {total / megabyte:.2f}",
    ]
