"""Operations that slide a window over a feature map: convolutions, poolings and dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from netlet.analysis import fields
from netlet.analysis.fields import Field, FieldMap

Args = Sequence[Any]
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """A convolution, pooling or dense layer as a window that slides over a feature map.

    Sizes have one number for each axis; ``before`` and ``after`` are the receptive fields of input
    and output.
    """

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    n_in: Sizes
    n_out: Sizes
    before: Field
    after: Field


@dataclass(frozen=True)
class Effect:
    """The effect of an operation.

    Attributes:
        field: The receptive field of its first output.
        window: The window that it slides, if any.
        macs: Its multiply-adds; None if they cannot be counted.
    """

    field: Field
    window: Window | None = None
    macs: int | None = 0


def convolution_effect(args: Args, out: torch.Tensor, known: FieldMap) -> Effect:
    """Return the effect of ``aten::convolution`` of any rank, also grouped or dilated.

    After a transposed convolution the receptive field is unknown.
    """
    x, weight, _, stride, padding, dilation, transposed, _, _groups = args[:9]
    rank = weight.dim() - 2
    kernel = tuple(weight.shape[2:])
    # One multiply-add per output element and weight of its channel; for a transposed convolution,
    # per input element.
    macs = (
        (x.numel() // x.shape[1] * weight.numel())
        if transposed
        else out.numel() // out.shape[1] * weight.numel()
    )
    if transposed:
        return Effect(None, macs=macs)
    window = _window(x, out, kernel, stride, padding, dilation, rank, known.get(x))
    return Effect(window.after, window, macs)


def pooling_effect(
    name: str, args: Args, kwargs: dict[str, Any], out: torch.Tensor, known: FieldMap
) -> Effect:
    """Return the effect of max or average pooling in two or three dimensions."""
    x, kernel = args[0], args[1]
    rank = 3 if "3d" in name else 2
    stride = args[2] if len(args) > 2 and args[2] else kernel
    padding = args[3] if len(args) > 3 else kwargs.get("padding", 0)
    dilation: Any = 1
    if name.startswith("max"):
        dilation = args[4] if len(args) > 4 else kwargs.get("dilation", 1)
    window = _window(x, out, kernel, stride, padding, dilation, rank, known.get(x))
    return Effect(window.after, window)


def adaptive_pooling_effect(args: Args, out: torch.Tensor, known: FieldMap) -> Effect:
    """Return the effect of pooling to a given size.

    The receptive field is unknown if the windows differ in size.
    """
    x = args[0]
    rank = len(args[1])
    n_in, n_out = x.shape[-rank:], out.shape[-rank:]
    if any(n % m for n, m in zip(n_in, n_out, strict=True)):
        return Effect(None)  # the windows differ in size
    kernel = [n // m for n, m in zip(n_in, n_out, strict=True)]
    window = _window(x, out, kernel, kernel, 0, 1, rank, known.get(x))
    return Effect(window.after, window)


def global_pooling_window(args: Args, out: torch.Tensor, known: FieldMap) -> Window | None:
    """Return the window of a reduction over all axes of the image, or None for other reductions.

    Such a reduction is a pooling with a window as large as the map.
    """
    x = args[0]
    if len(args) < 2 or not isinstance(args[1], list | tuple) or not args[1]:
        return None
    dims = sorted(d % x.dim() for d in args[1])
    field = known.get(x)
    if (
        field is None
        or x.dim() < 3
        or dims != list(range(2, x.dim()))
        or dims != [axis.dim for axis in field]
    ):
        return None
    sizes = tuple(x.shape[2:])
    ones = (1,) * len(sizes)
    axes = tuple(axis.slide_window(n, n, 0, 1, 1) for axis, n in zip(field, sizes, strict=True))
    after = axes if out.dim() == x.dim() else fields.collapse(axes)
    return Window(sizes, sizes, (0,) * len(sizes), ones, sizes, ones, field, after)


def _window(
    x: torch.Tensor,
    out: torch.Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    rank: int,
    field: Field,
) -> Window:
    k, s, p, d = (_sizes(value, rank) for value in (kernel, stride, padding, dilation))
    n_in, n_out = tuple(x.shape[-rank:]), tuple(out.shape[-rank:])
    after: Field = None
    if field is not None:
        axes = []
        for axis in field:
            at = None if axis.dim is None else axis.dim - (x.dim() - rank)
            if at is None:
                axes.append(axis)
            elif at < 0 or axis.merged:
                break
            else:
                axes.append(axis.slide_window(k[at], s[at], p[at], d[at], n_out[at]))
        after = tuple(axes) if len(axes) == len(field) else None
    return Window(k, s, p, d, n_in, n_out, field, after)


def matmul_effect(factors: Args, out: torch.Tensor, known: FieldMap) -> Effect:
    """Return the effect of a matrix product ``[B] M K`` times ``[B] K N``; it mixes along ``K``."""
    one, other = factors[:2]
    macs = out.numel() * one.shape[-1]
    last = one.dim() - 1
    sides = [
        fields.collapse(known.get(factor), [inner])
        for factor, inner in ((one, last), (other, last - 1))
        if factor in known
    ]
    after = fields.join_fields(sides)
    window = None
    if one in known and other not in known and (before := known.get(one)) is not None:
        # A dense layer is a window over its whole input.
        n = tuple(axis.length if axis.dim == last else 1 for axis in before)
        ones = (1,) * len(n)
        window = Window(n, n, (0,) * len(n), ones, n, ones, before, after)
    return Effect(after, window, macs)


def _sizes(value: Any, rank: int) -> Sizes:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(values * rank if len(values) == 1 else values)
