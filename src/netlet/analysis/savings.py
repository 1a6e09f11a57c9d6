"""Say how the layers with most parameters could do with fewer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from torch import nn

from netlet.analysis.ops import Op, Trace
from netlet.budgets import Budget, ModelCost, RuleResult

_MAP_AXES = 4  # N C H W
_MOVED = ("clone", "contiguous")  # flattening copies a map only if its axes were moved before
_MOST_SAVINGS = 2  # more are not named
_WORTH = 0.25  # of what is to be saved: a smaller saving is not named
_FAR = 0.1  # no width is sure to bring a net to less than this share of its parameters
_NEAR = 0.9  # what has to keep more than this share of its parameters needs no other layers


def find_savings(traced: Trace) -> list[tuple[str, int]]:
    """Return what would make a net smaller by single layers, the largest saving first.

    Args:
        traced: A net that has been traced.

    Returns:
        Each saving in words, and the number of parameters that it saves.
    """
    if any(op.tied for op in traced.ops):  # a layer that shares its weights saves none alone
        return []
    return sorted(_find_savings(traced), key=lambda saving: -saving[1])


def _find_savings(traced: Trace) -> Iterator[tuple[str, int]]:
    for module in traced.idle:
        # Of a net whose path depends on the image, nobody knows whether another one needs it.
        if module.parameters and not module.in_training and not traced.value_dependent:
            text = f"leave out {module.path}, which never runs: {module.parameters:,} fewer"
            yield f"{text} parameters", module.parameters
    leaves = traced.leaves()
    first = _find_first_linear(leaves)
    last_map: tuple[int, ...] = ()  # shape of the last output that is a map, without the batch
    for op in leaves:
        if op is first and type(op.module) is nn.Linear:
            yield from _save_by_average(op, op.module, last_map, traced.outputs or 0)
        elif type(op.module) is nn.Conv2d:
            yield from _save_in_convolution(op, op.module)
        if len(op.output) == _MAP_AXES:
            last_map = op.output[1:]


def _find_first_linear(leaves: Sequence[Op]) -> Op | None:
    """Return the first linear layer, if it is sure which map it reads."""
    linear = [op for op in leaves if isinstance(op.module, nn.Linear)]
    if not linear or any(op.kind in _MOVED for op in leaves):
        return None
    layers = [op.module for op in linear if isinstance(op.module, nn.Linear)]
    in_a_row = all(one.out_features == other.in_features for one, other in pairwise(layers))
    return linear[0] if in_a_row else None


def _save_by_average(
    op: Op, layer: nn.Linear, last_map: tuple[int, ...], outputs: int
) -> Iterator[tuple[str, int]]:
    """Yield what a linear layer saves that reads the channels' averages instead of whole maps."""
    if not last_map or prod(last_map) != layer.in_features:
        return
    channels, *sides = last_map
    if channels < outputs:  # too few averages to tell so many classes apart
        return
    smaller = channels * layer.out_features + (layer.bias is not None) * layer.out_features
    if 2 * smaller <= op.own_parameters:
        size = "x".join(map(str, sides))
        yield (
            f"average each {size} map before layer {op.name}, which then is "
            f"nn.Linear({channels}, {layer.out_features}): {_compare(smaller, op)}",
            op.own_parameters - smaller,
        )


def _save_in_convolution(op: Op, layer: nn.Conv2d) -> Iterator[tuple[str, int]]:
    """Yield what a convolution saves that reads averages of whole maps, or is split in two."""
    kernel, channels, outputs = prod(layer.kernel_size), layer.in_channels, layer.out_channels
    if layer.groups != 1 or 1 in (kernel, channels):
        return
    bias = (layer.bias is not None) * outputs
    # One step of one place: the kernel covers the map that it reads.
    covers = (op.output[2:], layer.stride, layer.padding) == ((1, 1), (1, 1), (0, 0))
    if covers and layer.dilation == (1, 1) and channels >= outputs:
        smaller = channels * outputs + bias
        size = "x".join(map(str, layer.kernel_size))
        what = (
            f"average each {size} map before layer {op.name}, which then is "
            f"nn.Conv2d({channels}, {outputs}, 1)"
        )
    else:
        smaller = channels * (kernel + outputs) + bias
        what = (
            f"split layer {op.name} into a depthwise convolution without bias and a pointwise one"
        )
    if 2 * smaller <= op.own_parameters:
        yield f"{what}: {_compare(smaller, op)}", op.own_parameters - smaller


def _compare(smaller: int, op: Op) -> str:
    return f"{smaller:,} parameters instead of {op.own_parameters:,}"


def add_savings(
    results: Sequence[RuleResult], budget: Budget, found: ModelCost
) -> list[RuleResult]:
    """Add to the result of a net with too many parameters what would make it small enough.

    Args:
        results: The results of the budget.
        budget: The limits.
        found: The net's cost.
    """
    limit = budget.params_below
    if limit is None or found.parameters < limit:
        return list(results)
    # What the rules forbid is not advised.
    bare = replace(found, savings=()) if budget.forbids else found
    remedy = _choose_savings(limit, bare)
    return [replace(one, remedy=remedy) if one.rule == "parameters" else one for one in results]


def _choose_savings(limit: int, cost: ModelCost) -> str:
    """Return smaller layers that are enough, narrower ones, or both.

    Args:
        limit: The first number of parameters that is too many.
        cost: The net's cost.
    """
    found = cost.parameters
    chosen: list[str] = []
    for text, saved in () if _NEAR * found < limit else cost.savings:
        if found < limit or len(chosen) == _MOST_SAVINGS or saved < _WORTH * (found - limit):
            break
        chosen.append(text)
        found -= saved
    if found >= limit:
        chosen.append(_suggest_narrower((limit - 1) / found))
    return "; and also ".join(chosen)  # only all of them together are enough


def _suggest_narrower(share: float) -> str:
    """Return how much narrower each layer should be for this share of the parameters.

    Parameters grow with the number of channels, or with its square where both sides of a layer
    are narrowed.
    """
    if share < _FAR:
        return "use fewer and much narrower layers"
    least, most = (math.ceil(100 * (1 - kept)) for kept in (math.sqrt(share), share))
    shares = f"{least}%" if least == most else f"{least} to {most}%"
    return f"make the layers narrower, by about {shares}, rounded down to whole channels"
