"""Compare a program with its net in PyTorch, also where its library comes from the cache."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.check_inputs import random_batch, reinitialize
from netlet.backends.cpu.self_check import compare_with_net, try_batches

_IMAGES = 8


def check_program(net: nn.Module, shape: Sequence[int]) -> None:
    """Check that a net has the loss and the gradients of its program.

    A graph does not show where a net keeps gradients from flowing, as ``detach()`` does. So two
    nets with different gradients may have the same program, and the same library.

    Args:
        net: The net; it is not changed.
        shape: Shape of one image, ``C H W``.

    Raises:
        CompilationError: They differ.
    """
    twin = reinitialize(net)
    program = read_program(twin, shape)

    def check(attempt: int) -> None:
        compare_with_net(twin, program, *random_batch(shape, _IMAGES, program.classes, attempt))

    try_batches(check)
