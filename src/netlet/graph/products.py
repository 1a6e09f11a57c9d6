"""Multiply-adds of ATen operations outside the vocabulary, one function for each.

An operation without a function here has an unknown number of them, or none at all; the readers of
the graph know which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from netlet.graph.call import Call

_Count = Callable[[Call], "int | None"]


def count_products(call: Call) -> int | None:
    """Return the multiply-adds of a call for all images together; None if they are unknown."""
    count = _COUNTS.get(call.name)
    if count is None or is_sparse(*call.arguments.values()):
        return None
    return count(call)


def is_sparse(*arguments: Any) -> bool:
    """Return whether one of some arguments is a sparse tensor, or in another special layout."""
    return any(
        isinstance(argument, torch.Tensor) and argument.layout != torch.strided
        for argument in arguments
    )


def count_sparse_product(call: Call, first: torch.Tensor, second: torch.Tensor) -> int | None:
    """Return the multiply-adds of a product that reads a sparse tensor.

    Args:
        call: The product.
        first: Its first factor. If it is a sparse constant, each of its numbers multiplies a row.
        second: Its second factor.
    """
    if call.is_value(first) or not is_sparse(first) or is_sparse(second):
        return None  # how many numbers are not zero depends on the image
    try:
        return int(first._nnz()) * second.shape[-1]
    except (RuntimeError, NotImplementedError):  # a layout without such a count
        return None


def count_convolution(call: Call) -> int:
    """Return the multiply-adds of a convolution, whatever its input and its weights are."""
    positions = call["input"] if call.get("transposed") else call.out
    return int(positions.numel()) // positions.shape[1] * int(call["weight"].numel())


def _of_argument(name: str) -> _Count:
    """Return a function that counts one multiply-add for each number of an argument."""
    return lambda call: int(call[name].numel())


def _of_output(factor: str) -> _Count:
    """Return a function that sums, for each element of the output, over a factor's last axis."""
    return lambda call: int(call.out.numel()) * int(call[factor].shape[-1])


def _sum_of_outer_products(call: Call) -> int:
    return int(call["batch1"].numel()) * int(call["batch2"].shape[-1])


def _temporal_convolution(call: Call) -> int:
    k, channels, _ = call["weight"].shape
    return int(call.out.numel()) * int(k * channels)


def _recurrent_layer(call: Call) -> int:
    """Count one layer in one direction; ``weight0`` reads the input and ``weight1`` the state."""
    steps = int(call["input"].shape[:-1].numel())
    return steps * int(call["weight0"].numel() + call["weight1"].numel())


def _weighted_bags(call: Call) -> int:
    weighted = call.get("per_sample_weights") is not None
    return int(call["indices"].numel() * call["weight"].shape[-1]) if weighted else 0


def _affine_grid(call: Call) -> int:
    return int(call.out.numel()) * int(call["theta"].shape[-1])


def _attention_layer(call: Call) -> int | None:
    """Count the projections of queries, keys, values and outputs, and the attention."""
    query, key = call["query"], call["key"]
    if query.is_nested:
        return None
    width = call["embed_dim"]
    images, length = query.shape[0], query.shape[1]
    projected = 2 * images * length + 2 * images * key.shape[1]
    return int(projected * width**2 + 2 * images * length * key.shape[1] * width)


def _encoder_layer(call: Call) -> int | None:
    src = call["src"]
    if src.is_nested:
        return None
    weights = ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2")
    images, length, width = src.shape
    dense = images * length * sum(int(call[name].numel()) for name in weights)
    return int(dense + 2 * images * length**2 * width)


_COUNTS: dict[str, _Count] = {
    "mv": _of_argument("self"),
    "addmv": _of_argument("mat"),
    "dot": _of_argument("self"),
    "vdot": _of_argument("self"),
    "addr": lambda call: int(call.out.numel()),
    "addbmm": _sum_of_outer_products,
    **dict.fromkeys(("_int_mm", "_scaled_mm", "_weight_int8pack_mm"), _of_output("self")),
    "_addmm_activation": _of_output("mat1"),
    "mkldnn_linear": _of_output("self"),
    "conv_tbc": _temporal_convolution,
    "mkldnn_rnn_layer": _recurrent_layer,
    **dict.fromkeys(("_embedding_bag", "_embedding_bag_forward_only"), _weighted_bags),
    "affine_grid_generator": _affine_grid,
    "_native_multi_head_attention": _attention_layer,
    "_transformer_encoder_layer_fwd": _encoder_layer,
    **dict.fromkeys(
        (
            *("_conv_depthwise2d", "conv_depthwise3d", "mkldnn_convolution"),
            *("_slow_conv2d_forward", "slow_conv3d_forward"),
            *("slow_conv_dilated2d", "slow_conv_dilated3d"),
        ),
        count_convolution,
    ),
}
