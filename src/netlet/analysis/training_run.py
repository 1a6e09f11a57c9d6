"""A run of a net in training mode, for what its run in evaluation mode cannot tell."""

from __future__ import annotations

import torch
from torch import nn

from netlet.errors import NetletError
from netlet.graph import Execution, Tracer
from netlet.nets.code_state import CodeState
from netlet.nets.copying import UncopyableError, copy_net
from netlet.nets.isolation import Isolation


def run_in_training(
    net: nn.Module, images: torch.Tensor, code: CodeState | None = None
) -> Execution | None:
    """Run a copy of a net once in training mode, on blank images.

    Args:
        net: It stays as it is.
        images: A batch of the shape, the type and the device that the net takes.
        code: The functions that the net must leave as they are; by default as they are now.

    Returns:
        What the run showed; None if the net cannot be copied, or does not run so.
    """
    try:
        with torch.random.fork_rng(devices=[]), Isolation(strict=True, code=code):
            return Tracer(copy_net(net).train(), torch.zeros_like(images)).run()
    except UncopyableError:
        return None
    except NetletError:
        raise
    except Exception:  # of the net, whose run in evaluation mode is what counts
        return None
