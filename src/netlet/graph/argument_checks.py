"""What PyTorch reads of values only to check them, so that no path of a net depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.distributions import Distribution

from netlet.graph.held_settings import HeldSetting

# Whether distributions check arguments of which nobody has said so.
VALIDATION = HeldSetting(
    lambda: Distribution._validate_args, Distribution.set_default_validate_args, False
)


def one_hot_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return what ``one_hot`` returns for a number of classes that is given.

    PyTorch reads the classes to check them; here ``scatter_`` does so.

    Args:
        name: The name of a function.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        None if the function is another one, or finds the number of classes in the values.
    """
    if name != "one_hot":
        return None
    index = args[0] if args else kwargs.get("input", kwargs.get("self"))
    classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
    if not isinstance(index, torch.Tensor) or index.dtype != torch.int64:
        return None
    if not isinstance(classes, int) or classes <= 0:
        return None
    places = torch.zeros(*index.shape, classes, dtype=torch.int64, device=index.device)
    return places.scatter_(-1, index.unsqueeze(-1), 1)
