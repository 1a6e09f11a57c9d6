"""Run a net as torchinfo and torchsummary run it: on random images, with a hook on each module.

Their tables follow from what hooks on the modules of one run see, in the numbers of images and the
mode that these programs choose. The graph of the net is something else (``netlet.graph``): it is
traced on two blank images in evaluation mode, and hooks on modules would change what some modules
of PyTorch do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from netlet.nets.isolation import Isolation
from netlet.nets.registered import find_device, list_buffers

_MOST_WAYS = 100_000


class Hooks:
    """The hooks that a table has on the modules of a net."""

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def add(self, *handles: RemovableHandle) -> None:
        """Keep hooks, to remove them at the end."""
        self._handles += handles

    def remove(self) -> None:
        """Remove all hooks."""
        while self._handles:
            self._handles.pop().remove()


def check_ways(ways: int) -> None:
    """Refuse nets whose modules are registered in so many modules that a table never ends.

    Args:
        ways: In how many ways the modules seen so far are reached from the net.

    Raises:
        RuntimeError: In too many.
    """
    if ways > _MOST_WAYS:
        raise RuntimeError(f"its modules are reached in more than {_MOST_WAYS:,} ways")


@contextmanager
def hooks_for_a_run(net: nn.Module) -> Iterator[Hooks]:
    """Run a net within this; afterwards hooks are removed, and buffers and the process as before.

    Args:
        net: Any module. Lazy layers keep the shapes that they take from the run.
    """
    hooks = Hooks()
    buffers = [(tensor, tensor.clone()) for _, tensor in list_buffers(net) if not is_lazy(tensor)]
    try:
        with Isolation(strict=True), warnings.catch_warnings():
            for category in (UserWarning, FutureWarning):  # the trace of the net notes them
                warnings.simplefilter("ignore", category)
            torch.manual_seed(0)
            yield hooks
    finally:
        hooks.remove()
        with torch.no_grad():
            for tensor, before in buffers:
                tensor.copy_(before)


def random_images(net: nn.Module, number: int, shape: Sequence[int]) -> torch.Tensor:
    """Return uniformly random images ``N C H W`` where a net's parameters are."""
    return torch.rand(number, *shape).to(find_device(net))
