"""The dropout rates of a training: the recipe's if it has one, else the net's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from netlet.analysis import Trace
from netlet.recipes import Recipe


@contextmanager
def override_dropout(net: nn.Module, recipe: Recipe) -> Iterator[None]:
    """Set the rate of all dropout layers to the recipe's within the block, if it has one."""
    rates = [(layer, layer.p) for _, layer in _list_layers(net)]
    for layer, own in rates:
        layer.p = own if recipe.dropout is None else recipe.dropout
    try:
        yield
    finally:
        for layer, own in rates:
            layer.p = own


def describe_dropout(net: nn.Module, recipe: Recipe, traced: Trace | None = None) -> str:
    """Return which dropout rates of a net a recipe changes, in words.

    Args:
        net: With its own rates.
        recipe: The recipe that is about to train it.
        traced: The net's trace, which also shows dropout that is a function.

    Returns:
        For instance ``dropout 0.05 in all 4 layers (the net's own: 0.1)``, and which dropout keeps
        its rate, since it is not a layer of its own; empty if the recipe asks for no rate, or for
        the one that the net has.
    """
    rate = recipe.dropout
    if rate is None:
        return ""
    layers = [(path, layer.p) for path, layer in _list_layers(net)]
    changed = [(path, own) for path, own in layers if own != rate]
    kept = _describe_kept(net, traced)
    if not changed:
        if layers or not rate:
            return ""
        return f"dropout {rate:g} changes nothing: {kept or 'the net has no dropout layer'}"
    every = len(changed) == len(layers)
    own = _name_own_rates(changed, every=every)
    text = f"dropout {rate:g} in {_name_layers(changed, len(layers))} {own}"
    return f"{text}; {kept}" if kept else text


def _list_layers(net: nn.Module) -> list[tuple[str, _DropoutNd]]:
    return [
        (path or "(net)", module)
        for path, module in net.named_modules()
        if isinstance(module, _DropoutNd)
    ]


def _describe_kept(net: nn.Module, traced: Trace | None) -> str:
    """Return which dropout of a net a recipe leaves alone: functions, and parts of other layers."""
    functions = _find_functions(traced) if traced else []
    found = [f"F.dropout in {', '.join(functions)}"] if functions else []
    found += [
        f"dropout inside {path or '(net)'} ({type(module).__name__})"
        for path, module in net.named_modules()
        if isinstance(module, nn.RNNBase | nn.MultiheadAttention) and module.dropout
    ]
    if not found:
        return ""
    return f"{' and '.join(found)} {'keeps its rate' if len(found) == 1 else 'keep their rates'}"


def _find_functions(traced: Trace) -> list[str]:
    """Return the modules that call dropout as a function, each once."""
    found = [
        op.name
        for op in traced.ops
        if op.module is not None
        and not isinstance(op.module, _DropoutNd)
        and "dropout" in op.functions
    ]
    return list(dict.fromkeys(found))


def _name_layers(changed: Sequence[tuple[str, float]], layers: int) -> str:
    if layers == 1:
        return f"layer {changed[0][0]}"
    if len(changed) == layers:
        return f"all {layers} layers"
    return f"{len(changed)} of {layers} layers"


def _name_own_rates(changed: Sequence[tuple[str, float]], *, every: bool) -> str:
    """Return ``(the net's own: 0.1)``, or which layers had which rates if that is not clear."""
    layers_by_rate: dict[float, list[str]] = {}
    for path, own in changed:
        layers_by_rate.setdefault(own, []).append(path)
    if every and len(layers_by_rate) == 1:
        return f"(the net's own: {changed[0][1]:g})"
    rates = [f"{own:g} in {', '.join(paths)}" for own, paths in layers_by_rate.items()]
    return f"(the net's own: {'; '.join(rates)})"
