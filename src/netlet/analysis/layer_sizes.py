"""Say which layer gets how many channels or features, and how many it takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from netlet.graph import ModuleRun
from netlet.text import count_noun, format_shape

_MAP_AXES = 3  # C H W


def explain_sizes(run: ModuleRun, shape: Sequence[int]) -> str:
    """Return in what the input of a layer differs from what it takes; empty if it does not.

    Args:
        run: The run of the layer, which failed.
        shape: The shape of one image.
    """
    text = _explain_sizes(run)
    return text.partition(", or let")[0] if run.input == tuple(shape) else text


def _explain_sizes(run: ModuleRun) -> str:
    if not run.input:
        return ""
    if isinstance(run.module, nn.Linear):
        return _explain_linear(run.input, run.module)
    if isinstance(run.module, nn.LayerNorm):
        return _explain_layer_norm(run.input, run.module)
    if isinstance(run.module, _ConvNd):
        axes = len(run.module.kernel_size) + 1
        if len(run.input) == 1:
            return _explain_row(run.input[0], axes)
        if len(run.input) != axes:
            return ""
        return _compare(run.input[0], run.module.in_channels, "in_channels")
    if isinstance(run.module, _BatchNorm | _InstanceNorm):
        return _compare(run.input[0], run.module.num_features, "num_features")
    if isinstance(run.module, nn.GroupNorm):
        return _compare(run.input[0], run.module.num_channels, "num_channels")
    if isinstance(run.module, nn.PReLU) and run.module.num_parameters > 1:
        return _compare(run.input[0], run.module.num_parameters, "num_parameters")
    return ""


def depends_on_image(run: ModuleRun, shape: Sequence[int]) -> bool:
    """Return whether another size of the image could make a layer's input fit.

    Args:
        run: The run of the layer, whose sizes do not fit.
        shape: The shape of one image.
    """
    return run.input == tuple(shape) or isinstance(run.module, nn.Linear | nn.LayerNorm)


def _compare(found: int, taken: int, argument: str) -> str:
    if found == taken:
        return ""
    return (
        f"it gets {count_noun(found, 'channel')} and takes {taken:,}; write {argument}={found}, or "
        f"let the layer before it make {taken:,}"
    )


def _explain_row(found: int, axes: int) -> str:
    shapes = {2: "C L", 3: "C H W", 4: "C D H W"}
    return (
        f"it gets a row of {count_noun(found, 'feature')} and takes maps {shapes[axes]}; put it "
        "before what flattens or averages the map"
    )


def _explain_linear(found: Sequence[int], layer: nn.Linear) -> str:
    taken = layer.in_features
    if found[-1] == taken:
        return ""
    if len(found) == _MAP_AXES:
        return (
            f"it gets maps of {format_shape(tuple(found))} and takes rows of {taken:,} features; "
            f"flatten each map before it, x.flatten(1) makes {prod(found):,} features, or average "
            f"it, x.mean((2, 3)) makes {found[0]:,}"
        )
    return (
        f"it gets {count_noun(found[-1], 'feature')} and takes {taken:,}; write "
        f"nn.Linear({found[-1]}, {layer.out_features})"
    )


def _explain_layer_norm(found: Sequence[int], layer: nn.LayerNorm) -> str:
    taken = tuple(layer.normalized_shape)
    given = tuple(found[-len(taken) :])
    if given == taken:
        return ""
    return (
        f"it gets {format_shape(given)} and takes {format_shape(taken)}; write "
        f"nn.LayerNorm({list(given) if len(given) > 1 else given[0]})"
    )
