"""Nets that fill a budget: the widths of a shape are scaled up until nothing more fits."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from netlet.analysis import cost
from netlet.budgets import Budget
from netlet.errors import NetError, SearchError
from netlet.nets import build, find_net
from netlet.nets.notation import Layer, parse_layer, parse_notation

# Limits that a wider net comes closer to.
SIZE_LIMITS = ("params_below", "macs_below", "weight_bytes_below", "activation_bytes_below")
_WIDTH = re.compile(r"\d+(?:\.\d+)?")
_STEPS = 4  # factors of the widths from one whole number to the next
_MAX_WIDTH = 2_048  # of a layer: a budget that allows more is not one for tiny nets


@dataclass(frozen=True)
class Images:
    """What a net is for.

    Attributes:
        shape: Of one image, ``C H W``.
        classes: Their number ``K``.
    """

    shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10


def count_parameters(notation: str, images: Images = Images()) -> int:
    """Return the number of parameters of a net in one line."""
    with torch.device("meta"):  # without initial weights, which take most of the time
        net = parse_notation(notation).builder(classes=images.classes, shape=images.shape)
    return sum(parameter.numel() for parameter in net.parameters())


def check_net(net: str, budget: Budget | None, images: Images, *, trust: bool = False) -> None:
    """Check that a net can be built and keeps to all limits that need no training.

    Args:
        net: The net, by name or in one line.
        budget: The budget; None: the net need only be one.
        images: What the net is for.
        trust: Whether to run code that the name stands for.

    Raises:
        NetError: The net cannot be built, or misses the budget; with the limit.
    """
    built = build(find_net(net, trusted=trust).builder, 0, images.shape, images.classes)
    found = cost(built, images.shape)
    for result in budget.judge(found).results if budget else ():
        if result.state in ("FAIL", "UNKNOWN"):
            assert budget is not None
            remedy = result.remedy or "leave out the net, or change the budget"
            raise NetError(
                f"{net!r} misses the {budget.label}: {result.requirement}, found "
                f"{result.found}; {remedy}"
            )


@functools.cache
def fill_budget(shape: str, budget: Budget, images: Images) -> str:
    """Return the widest net of a shape that a budget allows.

    All widths are scaled by the same factor. Then layers get one more channel each, from the last
    to the first, as long as the net stays below the limits. A layer that is used several times has
    as many channels as it reads.

    Args:
        shape: A net in one line with ratios instead of widths: ``"1 1 P 1.5 1.75 2p 2p"``.
        budget: The budget, with a limit that grows with the widths.
        images: What the net is for.

    Returns:
        The net in one line.

    Raises:
        SearchError: The smallest net of the shape does not fit.
        NetError: The shape is not a net, or its nets miss a rule of the budget.
    """
    layers = read_shape(shape)
    ratios = [layer.ratio if layer.is_free else None for layer in layers]

    def write(widths: list[int | None]) -> str:
        return _write_net(layers, widths, images.shape[0])

    def scale(factor: float) -> list[int | None]:
        return [None if ratio is None else max(1, round(ratio * factor)) for ratio in ratios]

    def fits(widths: list[int | None]) -> bool:
        return _is_within(write(widths), budget, images)

    largest = max(ratio for ratio in ratios if ratio is not None)
    narrowest = scale(0)
    if not fits(narrowest):
        raise SearchError(
            f"no net of the shape {shape!r} fits the {budget.label}: with one channel a "
            f"layer it is {write(narrowest)!r} of {count_parameters(write(narrowest), images):,} "
            "parameters; drop the shape, or raise the limit"
        )
    widest = _widen(fits, scale, narrowest, largest)
    net = write(_widen_layers(fits, widest))
    check_net(net, budget, images)
    return net


@dataclass(frozen=True)
class ShapeLayer:
    """A word of a shape.

    Attributes:
        word: As it is written.
        ratio: Its width, as a ratio; None if it has none, such as ``P``.
        layer: It with a width of 1; None if it has no width.
    """

    word: str
    ratio: float | None
    layer: Layer | None

    @property
    def is_free(self) -> bool:
        """Whether its width may be chosen: a layer that is used again makes what it reads."""
        return self.layer is not None and self.layer.uses == 1


def read_shape(shape: str) -> list[ShapeLayer]:
    """Return the words of a shape.

    Raises:
        NetError: A layer that is used several times has another ratio than what it reads, or no
            layer has a width to choose.
    """
    found = list[ShapeLayer]()
    before: float | None = None  # the ratio of what the next layer reads; None if it has none
    for number, word in enumerate(shape.split(), start=1):
        ratio = _WIDTH.search(word)
        layer = parse_layer(_WIDTH.sub("1", word, count=1)) if ratio else None
        one = ShapeLayer(word, float(ratio[0]) if ratio and layer else None, layer)
        found.append(one)
        if one.layer is None or one.ratio is None:
            continue
        if before is not None and not one.is_free and not math.isclose(one.ratio, before):
            written = _WIDTH.sub(f"{before:g}", word, count=1)
            raise NetError(
                f"layer {number} of the shape {shape!r}, {word}, runs one layer {one.layer.uses} "
                f"times, so it needs the same ratio as its input; write {written}"
            )
        # The channels of an image are not in the ratio.
        unknown = one.layer.joined and before is None
        before = None if unknown else one.layer.count_channels(one.ratio, before or 0)
    if not any(one.is_free for one in found):
        raise NetError(
            f"the shape {shape!r} has no width to choose; begin with a layer that is used once"
        )
    return found


def _write_net(layers: Sequence[ShapeLayer], widths: Sequence[int | None], channels: int) -> str:
    """Return a net of a shape in one line.

    Args:
        layers: The words of the shape.
        widths: The widths of the layers whose width may be chosen; None for all other words.
        channels: Those of an image.
    """
    words = []
    for one, width in zip(layers, widths, strict=True):
        if one.layer is None:
            words.append(one.word)
            continue
        out = channels if width is None else width
        words.append(_WIDTH.sub(str(out), one.word, count=1))
        channels = one.layer.count_channels(out, channels)
    return " ".join(words)


def _widen(
    fits: Callable[[list[int | None]], bool],
    scale: Callable[[float], list[int | None]],
    narrowest: list[int | None],
    largest: float,
) -> list[int | None]:
    """Return the widths of the greatest factor that fits, a multiple of a quarter."""
    above = 1  # quarters that are too many
    while above / _STEPS * largest <= _MAX_WIDTH and fits(scale(above / _STEPS)):
        above *= 2
    if above / _STEPS * largest > _MAX_WIDTH:
        raise SearchError(
            f"the budget allows layers of more than {_MAX_WIDTH // 2:,} channels; give it a lower "
            "limit, like params_below = 20_000"
        )
    below = above // 2
    while below + 1 < above:
        middle = (below + above) // 2
        below, above = (middle, above) if fits(scale(middle / _STEPS)) else (below, middle)
    return scale(below / _STEPS) if below else narrowest


def _widen_layers(
    fits: Callable[[list[int | None]], bool], widest: list[int | None]
) -> list[int | None]:
    """Return widths to which no layer can add a channel."""
    layers = [layer for layer in reversed(range(len(widest))) if widest[layer] is not None]
    while layers:  # those that may still be widened
        fitting = []
        for layer in layers:
            wider = [*widest]
            wider[layer] = (widest[layer] or 0) + 1
            if fits(wider):
                widest = wider
                fitting.append(layer)
        layers = fitting
    return widest


def _is_within(notation: str, budget: Budget, images: Images) -> bool:
    """Return whether a net is below the limits that grow with its widths."""
    limit = budget.params_below
    if limit is not None and count_parameters(notation, images) >= limit:
        return False
    others = [getattr(budget, name) for name in SIZE_LIMITS if name != "params_below"]
    if all(other is None for other in others):
        return True
    net = build(find_net(notation).builder, 0, images.shape, images.classes)
    found = cost(net, images.shape)
    values = (found.macs, found.weight_bytes, found.activation_bytes)
    return all(
        limit is None or (value is not None and value < limit)
        for limit, value in zip(others, values, strict=True)
    )
