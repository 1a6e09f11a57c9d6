"""Tables of a net's layers in the formats of torchsummary and torchinfo, which the documents use.

The two count differently. In torchsummary, a MB has 2^20 bytes, and the forward/backward size is
twice the outputs of all rows. In torchinfo, a MB has 10^6 bytes, the size is twice the outputs of
layers with parameters, and the parameters of norms and biases are part of the mult-adds.
"""

from __future__ import annotations

from collections import Counter
from math import prod

from torch import nn

from netlet.analysis.ops import Op, Trace
from netlet.nets.registered import count_numbers
from netlet.text import escape_controls

_FLOAT_BYTES = 4


def format_torchsummary(traced: Trace) -> str:
    """Return the table in the format of torchsummary 1.5.1.

    Functions, ``Sequential`` containers and the net itself have no rows.
    """
    thin, thick = "-" * 64, "=" * 64
    lines = [thin, f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}", thick]
    ops = [
        op
        for op in _modules_by_end(traced)
        if op.depth and not isinstance(op.module, nn.Sequential | nn.ModuleList)
    ]
    for number, op in enumerate(ops, start=1):
        shape = str([-1, *op.output[1:]])
        kind = escape_controls(op.kind)
        lines.append(f"{f'{kind}-{number}':>20}  {shape:>25} {op.own_parameters:>15,}")
    outputs = sum(prod(op.output) for op in ops)
    sizes = _size_lines(traced, outputs, megabyte=2**20)
    return "\n".join([*lines, thick, *_parameter_lines(traced), thin, *sizes, thin])


def format_torchinfo(traced: Trace) -> str:
    """Return the table in the format of torchinfo 1.8 for a batch of one.

    Containers have rows, functions have none.
    """
    thick = "=" * 90
    ops = [op for op in traced.ops if op.module is not None]
    lines = [thick, f"{'Layer (type:depth-idx)':<41}{'Output Shape':<26}Param #", thick]
    numbers: Counter[int] = Counter()
    for op in ops:
        numbers[op.depth] += 1
        kind = escape_controls(op.kind)
        name = kind if op.depth == 0 else f"{kind}: {op.depth}-{numbers[op.depth]}"
        branch = (
            "" if op.depth == 0 else "│    " * (op.depth - 1) + ("├─" if op.depth == 1 else "└─")
        )
        parameters = f"{op.own_parameters:,}" if op.own_parameters else "--"
        last = "(recursive)" if op.repeated else parameters
        lines.append(f"{branch + name:<41}{list(op.output)!s:<26}{last}")
    weighted = [op for op in ops if op.leaf and _own_parameters(op)]
    mult_adds = sum(_mult_adds(op) for op in weighted)
    unit, scale = next(
        (u, s) for u, s in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1)) if mult_adds >= s or s == 1
    )
    total = f"Total mult-adds{f' ({unit})' if unit else ''}: {mult_adds / scale:.2f}"
    sizes = _size_lines(traced, sum(prod(op.output) for op in weighted), megabyte=1e6)
    return "\n".join([*lines, thick, *_parameter_lines(traced), total, thick, *sizes, thick])


TABLE_STYLES = {"torchsummary": format_torchsummary, "torchinfo": format_torchinfo}


def _modules_by_end(traced: Trace) -> list[Op]:
    return sorted((op for op in traced.ops if op.module is not None), key=lambda op: op.end_order)


def _parameter_lines(traced: Trace) -> list[str]:
    parameters = list(traced.net.parameters())
    total = count_numbers(parameters)
    trainable = count_numbers(p for p in parameters if p.requires_grad)
    return [
        f"Total params: {total:,}",
        f"Trainable params: {trainable:,}",
        f"Non-trainable params: {total - trainable:,}",
    ]


def _size_lines(traced: Trace, outputs: int, megabyte: float) -> list[str]:
    """Return the lines about sizes; ``outputs`` is the number of output elements that count."""
    image = prod(traced.shape) * _FLOAT_BYTES / megabyte
    both_passes = 2 * outputs * _FLOAT_BYTES / megabyte
    weights = count_numbers(traced.net.parameters()) * _FLOAT_BYTES / megabyte
    return [
        f"Input size (MB): {image:.2f}",
        f"Forward/backward pass size (MB): {both_passes:.2f}",
        f"Params size (MB): {weights:.2f}",
        f"Estimated Total Size (MB): {image + both_passes + weights:.2f}",
    ]


def _own_parameters(op: Op) -> list[nn.Parameter]:
    return [] if op.module is None else list(op.module.parameters(recurse=False))


def _mult_adds(op: Op) -> int:
    parameters = sum(p.numel() for p in _own_parameters(op))
    return parameters * prod(op.output[2:]) if op.kind.startswith("Conv") else parameters
