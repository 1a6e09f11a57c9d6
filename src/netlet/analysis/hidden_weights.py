"""Weights that a net reads but has not registered: where they are, how many, and the remedy."""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from netlet.analysis.labels import Source
from netlet.analysis.provenance import Provenance
from netlet.analysis.readings import FEW_NUMBERS, Reading
from netlet.budgets import FIXED_WEIGHTS
from netlet.graph.tensors import memory_key
from netlet.nets.observers import is_plain_observer
from netlet.nets.registered import list_attributes, list_buffers, list_modules
from netlet.text import format_shape

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_LIST_OF_TENSORS = "use nn.ParameterList"
_MAX_OBJECTS, _MAX_DEPTH = 20_000, 8
_BY_CONTAINER: Mapping[type, str] = {
    list: "nn.ModuleList",
    tuple: "nn.ModuleList",
    dict: "nn.ModuleDict",
}


@dataclass(frozen=True)
class HiddenWeights:
    """Numbers that a net computes with and that are not parameters of it.

    Attributes:
        name: Where they are, or which module reads them.
        numbers: How many; 0 if that is unknown.
        remedy: What to do about it.
        saved: Whether they are in a buffer, and thus in the file with the weights.
        random: Whether they are drawn anew in each run.
    """

    name: str
    numbers: int
    remedy: str
    saved: bool = False
    random: bool = False


@dataclass(frozen=True)
class _Place:
    name: str
    remedy: str
    holder: nn.Module | None  # the module that is not registered


def find_hidden_weights(
    net: nn.Module, provenance: Provenance, known: Collection[str] = ()
) -> tuple[HiddenWeights, ...]:
    """Return the weights of a net that are not registered as parameters, largest first.

    Args:
        net: It has run.
        provenance: The provenance of that run.
        known: Names of buffers that are no weights.
    """
    places = _locate(net) if provenance.readings else {}
    buffers = {id(tensor): name for name, tensor in list_buffers(net)}
    found: list[HiddenWeights] = []
    few: list[HiddenWeights] = []
    observers = {path for path, module in list_modules(net) if is_plain_observer(module)}
    seen = [reading for reading in provenance.readings if reading.place not in observers]
    for source, readings in _group(seen).items():
        place = places.get(memory_key(source.tensor)) if source.tensor is not None else None
        if _are_statistics(source, readings, place):
            continue
        numbers = min(source.numbers, sum(reading.numbers for reading in readings))
        if source.kind == "buffer" and max(reading.numbers for reading in readings) == 1:
            continue  # a scale, such as that of spectral norm
        weights = _describe(source, readings[0], place, buffers, numbers)
        if weights.saved and weights.name in known:
            continue
        strict = any(reading.as_weight for reading in readings)
        (found if strict or numbers > FEW_NUMBERS else few).append(weights)
    if sum(weights.numbers for weights in few) > FEW_NUMBERS:
        found += few
    found = sorted(_merge(found), key=lambda weights: -weights.numbers)
    found += [
        HiddenWeights(reason, 0, "compute with PyTorch's operations")
        for reason in provenance.outside.reasons
    ]
    return tuple(found)


def _merge(found: Sequence[HiddenWeights]) -> Iterator[HiddenWeights]:
    """Yield one entry for those of one name, such as weight and bias of a layer made in forward."""
    numbers = Counter[HiddenWeights]()
    for weights in found:
        numbers[replace(weights, numbers=0)] += weights.numbers
    for weights, sum_of_all in numbers.items():
        yield replace(weights, numbers=sum_of_all)


def _group(readings: Sequence[Reading]) -> dict[Source, list[Reading]]:
    groups: dict[Source, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.source, []).append(reading)
    return groups


def _are_statistics(source: Source, readings: Sequence[Reading], place: _Place | None) -> bool:
    """Return whether these are the running statistics of a batch norm, which are not weights."""
    if not all("batch_norm" in reading.operation for reading in readings):
        return False
    if source.kind == "buffer":
        return True
    if place is None or place.holder is None:
        return False
    own = list_attributes(place.holder).get("_buffers", {}).values()
    return any(tensor is source.tensor for tensor in own)


