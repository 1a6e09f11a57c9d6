"""Compare the program of a net with the net itself.

A library is compiled from a program alone, and one that was checked once serves all nets with this
program. So each net is compared with its program anew: it may do what no graph shows, such as
cutting off a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.check_inputs import (
    STATISTICS_FLOOR,
    compute_gradients,
    random_batch,
    reinitialize,
    relative_error,
    typical_error,
    use_running_statistics,
)
from netlet.backends.cpu.errors import CompilationError, UnsupportedNetError
from netlet.backends.cpu.program import Program, reference_logits
from netlet.graph import WithoutDropout
from netlet.nets.copying import copy_net
from netlet.nets.outputs import center_logits, extract_logits
from netlet.text import escape_controls

_IMAGES = (12, 5)  # in training, in evaluation
_ATTEMPTS = 4  # with different images: two equal values may be rounded apart
_VALUE_TOLERANCE = 1e-3
_GRADIENT_TOLERANCE = 5e-3


def check_program(net: nn.Module, shape: Sequence[int]) -> None:
    """Check that a net and its program compute the same, with dropout switched off.

    Args:
        net: On the CPU. It is not changed.
        shape: The shape of one image, ``C H W``.

    Raises:
        CompilationError: They differ, or the net does not run on a batch.
    """
    twin = reinitialize(net)
    program = read_program(twin, shape)
    for attempt in range(_ATTEMPTS):
        try:
            _compare_training(twin, program, shape, attempt)
            _compare_evaluation(twin, program, shape, attempt)
            return
        except UnsupportedNetError:
            raise
        except CompilationError:
            if attempt == _ATTEMPTS - 1:
                raise


def _compare_training(twin: nn.Module, program: Program, shape: Sequence[int], seed: int) -> None:
    images, labels = random_batch(shape, _IMAGES[0], program.classes, seed)
    net = copy_net(twin).train()
    loss = F.cross_entropy(_run(net, images), labels)
    theirs = compute_gradients(loss, list(net.parameters()))
    logits = reference_logits(program, images, half=False, training=True)
    own = F.cross_entropy(logits, labels)
    if not abs(own.item() - loss.item()) <= _VALUE_TOLERANCE * (1 + abs(loss.item())):
        raise _differs("another loss")
    largest = max(float(grad.norm()) for grad in theirs)
    mine = compute_gradients(own, list(twin.parameters()))
    for (name, _), grad, other in zip(twin.named_parameters(), mine, theirs, strict=True):
        if not relative_error(grad, other, largest) <= _GRADIENT_TOLERANCE:
            raise _differs(f"another gradient of {name}")
    for (name, buffer), other in zip(twin.named_buffers(), net.buffers(), strict=True):
        if (
            buffer.is_floating_point()
            and not typical_error(buffer, other, STATISTICS_FLOOR) <= _VALUE_TOLERANCE
        ):
            raise _differs(f"another {name} after a step")


@torch.no_grad()
def _compare_evaluation(twin: nn.Module, program: Program, shape: Sequence[int], seed: int) -> None:
    images, _ = random_batch(shape, _IMAGES[1], program.classes, 100 + seed)
    use_running_statistics(program, images)
    theirs = center_logits(_run(copy_net(twin).eval(), images))
    mine = center_logits(reference_logits(program, images, half=False, training=False))
    if not typical_error(mine, theirs) <= _VALUE_TOLERANCE:
        raise _differs("other logits")


def _differs(what: str) -> CompilationError:
    return CompilationError(f"the compiled form of the net computes {what} than PyTorch")


def _run(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return a net's logits, without dropout.

    Raises:
        UnsupportedNetError: It does not run on so many images.
    """
    try:
        with WithoutDropout():
            return extract_logits(net(images.clone()))  # a net may change its input in place
    except Exception as error:
        reason = escape_controls((str(error).splitlines() or [""])[0])
        raise UnsupportedNetError(
            f"{type(net).__name__} does not run on a batch of {len(images)} images ({reason})"
        ) from error
