"""PyTorch reference of a graph: it supplies calibration ranges and checks every other export."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

from netlet.export.inference_graph import (
    UNBOUNDED,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    FunctionName,
    InferenceGraph,
    Layer,
    Padding,
    Pooling,
    Product,
    Sum,
)
from netlet.export.map_layers import (
    ChannelSlope,
    Constant,
    Normalization,
    Rearrangement,
    Resampling,
)

_IMAGES_AT_ONCE = 500


def compute_logits(graph: InferenceGraph, images: torch.Tensor) -> torch.Tensor:
    """Run a graph.

    Args:
        graph: The graph.
        images: uint8, ``N C H W``.

    Returns:
        Logits, float32 ``N K``.
    """
    batches = images.split(_IMAGES_AT_ONCE)
    return torch.cat([compute_maps(graph, batch)[-1].flatten(1) for batch in batches])


def compute_maps(
    graph: InferenceGraph, images: torch.Tensor, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """Return all feature maps of a graph, ``N C H W`` each, the images first.

    Args:
        graph: The graph.
        images: uint8, ``N C H W``.
        dtype: To compute in.
    """
    return compute_maps_from(graph, [images.to(dtype) - graph.zero_level], 0)


def compute_maps_from(
    graph: InferenceGraph, maps: list[torch.Tensor], index: int
) -> list[torch.Tensor]:
    """Return all feature maps, of which the first are given.

    Args:
        graph: The graph.
        maps: The images, less the graph's zero level, and the outputs of the layers before
            ``index``; further ones are ignored.
        index: Of the first layer to run.
    """
    maps = maps[: index + 1]
    with torch.inference_mode():
        for layer in graph.layers[index:]:
            if isinstance(layer, Constant):
                values = torch.from_numpy(layer.values).to(maps[0].dtype)
                maps.append(values.expand(len(maps[0]), *layer.shape))
                continue
            maps.append(_run_layer(layer, [maps[number] for number in layer.inputs]))
    return maps


def _run_layer(layer: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
    x = inputs[0]
    if isinstance(layer, Convolution):
        weight = torch.from_numpy(layer.weight).to(x.dtype)
        bias = torch.from_numpy(layer.bias).to(x.dtype)
        padded = _pad(x, layer.padding)
        out = F.conv2d(padded, weight, bias, layer.stride, 0, layer.dilation, layer.groups)
        return _clamp(out, layer.clamp)
    if isinstance(layer, Pooling):
        return _run_pooling(layer, x)
    if isinstance(layer, Sum):
        return _clamp(x + inputs[1], layer.clamp)
    if isinstance(layer, Product):
        return x * inputs[1]
    if isinstance(layer, Concatenation):
        return torch.cat(inputs, 1)
    if isinstance(layer, Activation):
        return FUNCTIONS[layer.function](x, layer)
    return _run_map_layer(layer, x)


def _run_map_layer(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    if isinstance(layer, Rearrangement):
        places = torch.from_numpy(layer.places((x.shape[1], x.shape[2], x.shape[3])))
        found = x.flatten(1)[:, places.clamp(min=0)]
        return torch.where(places < 0, torch.tensor(layer.fill, dtype=x.dtype), found)
    if isinstance(layer, Resampling):
        down, across = (torch.from_numpy(m).to(x.dtype) for m in (layer.down, layer.across))
        return down @ x @ across.T
    if isinstance(layer, ChannelSlope):
        slopes = torch.from_numpy(layer.slopes).to(x.dtype).reshape(-1, 1, 1)
        return torch.where(x < 0, slopes * x, x)
    assert isinstance(layer, Normalization)
    grouped = x.reshape(len(x), layer.groups, -1, *x.shape[2:])
    dims = (2,) if layer.per_pixel else (2, 3, 4)
    centered = grouped - grouped.mean(dims, keepdim=True)
    variance = centered.square().mean(dims, keepdim=True)
    return (centered / (variance + layer.eps).sqrt()).reshape(x.shape)


def _run_pooling(layer: Pooling, x: torch.Tensor) -> torch.Tensor:
    if layer.mode == "max":
        padded = _pad(x, layer.padding, float("-inf"))
        return F.max_pool2d(padded, layer.window, layer.stride)
    area = layer.window[0] * layer.window[1]
    total = F.avg_pool2d(_pad(x, layer.padding), layer.window, layer.stride) * area
    if layer.count_include_pad:
        return total / area
    ones = _pad(torch.ones_like(x[:1, :1]), layer.padding)
    return total / (F.avg_pool2d(ones, layer.window, layer.stride) * area)


def _clamp(x: torch.Tensor, bounds: Clamp) -> torch.Tensor:
    return x.clamp(*bounds) if bounds != UNBOUNDED else x


def _pad(x: torch.Tensor, padding: Padding, value: float = 0.0) -> torch.Tensor:
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


FUNCTIONS: Mapping[FunctionName, Callable[[torch.Tensor, Activation], torch.Tensor]] = {
    "clamp": lambda x, layer: _clamp(x, layer.bounds),
    "leaky_relu": lambda x, layer: F.leaky_relu(x, layer.parameter),
    "abs": lambda x, layer: x.abs(),
    "elu": lambda x, layer: F.elu(x, layer.parameter),
    "exp": lambda x, layer: x.exp(),
    "hardswish": lambda x, layer: F.hardswish(x),
    "hardsigmoid": lambda x, layer: F.hardsigmoid(x),
    "sigmoid": lambda x, layer: x.sigmoid(),
    "tanh": lambda x, layer: x.tanh(),
    "silu": lambda x, layer: F.silu(x),
    "mish": lambda x, layer: F.mish(x),
    "softplus": lambda x, layer: F.softplus(x),
    "gelu": lambda x, layer: F.gelu(x),
    "gelu_tanh": lambda x, layer: F.gelu(x, approximate="tanh"),
}
