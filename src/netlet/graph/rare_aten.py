"""Translate the ATen operations of which only a few nets have any."""

from __future__ import annotations

from collections.abc import Callable

from netlet.graph.call import Call
from netlet.graph.graph import Weight
from netlet.graph.operations import Operation
from netlet.graph.rare_operations import Attention, EdgePadding, MatrixProduct, OtherNorm, Stack


def matrix_product(call: Call) -> Operation:
    """Return the product that an ``mm``, ``addmm``, ``bmm`` or ``baddbmm`` is."""
    return MatrixProduct(_operands(call, 3 if "add" in call.name else 2))


def _attention(call: Call) -> Operation:
    return Attention(call.name.strip("_"), _operands(call, 3))


def _operands(call: Call, n: int) -> tuple[Weight | None, ...]:
    operands = call.args[:n]
    return tuple(None if call.is_value(x) else call.weight(x, False) for x in operands)


def _layer_norm(call: Call) -> Operation:
    rank = call.out.dim()
    return OtherNorm("layer_norm", tuple(range(rank - len(call.args[1]), rank)))


def _group_norm(call: Call) -> Operation:
    return OtherNorm("group_norm")


def _stack(call: Call) -> Operation:
    return Stack(call.get(1, "dim", 0) % call.out.dim())


def _edge_padding(call: Call) -> Operation:
    return EdgePadding(call.name, tuple(call.args[1]))


RARE_TRANSLATIONS: dict[str, Callable[[Call], Operation]] = {
    **dict.fromkeys(("bmm", "baddbmm"), matrix_product),
    **dict.fromkeys(
        (
            "scaled_dot_product_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
        ),
        _attention,
    ),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "stack": _stack,
    **{
        f"{kind}_pad{n}d": _edge_padding
        for kind in ("reflection", "replication")
        for n in (1, 2, 3)
    },
}
