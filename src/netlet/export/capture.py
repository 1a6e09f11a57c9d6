"""From a net to its graph: the net runs once, and each operation that PyTorch dispatches becomes a layer or is refused.

What the net does in Python (branches, loops, functions, shared layers) is seen as it is. A net that
chooses a path by the values of an image cannot be told apart by one run from one that does not,
unless it reads them back: that is refused here, and every export is held against the net on many
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.errors import NetError, ShipError
from netlet.export.graph import Graph
from netlet.export.notes import BATCH, Notes
from netlet.export.operations import KEEPING, take
from netlet.export.refusals import RANDOM, WOULD_WORK
from netlet.nets.modes import evaluating
from netlet.nets.outputs import logits_of


def capture(net: nn.Module, shape: Sequence[int], mean: float, std: float) -> Graph:
    """What a net does to an image of gray levels 0 to 255, its normalization included, up to the logits.

    A softmax or log-softmax at the end is left out: logits differ from log-probabilities by one
    number for each image.

    Args:
        net: Any module; it is run in evaluation mode, on the CPU, and left as it was.
        shape: Of one image, ``C H W``.
        mean: Of the gray levels 0..1 that the net was taught on, subtracted first.
        std: Likewise; then divided by.

    Raises:
        ShipError: It does something that no export knows; names the layer, the operation and what
            would work.
        NetError: It does not run on such an image.
    """
    notes = Notes(type(net).__name__, tuple(shape))
    image = torch.zeros(BATCH, *shape)
    notes.know(image, 0)
    notes.scale(0, image, 1 / (255 * std), -mean / std, name="input")
    paths = {module: path for path, module in net.named_modules()}

    def entered(module: nn.Module, _: object) -> None:
        notes.paths.append(paths.get(module, notes.paths[-1]))

    def left(*_: object) -> None:
        notes.paths.pop()

    with evaluating(net), torch.no_grad(), ExitStack() as hooks:
        # Hooks for all modules alike: a scripted one takes none of its own.
        hooks.callback(register_module_forward_pre_hook(entered).remove)
        hooks.callback(register_module_forward_hook(left).remove)
        try:
            with _Recorder(notes):
                out = net(image)
        except ShipError:
            raise
        except Exception as error:
            size = "x".join(map(str, shape))
            raise NetError(
                f"{type(net).__name__}: does not run on an image {size} ({error})"
            ) from error
        return notes.graph(logits_of(out))


class _Recorder(TorchDispatchMode):
    """Writes down what is done to tensors that depend on the image."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._notes = notes

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Asked by torch; yes would import its compiler, a second's work, to tell it of a mode that
        # it never meets.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and write it down."""
        notes, kwargs = self._notes, kwargs or {}
        name = func.overloadpacket.__name__.rstrip("_")
        read = [tensor for tensor in _tensors((args, kwargs)) if tensor in notes]
        if name not in KEEPING and any(id(tensor) in notes.endings for tensor in read):
            raise notes.refused(
                "softmax before the net's end",
                "logits, with the softmax last or in the loss, would",
            )
        if name in RANDOM:
            raise notes.refused(
                "dropout or other chance in evaluation",
                "F.dropout(x, training=self.training) would",
            )
        out = func(*args, **kwargs)
        if read:
            try:
                take(notes, name, args, kwargs, out[0] if isinstance(out, tuple | list) else out)
            except ShipError:
                raise
            except Exception as error:  # a way of calling it that nobody has thought of
                raise notes.refused(
                    f"{name}, as it is called here ({error}),", WOULD_WORK
                ) from error
        return out


def _tensors(values: Any) -> list[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return (
        [tensor for value in values for tensor in _tensors(value)]
        if isinstance(values, tuple | list)
        else []
    )
