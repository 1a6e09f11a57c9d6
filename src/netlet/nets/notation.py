"""Nets in one line of notation, such as ``"8 8 P 12 14 16 16"``, for quick trials and for searches.

- ``16`` is a 3x3 convolution to 16 channels with batch norm and ReLU. ``k5`` after it sets the
  kernel size, ``s2`` the stride, ``p`` adds padding that keeps the size.
- ``x16`` is the same with a 1x1 kernel.
- ``d16`` is a depthwise convolution, a 1x1 convolution, then one batch norm and one ReLU.
- ``m16`` is the same with batch norm and ReLU after each convolution, as in MobileNet.
- ``c8`` is a 3x3 convolution to 8 channels with batch norm; the ReLU of them and the ReLU of their
  negatives are 16 channels (CReLU).
- ``b`` after any of these: batch norm has a bias and no scale.
- ``l`` or ``m`` after that: leaky ReLU, with a slope of 0.2 below zero, or Mish takes the place of
  ReLU.
- ``*4`` after that: the convolutions are used four times, each time with norms of their own.
- ``+`` after that: the layer's input is joined to its output along the channels; the center of it
  if the output is smaller.
- ``P`` is a 2x2 max pooling.

No convolution has a bias. A global average and a 1x1 convolution to the classes are added at the
end. With ``W`` after the layers, a weighted sum takes the place of the average: a weight for each
place of the map, shared by all channels. With ``S`` as the last word, the logits are averaged over
shifts of the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from torch import nn

from netlet.errors import NetError
from netlet.nets.blocks import (
    MNIST_SHAPE,
    CReLU,
    JoinedInput,
    Net,
    Repeated,
    UnscaledBatchNorm2d,
    pooled_logits,
    weighted_logits,
)
from netlet.nets.registry import NetEntry
from netlet.nets.shift_average import ShiftAverage

Size = tuple[int, int, int]  # C H W
_Number = TypeVar("_Number", int, float)

_LAYER = re.compile(
    r"(?P<kind>[xdmc]?)(?P<out>[1-9]\d{0,8})(?:k(?P<kernel>[1-9]\d?))?(?:s(?P<stride>[1-9]))?(?P<padded>p?)"
    r"(?P<unscaled>b?)(?P<function>[lm]?)(?:\*(?P<uses>[1-9]\d?))?(?P<joined>\+?)"
)
_FUNCTIONS: Mapping[str, Callable[[], nn.Module]] = {
    "": nn.ReLU,
    "l": lambda: nn.LeakyReLU(0.2),
    "m": nn.Mish,
}
_MAX_LAYERS = 200
_MAX_VALUES = 1 << 24  # of a feature map
_MAX_WEIGHTS = 1 << 24  # of the kernels' pairs of channels
_GRAMMAR = (
    "write a number of channels (16), x16 (1x1), d16 (depthwise separable) or P (max pooling); "
    "docs/notation.md lists all words"
)


@dataclass(frozen=True)
class Layer:
    """A word of the notation that is a layer with convolutions.

    Attributes:
        word: As it is written.
        kind: Its letter; empty for a plain convolution.
        out: The channels that its convolutions end in.
        kernel: Rows and columns of the window.
        stride: From one window to the next.
        padding: On each side.
        unscaled: Whether its norms have no scale.
        function: The letter of its activation function; empty for ReLU.
        uses: How often its convolutions are used.
        joined: Whether its input is joined to its output.
    """

    word: str
    kind: str
    out: int
    kernel: int
    stride: int
    padding: int
    unscaled: bool
    function: str
    uses: int
    joined: bool

    def find_size(self, size: Size) -> Size:
        """Return the size of the map that the layer makes of another."""
        channels, h, w = size
        for _ in range(self.uses):
            h, w = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in (h, w))
        return self.count_channels(self.out, channels), h, w

    def count_channels(self, out: _Number, channels: _Number) -> _Number:
        """Return the channels of its output, or their ratio.

        Args:
            out: The channels that the convolutions of such a layer end in, or their ratio.
            channels: Those that it reads, or their ratio.
        """
        made = 2 * out if self.kind == "c" else out
        return made + channels if self.joined else made

    def build(self, channels: int) -> nn.Module:
        """Build the layer for a map with so many channels."""
        layer = self._build_without_input(channels)
        return JoinedInput(layer) if self.joined else layer

    def _build_without_input(self, channels: int) -> nn.Module:
        norm = UnscaledBatchNorm2d if self.unscaled else nn.BatchNorm2d
        groups = self._list_convolutions(channels)
        if self.uses > 1:
            return Repeated(groups, norm, self._make_function(), self.uses)
        modules: list[nn.Module] = []
        for group in groups:
            modules += [*group, norm(group[-1].out_channels), self._make_function()]
        return nn.Sequential(*modules)

    def _make_function(self) -> nn.Module:
        return CReLU() if self.kind == "c" else _FUNCTIONS[self.function]()

    def _list_convolutions(self, channels: int) -> list[list[nn.Conv2d]]:
        """Return the convolutions, in groups that a norm follows."""
        window = (self.kernel, self.stride, self.padding)
        if self.kind not in ("d", "m"):
            return [[nn.Conv2d(channels, self.out, *window, bias=False)]]
        depthwise = nn.Conv2d(channels, channels, *window, groups=channels, bias=False)
        pointwise = nn.Conv2d(channels, self.out, 1, bias=False)
        return [[depthwise], [pointwise]] if self.kind == "m" else [[depthwise, pointwise]]


def is_notation(name: str) -> bool:
    """Return whether a name is notation: several words, of which the first is one of it."""
    words = name.split()
    return len(words) > 1 and (words[0] in ("P", "W", "S") or parse_layer(words[0]) is not None)


def parse_layer(word: str) -> Layer | None:
    """Return a word as a layer; None if it is none with convolutions."""
    found = _LAYER.fullmatch(word)
    if not found:
        return None
    kernel = int(found["kernel"] or (1 if found["kind"] == "x" else 3))
    return Layer(
        word,
        found["kind"],
        int(found["out"]),
        kernel,
        int(found["stride"] or 1),
        kernel // 2 if found["padded"] else 0,
        bool(found["unscaled"]),
        found["function"],
        int(found["uses"] or 1),
        bool(found["joined"]),
    )


def parse_notation(notation: str) -> NetEntry:
    """Return the net for a line of notation.

    Raises:
        NetError: A word is not a layer. The net's builder raises it if a feature map becomes empty,
            a layer that is used several times changes the number of channels, or the input is not
            an image.
    """
    words = notation.split()
    shifted = words[-1] == "S"
    if shifted:
        words.pop()
    weighted = words[-1:] == ["W"]
    if weighted:
        words.pop()
    if not words:
        raise NetError(f"{notation!r} has no layer; {_GRAMMAR}")
    layers = [_parse_word(word, notation) for word in words]
    if shifted:
        _check_shifts(layers, notation)
    count = sum(layer.uses if layer else 1 for layer in layers)
    if count > _MAX_LAYERS:
        raise NetError(
            f"the notation {words[0]} {words[1]} ... has {count:,} layers; "
            f"write at most {_MAX_LAYERS}"
        )

    def builder(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
        if len(shape) != 3:
            found = ",".join(map(str, shape))
            raise NetError(
                f"{notation!r}: the shape {found} is not that of an image;"
                " give channels, height, width, like 1,28,28"
            )
        net, weights = Net(), 0
        size: Size = (shape[0], shape[1], shape[2])
        for number, (word, layer) in enumerate(zip(words, layers, strict=True), start=1):
            before = size
            where = f"layer {number} of {notation!r}, {word},"
            if layer is None:
                size = (before[0], before[1] // 2, before[2] // 2)
            else:
                _check_uses(layer, before[0], where)
                size = layer.find_size(before)
            weights += before[0] * size[0]
            _check_size(size, weights, where)
            module = nn.MaxPool2d(2) if layer is None else layer.build(before[0])
            net.add_module(f"{number}_{word}", module)
        head = weighted_logits(*size, classes) if weighted else pooled_logits(size[0], classes)
        net.add_module("head", head)
        return ShiftAverage(net) if shifted else net

    return NetEntry(" ".join(notation.split()), builder, "notation", "built from notation")


def _parse_word(word: str, notation: str) -> Layer | None:
    """Return a word as a layer; None for ``P``.

    Raises:
        NetError: It is neither.
    """
    layer = parse_layer(word)
    if word in ("W", "S"):
        raise NetError(
            f"{word!r} in {notation!r} is not at the end; write W and S last, in this order"
        )
    if layer is None and word != "P":
        raise NetError(f"{word!r} in {notation!r} is not a layer; {_GRAMMAR}")
    if layer:
        _check_options(layer, f"{word!r} in {notation!r}")
    return layer


def _check_options(layer: Layer, where: str) -> None:
    """Check that the options of a layer go together."""
    if layer.kind == "c" and layer.uses > 1:
        once = layer.word.partition("*")[0]
        raise NetError(f"{where}: a layer with CReLU is used once; write {once}")
    if layer.kind == "c" and layer.function:
        raise NetError(
            f"{where}: CReLU, of c, is its activation function; drop the c or the {layer.function}"
        )
    if layer.joined and layer.stride > 1:
        raise NetError(
            f"{where}: a stride makes the map smaller than the input that + joins to it; drop the "
            "stride or the +"
        )
    if layer.joined and layer.padding and layer.kernel % 2 == 0:
        raise NetError(
            f"{where}: padding makes the map larger than the input that + joins to it; use an odd "
            f"kernel size, like k{layer.kernel + 1}"
        )


def _check_shifts(layers: Sequence[Layer | None], notation: str) -> None:
    """Check that all layers of a net can be computed for several shifts of the image at once."""
    for layer in filter(None, layers):
        where = f"{layer.word!r} in {notation!r}"
        if layer.padding:
            raise NetError(
                f"{where} has padding, whose zeros would not be shifted with the image; drop the p "
                "or the S"
            )
        if layer.joined and layer.kernel % 2 == 0:
            raise NetError(
                f"{where} joins its input at a place between two pixels, which S does not allow; "
                f"use an odd kernel size, like k{layer.kernel + 1}, or drop the S"
            )
        if layer.uses > 1 and layer.stride > 1:
            raise NetError(
                f"{where} has a stride and is used several times, which S does not allow; drop "
                "the stride or the S"
            )


def _check_uses(layer: Layer, channels: int, where: str) -> None:
    """Check that a layer that is used several times has as many output as input channels."""
    if layer.uses > 1 and layer.out != channels:
        once = layer.word.partition("*")[0]
        again = f"{once}*{layer.uses - 1}" if layer.uses > 2 else once
        raise NetError(
            f"{where} runs one layer {layer.uses} times, so it needs as many output channels "
            f"({layer.out}) as input channels ({channels}); write {once} {again} for two layers"
        )


def _check_size(size: Size, weights: int, where: str) -> None:
    """Check that a map is not empty, and that it and the weights so far are not too large."""
    if min(size[1:]) < 1:
        raise NetError(f"{where} has an empty feature map; add padding or remove a pooling")
    if prod(size) > _MAX_VALUES or weights > _MAX_WEIGHTS:
        raise NetError(
            f"{where} is too large for netlet, whose nets are tiny; use fewer channels or a "
            "smaller image"
        )
