"""Which layer costs an int8 export most, and why."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.export import reference
from netlet.export.calibration import Channels, limit_constant_inputs, measure_channels
from netlet.export.inference_graph import Convolution, InferenceGraph, Layer
from netlet.export.int8_rounding import Rounding
from netlet.export.quantize_maps import only_chooses
from netlet.export.quantize_weights import QuantParams
from netlet.export.zero_level import fold_normalization

_IMAGES = 100
_MOST = 0.5  # of the error, from which one layer is said to be the cause
_UNEVEN = (
    8.0  # ratio of two numbers on one scale, from which the smaller has lost three of eight bits
)
_STEEP = 2.0  # times larger than after rounding: so are the largest weights of steep channels only
_CONSTANT = 1e-6  # of its values: a channel that varies by no more does so by rounding in float32


@dataclass(frozen=True)
class _Suspect:
    """The weights or the output of a layer.

    Attributes:
        index: Of the layer.
        params: Of its output; None: the weights are the suspect.
        graph: The graph, in which only what belongs to the suspect is changed.
        maps: The feature maps without these changes.
    """

    index: int
    params: QuantParams | None
    graph: InferenceGraph
    maps: list[torch.Tensor]

    @property
    def part(self) -> str:
        return "output" if self.params else "weights"

    @functools.cached_property
    def error(self) -> float:
        """The sum of the squared errors of the logits if it alone is quantized."""
        return self.find_error()

    def find_error(self, channels: NDArray[np.bool_] | None = None) -> float:
        """Return that sum if only these channels of the output are rounded; None: all."""
        found = reference.compute_maps_from(self.graph, self.maps, self.index)
        if self.params:
            exact = found[self.index + 1]
            rounded = self.params.round(exact)
            if channels is not None:
                rounded = torch.where(torch.from_numpy(channels)[:, None, None], rounded, exact)
            before = [*self.maps[: self.index + 1], rounded]
            found = reference.compute_maps_from(self.graph, before, self.index + 1)
        return float((found[-1] - self.maps[-1]).double().square().sum())


def describe_int8_loss(graph: InferenceGraph, images: torch.Tensor, rounding: Rounding) -> str:
    """Return which layer costs most and the likely cause, as a clause of a message.

    Each layer is quantized alone, its weights and its output separately. Where a channel varies by
    less than a unit of the output, the weights that read it are clipped, which is part of what the
    output costs.

    Args:
        graph: A folded graph.
        images: The calibration images.
        rounding: What the export makes of the graph.
    """
    graph = fold_normalization(graph)
    channels = measure_channels(graph, images)
    limited = limit_constant_inputs(graph, channels)
    suspects = _list_suspects(graph, limited, images[:_IMAGES], rounding)
    total = sum(suspect.error for suspect in suspects)
    if not total:
        return ""
    worst = max(suspects, key=lambda suspect: suspect.error)
    share = worst.error / total
    layer = graph.layers[worst.index]
    # The input normalization is no layer of the net's own.
    called = layer.name if layer.sources != (0,) else "the input normalization"
    name = f"the {worst.part} of {called}"
    if not worst.params:
        layers = [each.layers[worst.index] for each in (graph, limited, rounding.graph)]
        cause = _find_cause_of_weights(*layers)
    elif worst.index + 1 < len(graph.layers):
        ratio = _describe_ratio(worst, channels[worst.index + 1])
        cause = f"its channels share one scale, and {ratio}" if ratio else ""
    else:
        name = "the logits"
        ratio = _describe_ratio(worst, channels[-1])
        cause = f"one step of their 8 bits is {worst.params.scale:.3g}"
        cause += f", and {ratio}" if ratio else ""
    cause = f": {cause}" if cause else ""
    if share < _MOST:
        return f"many layers contribute to the error, {name} most ({share:.0%}{cause})"
    return f"{share:.0%} of the error comes from {name}{cause}"


def _list_suspects(
    graph: InferenceGraph, limited: InferenceGraph, images: torch.Tensor, rounding: Rounding
) -> list[_Suspect]:
    maps, limited_maps = (reference.compute_maps(each, images) for each in (graph, limited))
    suspects = []
    for index, (layer, rounded) in enumerate(zip(graph.layers, rounding.graph.layers, strict=True)):
        if isinstance(layer, Convolution):
            changed = _replace_layers(limited, {index: rounded})
            suspects.append(_Suspect(index, None, changed, limited_maps))
        params = rounding.params[index + 1]
        # What only chooses among rounded values rounds nothing itself.
        chosen = only_chooses(layer) and params == rounding.params[layer.inputs[0]]
        if params and not chosen:
            readers = {each: limited.layers[each] for each in _find_readers(graph, index + 1)}
            suspects.append(_Suspect(index, params, _replace_layers(graph, readers), maps))
    return suspects


def _find_readers(graph: InferenceGraph, number: int) -> Iterator[int]:
    """Yield the indices of the layers that read the values of a feature map."""
    for index in graph.readers(number):
        yield index
        if only_chooses(graph.layers[index]):
            yield from _find_readers(graph, index + 1)


def _replace_layers(graph: InferenceGraph, changed: Mapping[int, Layer]) -> InferenceGraph:
    layers = (changed.get(index, layer) for index, layer in enumerate(graph.layers))
    return dataclasses.replace(graph, layers=tuple(layers))


def _find_cause_of_weights(layer: Layer, limited: Layer, rounded: Layer) -> str:
    """Return the likely cause in words; empty if none is known.

    Args:
        layer: The net's own layer.
        limited: The layer without weights that are clipped.
        rounded: The layer that the export computes.
    """
    before, after = _find_largest(limited), _find_largest(rounded)
    steepness = float((before / np.where(after > 0, after, np.inf)).max())
    if steepness > _STEEP:
        return (
            "its channels share one scale, which makes the weights of one channel "
            f"{steepness:,.0f} times smaller"
        )
    if _find_ratio(limited) < _UNEVEN:
        return ""
    return (
        "the weights of a channel share one scale, and the largest is "
        f"{_find_ratio(layer):,.0f} times the median"
    )


def _find_largest(layer: Layer) -> NDArray[np.float64]:
    """Return the largest weight of each channel."""
    assert isinstance(layer, Convolution)
    largest: NDArray[np.float64] = np.abs(layer.weight.astype(np.float64)).max((1, 2, 3))
    return largest


def _find_ratio(layer: Layer) -> float:
    """Return the largest ratio of a channel's largest weight to the median of those but zeros."""
    assert isinstance(layer, Convolution)
    rows = np.abs(layer.weight).reshape(len(layer.weight), -1)
    return max((float(row.max() / np.median(row[row > 0])) for row in rows if row.any()), default=1)


def _describe_ratio(suspect: _Suspect, channels: Channels) -> str:
    """Return how far the channels of an output differ in size; empty if that is not the cause.

    Args:
        suspect: The output of a layer.
        channels: Of this output.
    """
    reach = np.maximum(np.abs(channels.low), np.abs(channels.high))
    varies = channels.high - channels.low > _CONSTANT * reach
    small = varies & (reach * _UNEVEN <= reach.max())
    # Small channels are only the cause if the logits depend on them.
    if not small.any() or suspect.find_error(small) < _MOST * suspect.error:
        return ""
    ratio = reach.max() / reach[small].min()
    return f"the values of one are {ratio:,.0f} times those of another"
