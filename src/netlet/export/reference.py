"""Running a graph by PyTorch: what calibration looks at, and the witness that no export shares code with."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from netlet.export.graph import (
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    Graph,
    Layer,
    Padding,
    Pooling,
    Product,
    Sum,
)

_IMAGES_AT_ONCE = 500


def logits(graph: Graph, images: torch.Tensor) -> torch.Tensor:
    """What a graph gives.

    Args:
        graph: Any.
        images: uint8, ``N C H W``.

    Returns:
        float32, ``N K``.
    """
    return torch.cat([maps(graph, chunk)[-1].flatten(1) for chunk in images.split(_IMAGES_AT_ONCE)])


def maps(
    graph: Graph, images: torch.Tensor, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """All maps of a graph, the images first: ``N C H W`` each.

    Args:
        graph: Any.
        images: uint8, ``N C H W``.
        dtype: To compute in.
    """
    found = [images.to(dtype)]
    with torch.inference_mode():
        for layer in graph.layers:
            found.append(_given(layer, [found[number] for number in layer.inputs]))
    return found


def _given(layer: Layer, read: list[torch.Tensor]) -> torch.Tensor:
    x = read[0]
    if isinstance(layer, Convolution):
        weight, bias = (
            torch.from_numpy(values).to(x.dtype) for values in (layer.weight, layer.bias)
        )
        out = F.conv2d(
            _padded(x, layer.padding), weight, bias, layer.stride, 0, layer.dilation, layer.groups
        )
        return _clamped(out, layer.clamp)
    if isinstance(layer, Pooling):
        if layer.how == "max":
            return F.max_pool2d(
                _padded(x, layer.padding, float("-inf")), layer.window, layer.stride
            )
        area = layer.window[0] * layer.window[1]
        total = F.avg_pool2d(_padded(x, layer.padding), layer.window, layer.stride) * area
        if layer.counts_padding:
            return total / area
        ones = _padded(torch.ones_like(x[:1, :1]), layer.padding)
        return total / (F.avg_pool2d(ones, layer.window, layer.stride) * area)
    if isinstance(layer, Sum):
        return _clamped(x + read[1], layer.clamp)
    if isinstance(layer, Product):
        return x * read[1]
    if isinstance(layer, Concatenation):
        return torch.cat(read, 1)
    assert isinstance(layer, Activation)
    return _function(layer, x)


def _function(layer: Activation, x: torch.Tensor) -> torch.Tensor:
    if layer.function == "clamp":
        return _clamped(x, layer.bounds)
    if layer.function in ("leaky_relu", "elu"):
        return getattr(F, layer.function)(x, layer.parameter)  # type: ignore[no-any-return]
    if layer.function == "gelu_tanh":
        return F.gelu(x, approximate="tanh")
    return getattr(F, layer.function)(x)  # type: ignore[no-any-return]


def _clamped(x: torch.Tensor, bounds: Clamp) -> torch.Tensor:
    return x.clamp(*bounds) if bounds != (float("-inf"), float("inf")) else x


def _padded(x: torch.Tensor, padding: Padding, value: float = 0.0) -> torch.Tensor:
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x
