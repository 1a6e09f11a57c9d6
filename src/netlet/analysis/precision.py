"""Which precision a net computes in, and a copy of it in float32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn

from netlet.errors import NetError, NetletError
from netlet.nets.copying import UncopyableError, copy_net
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.registered import count_numbers, find_device, list_buffers, list_parameters


def list_precisions(net: nn.Module) -> list[torch.dtype]:
    """Return the types of numbers that a net may expect its images in, the most likely first.

    The parameters and buffers of most nets have one type. In others they have several, and the
    images are float32, as data sets have them, or of the type of most numbers.
    """
    numbers: Counter[torch.dtype] = Counter()
    for _, tensor in (*list_parameters(net), *list_buffers(net)):
        if tensor.is_floating_point():
            numbers[tensor.dtype] += count_numbers([tensor])
    by_numbers = [precision for precision, _ in numbers.most_common()]
    if len(by_numbers) == 1:
        return by_numbers
    return list(dict.fromkeys([torch.float32, *by_numbers]))


def refuse_other_images(net: nn.Module, shape: Sequence[int]) -> None:
    """Refuse a net of another precision that does not run on images in float32.

    Args:
        net: The net.
        shape: The shape of one image, ``C H W``.

    Raises:
        NetError: It does not.
    """
    precisions = list_precisions(net)
    if not precisions or torch.float32 in precisions:
        return
    images = torch.zeros(2, *shape, device=find_device(net))
    try:
        with Isolation(strict=True), eval_mode(net), torch.no_grad():
            net(images)
    except NetletError:
        raise
    except Exception as error:
        name = str(precisions[0]).removeprefix("torch.")
        raise NetError(
            f"{type(net).__name__}: its weights are {name}, and images are float32; call .float() "
            "on the net, or convert the images in its forward()"
        ) from error


def copy_in_float32(net: nn.Module) -> nn.Module | None:
    """Return a copy in float32 of a net that has one other precision.

    PyTorch has other operations for some precisions, and lacks some on a CPU.

    Returns:
        None if the net has float32 or several precisions, or cannot be copied.
    """
    twin = None if torch.float32 in list_precisions(net) else try_to_copy(net)
    return None if twin is None else twin.float()


def try_to_copy(net: nn.Module) -> nn.Module | None:
    """Return a copy of a net; None if it has lazy layers or cannot be copied."""
    if any(nn.parameter.is_lazy(tensor) for _, tensor in list_parameters(net)):
        return None
    try:
        with Isolation(strict=True), torch.no_grad():
            return copy_net(net)
    except UncopyableError:
        return None
    except NetletError:
        raise
    except Exception:  # a net may hold what cannot be copied
        return None
