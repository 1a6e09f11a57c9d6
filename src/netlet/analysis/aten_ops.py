"""The effect of each ATen operation on receptive fields, and its multiply-adds.

Both follow from an operation's arguments. The receptive field after an operation that is not listed
here is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from netlet.analysis import fields
from netlet.analysis.fields import Field, FieldMap
from netlet.analysis.op_names import ELEMENTWISE, MIXING, REDUCTIONS, UNCOUNTED
from netlet.analysis.window_ops import (
    Args,
    Effect,
    adaptive_pooling_effect,
    convolution_effect,
    global_pooling_window,
    matmul_effect,
    pooling_effect,
)


def analyze_op(
    name: str, args: Args, kwargs: dict[str, Any], out: torch.Tensor, known: FieldMap
) -> Effect:
    """Return the effect of an operation.

    Args:
        name: Its ATen name, without overload and trailing underscore.
        args: The positional arguments of the call, without defaults.
        kwargs: The keyword arguments of the call.
        out: The first output.
        known: The fields of all tensors so far that depend on the input.
    """
    if name == "convolution":
        return convolution_effect(args, out, known)
    if name in (
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
        "avg_pool2d",
        "avg_pool3d",
        "max_pool2d",
    ):
        return pooling_effect(name, args, kwargs, out, known)
    if name in (
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
    ):
        return adaptive_pooling_effect(args, out, known)
    if name in ("mm", "addmm", "bmm", "baddbmm"):
        return matmul_effect(args[1:] if name in ("addmm", "baddbmm") else args, out, known)
    if name in ("mean", "sum", "amax", "amin") and (
        window := global_pooling_window(args, out, known)
    ):
        return Effect(window.after, window)
    macs: int | None = None if name.startswith(UNCOUNTED) and name not in REDUCTIONS else 0
    if "scaled_dot_product" in name:
        macs = args[0].numel() * args[1].shape[-2] + out.numel() * args[1].shape[-2]
    return Effect(_field(name, args, kwargs, out, known), macs=macs)


def _field(
    name: str, args: Args, kwargs: dict[str, Any], out: torch.Tensor, known: FieldMap
) -> Field:
    x = args[0] if args else None
    if name in ELEMENTWISE:
        return _elementwise(args, out, known)
    if name in ("cat", "stack"):
        return _joined(name, args, kwargs, out, known)
    if not isinstance(x, torch.Tensor):
        return None
    field, old, new = known.get(x), x.shape, out.shape
    if name.startswith(("native_batch_norm", "_native_batch_norm_legit", "batch_norm")):
        # In evaluation mode, batch norm maps each element by itself; without running statistics, it
        # uses the whole map.
        own_statistics = any(arg is True for arg in args[3:6])
        return fields.collapse(field) if own_statistics else field
    if name in MIXING:
        return fields.collapse(
            fields.join_fields([known.get(a) for a in args if _tracked(a, known)])
        )
    if name == "native_layer_norm":
        return fields.collapse(field, range(x.dim() - len(args[1]), x.dim()))
    if name in ("_softmax", "_log_softmax", "softmax", "log_softmax"):
        return fields.collapse(field, [args[1] % x.dim()])
    if name in REDUCTIONS:
        return _reduced(field, x, args, kwargs, out)
    if name in ("view", "_unsafe_view", "reshape", "_reshape_alias", "unflatten"):
        return fields.reshape_field(field, old, new)
    if name in ("permute", "transpose", "t"):
        order = _order(name, args, x.dim())
        return fields.remap_dims(field, [order.index(dim) for dim in range(x.dim())])
    if name == "unsqueeze":
        at = args[1] % (x.dim() + 1)
        return fields.remap_dims(field, [dim + (dim >= at) for dim in range(x.dim())])
    if name == "squeeze":
        given = args[1] if len(args) > 1 else list(range(x.dim()))
        gone = {d % x.dim() for d in ([given] if isinstance(given, int) else given) if old[d] == 1}
        return fields.remap_dims(field, _without(gone, x.dim()))
    if name == "expand":
        return fields.broadcast_field(field, old, new)
    if name in ("slice", "select", "narrow"):
        return _sliced(name, field, x, args, out)
    if name in ("split", "split_with_sizes", "chunk"):
        dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % x.dim()
        return None if _slides(field, dim) else field
    if name == "unbind":
        dim = (args[1] if len(args) > 1 else 0) % x.dim()
        return None if _slides(field, dim) else fields.remap_dims(field, _without({dim}, x.dim()))
    if name in (
        "constant_pad_nd",
        "reflection_pad2d",
        "replication_pad2d",
        "reflection_pad1d",
        "replication_pad1d",
    ):
        return _padded(field, x, args[1], out)
    return None


def _elementwise(args: Args, out: torch.Tensor, known: FieldMap) -> Field:
    tensors = [arg for arg in args if _tracked(arg, known)]
    return fields.join_fields(
        [fields.broadcast_field(known.get(x), x.shape, out.shape) for x in tensors]
    )


def _joined(
    name: str, args: Args, kwargs: dict[str, Any], out: torch.Tensor, known: FieldMap
) -> Field:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    parts = [known.get(x) for x in args[0] if _tracked(x, known)]
    if name == "stack":
        parts = [
            fields.remap_dims(part, [d + (d >= dim) for d in range(out.dim() - 1)])
            for part in parts
        ]
    elif any(_slides(part, dim) for part in parts):
        # Concatenated vectors: what they depend on together is known, but not which element depends
        # on what.
        merged = all(part is None or all(a.merged or a.dim != dim for a in part) for part in parts)
        parts = [fields.collapse(part, [dim]) if merged else None for part in parts]
    return fields.join_fields(parts)


def _reduced(
    field: Field, x: torch.Tensor, args: Args, kwargs: dict[str, Any], out: torch.Tensor
) -> Field:
    given = args[1] if len(args) > 1 else kwargs.get("dim")
    if isinstance(given, torch.Tensor):  # max(x, y) of two tensors is not a reduction
        return None
    listed = [given] if isinstance(given, int) else list(given or range(x.dim()))
    dims = {d % x.dim() for d in listed}
    mixed = fields.collapse(field, sorted(dims))
    return mixed if out.dim() == x.dim() else fields.remap_dims(mixed, _without(dims, x.dim()))


def _sliced(name: str, field: Field, x: torch.Tensor, args: Args, out: torch.Tensor) -> Field:
    dim = (args[1] if len(args) > 1 else 0) % x.dim()
    if field is None or not _slides(field, dim):
        return fields.remap_dims(field, _without({dim}, x.dim())) if name == "select" else field
    first = args[2] if len(args) > 2 and args[2] is not None else 0
    first = max(0, first + x.shape[dim]) if first < 0 else min(first, x.shape[dim])
    step = args[4] if name == "slice" and len(args) > 4 else 1
    length = 1 if name == "select" else out.shape[dim]
    if any(axis.dim == dim and axis.merged for axis in field) or length == 0:
        return None
    # A slice is a window with a kernel of 1 that starts later.
    cut = tuple(
        axis.slide_window(1, step, -first, 1, length) if axis.dim == dim else axis for axis in field
    )
    return fields.remap_dims(cut, _without({dim}, x.dim())) if name == "select" else cut


def _padded(field: Field, x: torch.Tensor, pad: Sequence[int], out: torch.Tensor) -> Field:
    if field is None:
        return None
    # Padding is given from the last dimension backwards, two numbers for each.
    before = {x.dim() - 1 - i: pad[2 * i] for i in range(len(pad) // 2)}
    return tuple(
        axis
        if axis.dim is None
        else axis.slide_window(1, 1, before.get(axis.dim, 0), 1, out.shape[axis.dim])
        for axis in field
    )


def _order(name: str, args: Args, rank: int) -> list[int]:
    order = list(range(rank))
    if name == "permute":
        return [d % rank for d in args[1]]
    a, b = (args[1] % rank, args[2] % rank) if name == "transpose" else (0, rank - 1)
    order[a], order[b] = order[b], order[a]
    return order


def _without(gone: set[int], rank: int) -> list[int | None]:
    return [None if dim in gone else dim - sum(g < dim for g in gone) for dim in range(rank)]


def _slides(field: Field, dim: int) -> bool:
    return field is not None and any(axis.dim == dim for axis in field)


def _tracked(value: object, known: FieldMap) -> bool:
    return isinstance(value, torch.Tensor) and value in known