def _describe(
    source: Source,
    reading: Reading,
    place: _Place | None,
    buffers: dict[int, str],
    numbers: int,
) -> HiddenWeights:
    where = "" if reading.place == "(net)" else f" of {reading.place}"
    if source.kind == "buffer":
        name = buffers.get(id(source.tensor), "buffer")
        return HiddenWeights(name, numbers, FIXED_WEIGHTS, saved=True)
    if source.kind == "number":
        return HiddenWeights("Python numbers in forward", numbers, "use nn.Parameter")
    remedy = "use nn.Parameter" if source.tensor is None else _remedy(source.tensor)
    if source.kind == "random":
        remedy = "create their layer in __init__, or use nn.Parameter"
        return HiddenWeights(f"random numbers made in forward{where}", numbers, remedy, random=True)
    if place is not None:
        return HiddenWeights(place.name, numbers, place.remedy)
    shape = "" if source.tensor is None else f" of {format_shape(tuple(source.tensor.shape))}"
    kind = "packed numbers" if source.kind == "packed" else "tensor"
    what = f"{kind}{shape} read by {reading.operation}{where}"
    return HiddenWeights(what, numbers, remedy)


def _locate(net: nn.Module) -> dict[int, _Place]:
    """Return where unregistered tensors are that a net can reach from its attributes."""
    found: dict[int, _Place] = {}
    seen = {id(module) for _, module in list_modules(net)}
    for path, module in list_modules(net):
        prefix = f"{path}." if path else ""
        for name, value in _reachable(module):
            _visit(value, _Place(f"{prefix}{name}", "", None), found, seen, 0)
    return found


def _reachable(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield a module's own attributes, those of its class, and what its methods can see."""
    for name, value in list_attributes(module).items():
        if name not in _REGISTRIES:
            yield name, value
    for base in type(module).__mro__:
        if base.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for name, value in vars(base).items():
            if isinstance(value, types.FunctionType):
                yield from _visible(value)
            else:
                yield name, value


def _visible(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the values that a function's body can see by name: its closure and its globals."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    for name, cell in cells:
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _visit(value: Any, place: _Place, found: dict[int, _Place], seen: set[int], depth: int) -> None:
    if depth > _MAX_DEPTH or len(seen) > _MAX_OBJECTS:
        return
    if isinstance(value, torch.Tensor):
        remedy = place.remedy or "use nn.Parameter"
        if remedy in ("use nn.Parameter", _LIST_OF_TENSORS):
            remedy = _remedy(value, remedy)
        found.setdefault(memory_key(value), _Place(place.name, remedy, place.holder))
        return
    if id(value) in seen:
        return
    if isinstance(value, nn.Module):
        seen.add(id(value))
        remedy = place.remedy or "make it an attribute of the net"
        attributes = list_attributes(value)
        for registry in _REGISTRIES:
            for name, child in attributes.get(registry, {}).items():
                inner = _Place(f"{place.name}.{name}", remedy, value)
                _visit(child, inner, found, seen, depth + 1)
        return
    if type(value) in _BY_CONTAINER:
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        modules = any(isinstance(v, nn.Module) for v in _values(value))
        remedy = f"use {_BY_CONTAINER[type(value)]}" if modules else _LIST_OF_TENSORS
        for key, child in list(items):
            inner = _Place(f"{place.name}[{key!r}]", place.remedy or remedy, place.holder)
            _visit(child, inner, found, seen, depth + 1)


def _remedy(tensor: torch.Tensor, as_parameter: str = "use nn.Parameter") -> str:
    """Return how to register a tensor; one of integers or truth values cannot be a parameter."""
    has_gradient = tensor.is_floating_point() or tensor.is_complex()
    return f"{as_parameter}, or register_buffer if fixed" if has_gradient else "use register_buffer"


def _values(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value
