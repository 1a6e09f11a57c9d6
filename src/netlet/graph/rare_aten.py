"""Translate the ATen operations of which only a few nets have any."""

from __future__ import annotations

from collections.abc import Callable

import torch

from netlet.graph.call import Call
from netlet.graph.graph import Weight
from netlet.graph.operations import Opaque, Operation, Softmax
from netlet.graph.products import count_sparse_product, is_sparse
from netlet.graph.rare_operations import Attention, EdgePadding, MatrixProduct, OtherNorm, Stack
from netlet.graph.resampling_aten import rearrangement

CONSTANT_PARTS = "some of its parts are constants"
# Names of the arguments that are factors and, before them, of one that is added.
_FACTORS = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("self", "mat1", "mat2"),
    "baddbmm": ("self", "batch1", "batch2"),
    "_sparse_addmm": ("self", "mat1", "mat2"),
}


def matrix_product(call: Call) -> Operation:
    """Return the product that an ``mm``, ``addmm``, ``bmm`` and the like is."""
    tensors = [call[name] for name in _FACTORS[call.name]]
    if is_sparse(*tensors):
        count = count_sparse_product(call, *tensors[-2:])
        return Opaque(call.name.strip("_"), "it reads a sparse tensor", None, count)
    return MatrixProduct(_operands(call, *tensors))


def _attention(call: Call) -> Operation:
    operands = _operands(call, call["query"], call["key"], call["value"])
    return Attention(call.name.strip("_"), operands)


def _operands(call: Call, *tensors: torch.Tensor) -> tuple[Weight | None, ...]:
    return tuple(None if call.is_value(x) else call.weight(x, False) for x in tensors)


def _layer_norm(call: Call) -> Operation:
    rank = call.out.dim()
    dims = tuple(range(rank - len(call["normalized_shape"]), rank))
    return _norm(call, "layer_norm" if call.name == "native_layer_norm" else call.name, dims, 1)


def _group_norm(call: Call) -> Operation:
    return _norm(call, "group_norm", (), int(call["group"]))


def _norm(call: Call, name: str, dims: tuple[int, ...], groups: int) -> Operation:
    weights = (call.get("weight"), call.get("bias"))
    if any(map(call.is_value, weights)):
        return call.opaque("its weights are computed from the image", OtherNorm(name, dims, groups))
    eps = call.get("eps")
    return OtherNorm(
        name,
        dims,
        groups,
        call.optional_weight("weight"),
        call.optional_weight("bias"),
        torch.finfo(call.out.dtype).eps if eps is None else float(eps),
    )


def _safe_softmax(call: Call) -> Operation:
    softmax = Softmax("softmax", call["dim"] % call.out.dim())
    return call.opaque("it gives zeros where everything is masked", softmax)


def _stack(call: Call) -> Operation:
    if any(not call.is_value(part) for part in call["tensors"]):
        return call.opaque(CONSTANT_PARTS, rearrangement(call))
    return Stack(call["dim"] % call.out.dim())


def _edge_padding(call: Call) -> Operation:
    return EdgePadding(call.name, tuple(call["padding"]))


RARE_TRANSLATIONS: dict[str, Callable[[Call], Operation]] = {
    **dict.fromkeys(("bmm", "baddbmm", "_sparse_addmm"), matrix_product),
    **dict.fromkeys(
        (
            "scaled_dot_product_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        _attention,
    ),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), _layer_norm),
    "native_group_norm": _group_norm,
    "_safe_softmax": _safe_softmax,
    "stack": _stack,
    **{
        f"{kind}_pad{n}d": _edge_padding
        for kind in ("reflection", "replication")
        for n in (1, 2, 3)
    },
}
