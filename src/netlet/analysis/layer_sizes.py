"""Say which layer gets how many channels or features, and how many it expects."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from netlet.graph import ModuleRun
from netlet.text import count_noun, format_shape

_MAP_AXES = 3  # C H W
_DIMENSIONS = ("1d", "2d", "3d")


def explain_sizes(run: ModuleRun, shape: Sequence[int]) -> str:
    """Return in what the input of a layer differs from what it expects; empty if it does not.

    Args:
        run: The run of the layer, which failed.
        shape: The shape of one image.
    """
    text = _explain_sizes(run)
    return text.partition(", or give")[0] if run.input == tuple(shape) else text


def _explain_sizes(run: ModuleRun) -> str:
    if run.output is not None:  # what comes after it has failed
        return ""
    if run.input == () and hasattr(run.module, "weight"):
        return "it gets the values of all images in one row; keep the batch dimension: x.flatten(1)"
    if not run.input:
        return ""
    if isinstance(run.module, nn.Linear):
        return _explain_linear(run)
    if isinstance(run.module, nn.LayerNorm):
        return _explain_layer_norm(run.input, run.module)
    if other := _find_layer_of_dimension(run):
        found = run.input
        what = (
            f"maps of {format_shape(found)}" if len(found) > 1 else f"rows of {found[0]} features"
        )
        return f"it gets {what}; write nn.{other}"
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
        f"it gets {count_noun(found, 'channel')} but expects {taken:,}; write {argument}={found}, "
        f"or give the layer before it {count_noun(taken, 'output channel')}"
    )


def _explain_row(found: int, axes: int) -> str:
    shapes = {2: "C L", 3: "C H W", 4: "C D H W"}
    return (
        f"it gets a row of {count_noun(found, 'feature')} but expects maps {shapes[axes]}; put it "
        "before what flattens or averages the map"
    )


def _find_layer_of_dimension(run: ModuleRun) -> str:
    """Return the layer of torch.nn that takes values of more dimensions, as a run's layer gets.

    It is ``BatchNorm2d`` for a ``BatchNorm1d`` that gets maps. Empty if the layer itself takes
    them; where a value has too few dimensions, the layer is seldom to blame. ``BatchNorm1d``, which
    takes rows, is the exception.
    """
    name, found = type(run.module).__name__, run.input or ()
    if not name.endswith(_DIMENSIONS) or not isinstance(run.module, _ConvNd | _NormBase):
        return ""
    axes = len(found) - 1
    if isinstance(run.module, _BatchNorm) and not axes:
        axes = 1
    elif axes <= int(name[-2]):
        return ""
    other = f"{name[:-2]}{axes}d"
    return "" if other == name or not hasattr(nn, other) else other


def _explain_linear(run: ModuleRun) -> str:
    layer, found = run.module, run.input or ()
    assert isinstance(layer, nn.Linear)
    taken = layer.in_features
    if found[-1] == taken:
        return ""
    if len(found) == _MAP_AXES:
        return (
            f"it gets maps of {format_shape(tuple(found))} but expects rows of {taken:,} features; "
            f"flatten each map before it, x.flatten(1) makes {prod(found):,} features, or average "
            f"it, x.mean((2, 3)) makes {found[0]:,}"
        )
    text = f"it gets {count_noun(found[-1], 'feature')} but expects {taken:,}; write "
    write = f"nn.Linear({found[-1]}, {layer.out_features})"
    if len(found) > 1 or _count_channels_before(run) != taken:
        return text + write
    # As many as there are channels: the map was to be averaged.
    average = f"x.mean((2, 3)), which makes {taken:,} of the map before it"
    return f"{text}{average}, or {write}" if found[0] % taken == 0 else text + average


def _count_channels_before(run: ModuleRun) -> int:
    """Return the channels of the last map that a module has returned before a run; 0 if none."""
    steps = run.parent.steps if run.parent else []
    maps = [
        step.output[1]
        for step in steps
        if isinstance(step, ModuleRun) and step.output and len(step.output) == _MAP_AXES + 1
    ]
    return maps[-1] if maps else 0


def _explain_layer_norm(found: Sequence[int], layer: nn.LayerNorm) -> str:
    taken = tuple(layer.normalized_shape)
    given = tuple(found[-len(taken) :])
    if given == taken:
        return ""
    return (
        f"it gets {format_shape(given)} but expects {format_shape(taken)}; write "
        f"nn.LayerNorm({list(given) if len(given) > 1 else given[0]})"
    )
