"""Nets written in one line, ``"8 8 P 12 14 16 16"``: what a person tries out and a search draws from.

A number is a 3x3 convolution with so many channels, batch norm and ReLU; ``k5`` gives it another
kernel, ``s2`` a stride, ``p`` padding that keeps the size. ``x16`` is a 1x1; ``d16`` a depthwise
convolution and a 1x1 after it, with one norm and one ReLU at the end, ``m16`` (as in MobileNet)
with both after either; ``P`` a 2x2 max pooling. No convolution has a bias. A global average and a
1x1 to the classes follow of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from netlet.errors import NetError
from netlet.nets.blocks import MNIST_SHAPE, Net, pooled_logits
from netlet.nets.registry import NetEntry

_LAYER = re.compile(
    r"(?P<kind>[xdm]?)(?P<out>[1-9]\d*)(?:k(?P<kernel>[1-9]\d?))?(?:s(?P<stride>[1-9]))?(?P<padded>p?)"
)
_GRAMMAR = "a layer is 16, 16k5s2p, x16, d16p, m16 or P"


def is_notation(name: str) -> bool:
    """Whether a name is a net written down: more than one word, the first of them a layer."""
    words = name.split()
    return len(words) > 1 and _LAYER.fullmatch(words[0]) is not None


def parse_notation(notation: str) -> NetEntry:
    """The net that a line stands for.

    Raises:
        NetError: A word is no layer; or, once it is built, nothing is left of the map.
    """
    words = notation.split()
    for word in words:
        if word != "P" and not _LAYER.fullmatch(word):
            raise NetError(f"{word!r} in {notation!r} is no layer; {_GRAMMAR}")

    def builder(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
        net, size = Net(), tuple(shape)
        for number, word in enumerate(words):
            layer, size = _layer(word, size)
            if min(size[1:]) < 1:
                raise NetError(
                    f"layer {number + 1} of {notation!r}, {word}, leaves nothing of its map; pad or pool less"
                )
            net.add_module(f"{number + 1}_{word}", layer)
        net.add_module("head", pooled_logits(size[0], classes))
        return net

    return NetEntry(" ".join(words), builder, "notation", "written in one line")


def _layer(word: str, size: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
    """A layer for maps ``C H W``, and what it makes of them."""
    channels, h, w = size
    found = _LAYER.fullmatch(word)
    if not found:
        return nn.MaxPool2d(2), (channels, h // 2, w // 2)
    out, stride = int(found["out"]), int(found["stride"] or 1)
    kernel = int(found["kernel"] or (1 if found["kind"] == "x" else 3))
    padding = kernel // 2 if found["padded"] else 0
    if found["kind"] in ("d", "m"):
        apart: nn.Module = nn.Conv2d(
            channels, channels, kernel, stride, padding, groups=channels, bias=False
        )
        between = [nn.BatchNorm2d(channels), nn.ReLU()] if found["kind"] == "m" else []
        convolutions = [apart, *between, nn.Conv2d(channels, out, 1, bias=False)]
    else:
        convolutions = [nn.Conv2d(channels, out, kernel, stride, padding, bias=False)]
    h, w = ((side + 2 * padding - kernel) // stride + 1 for side in (h, w))
    return nn.Sequential(*convolutions, nn.BatchNorm2d(out), nn.ReLU()), (out, h, w)
