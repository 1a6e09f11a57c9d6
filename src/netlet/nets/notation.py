"""Nets in one line of notation, such as ``"8 8 P 12 14 16 16"``, for quick trials and for searches.

- ``16`` is a 3x3 convolution to 16 channels with batch norm and ReLU. ``k5`` after it sets the
  kernel size, ``s2`` the stride, ``p`` adds padding that keeps the size.
- ``x16`` is the same with a 1x1 kernel.
- ``d16`` is a depthwise convolution, a 1x1 convolution, then one batch norm and one ReLU.
- ``m16`` is the same with batch norm and ReLU after each convolution, as in MobileNet.
- ``b`` after any of these: batch norm has a bias and no scale.
- ``P`` is a 2x2 max pooling.

No convolution has a bias. A global average and a 1x1 convolution to the classes are added at the
end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from torch import nn

from netlet.errors import NetError
from netlet.nets.blocks import MNIST_SHAPE, Net, UnscaledBatchNorm2d, pooled_logits
from netlet.nets.registry import NetEntry

_LAYER = re.compile(
    r"(?P<kind>[xdm]?)(?P<out>[1-9]\d{0,8})(?:k(?P<kernel>[1-9]\d?))?(?:s(?P<stride>[1-9]))?(?P<padded>p?)"
    r"(?P<unscaled>b?)"
)
_MAX_LAYERS = 200
_MAX_VALUES = 1 << 24  # of a feature map
_MAX_WEIGHTS = 1 << 24  # of the kernels' pairs of channels
_GRAMMAR = "a layer is 16, 16k5s2pb, x16, d16p, m16b or P"


def is_notation(name: str) -> bool:
    """Return whether a name is notation: several words, of which the first is a layer."""
    words = name.split()
    return len(words) > 1 and _LAYER.fullmatch(words[0]) is not None


def parse_notation(notation: str) -> NetEntry:
    """Return the net for a line of notation.

    Raises:
        NetError: A word is not a layer. The net's builder raises it if a feature map becomes empty
            or the input is not an image.
    """
    words = notation.split()
    if len(words) > _MAX_LAYERS:
        raise NetError(
            f"the notation {words[0]} {words[1]} ... has {len(words):,} layers; "
            f"write at most {_MAX_LAYERS}"
        )
    for word in words:
        if word != "P" and not _LAYER.fullmatch(word):
            raise NetError(f"{word!r} in {notation!r} is not a layer; {_GRAMMAR}")

    def builder(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
        net, size, weights = Net(), tuple(shape), 0
        if len(size) != 3:
            found = ",".join(map(str, size))
            raise NetError(
                f"{notation!r} takes images, found the shape {found};"
                " give channels, height, width, like 1,28,28"
            )
        for number, word in enumerate(words):
            before = size
            size = _output_size(word, size)
            weights += before[0] * size[0]
            if min(size[1:]) < 1:
                raise NetError(
                    f"layer {number + 1} of {notation!r}, {word}, has an empty feature map; "
                    "add padding or remove a pooling"
                )
            if prod(size) > _MAX_VALUES or weights > _MAX_WEIGHTS:
                raise NetError(
                    f"layer {number + 1} of {notation!r}, {word}, is too large for netlet, whose "
                    "nets are tiny; give it fewer channels or the net a smaller image"
                )
            layer = _build_layer(word, before)
            net.add_module(f"{number + 1}_{word}", layer)
        net.add_module("head", pooled_logits(size[0], classes))
        return net

    return NetEntry(" ".join(words), builder, "notation", "built from notation")


def _build_layer(word: str, size: tuple[int, ...]) -> nn.Module:
    """Build the layer for a feature map ``C H W``."""
    found = _LAYER.fullmatch(word)
    if not found:
        return nn.MaxPool2d(2)
    channels, out = size[0], int(found["out"])
    kernel, stride, padding = _window(found)
    norm = UnscaledBatchNorm2d if found["unscaled"] else nn.BatchNorm2d
    if found["kind"] in ("d", "m"):
        depthwise: nn.Module = nn.Conv2d(
            channels, channels, kernel, stride, padding, groups=channels, bias=False
        )
        between = [norm(channels), nn.ReLU()] if found["kind"] == "m" else []
        convolutions = [depthwise, *between, nn.Conv2d(channels, out, 1, bias=False)]
    else:
        convolutions = [nn.Conv2d(channels, out, kernel, stride, padding, bias=False)]
    return nn.Sequential(*convolutions, norm(out), nn.ReLU())


def _output_size(word: str, size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape ``C H W`` that a layer makes of another."""
    channels, h, w = size
    found = _LAYER.fullmatch(word)
    if not found:
        return channels, h // 2, w // 2
    kernel, stride, padding = _window(found)
    h, w = ((side + 2 * padding - kernel) // stride + 1 for side in (h, w))
    return int(found["out"]), h, w


def _window(found: re.Match[str]) -> tuple[int, int, int]:
    """Return the kernel size, stride and padding of a layer."""
    kernel = int(found["kernel"] or (1 if found["kind"] == "x" else 3))
    return kernel, int(found["stride"] or 1), kernel // 2 if found["padded"] else 0
