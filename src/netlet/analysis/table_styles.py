"""A net's layers as torchsummary and torchinfo print them, and as the documents therefore have them.

The two count differently. torchsummary: 2^20 bytes to the MB, every row's output, times two.
torchinfo: 10^6 bytes, only outputs of layers with parameters, times two; and the parameters of
norms and biases count into the mult-adds.
"""

from __future__ import annotations

from collections import Counter
from math import prod

from torch import nn

from netlet.analysis.ops import Op, Trace

_FLOAT_BYTES = 4


def format_torchsummary(traced: Trace) -> str:
    """The table of torchsummary 1.5.1; functions have no rows, nor have Sequential and the net itself."""
    thin, thick = "-" * 64, "=" * 64
    lines = [thin, f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}", thick]
    steps = [
        step
        for step in _by_end(traced)
        if step.depth and not isinstance(step.module, nn.Sequential | nn.ModuleList)
    ]
    for number, step in enumerate(steps, start=1):
        shape = str([-1, *step.output[1:]])
        lines.append(f"{f'{step.kind}-{number}':>20}  {shape:>25} {step.own:>15,}")
    total, trainable = _parameters(traced)
    mib = 2**20 / _FLOAT_BYTES
    image = prod(traced.shape) / mib
    both_ways = 2 * sum(prod(step.output) for step in steps) / mib
    weights = total / mib
    return "\n".join(
        [
            *lines,
            thick,
            f"Total params: {total:,}",
            f"Trainable params: {trainable:,}",
            f"Non-trainable params: {total - trainable:,}",
            thin,
            f"Input size (MB): {image:.2f}",
            f"Forward/backward pass size (MB): {both_ways:.2f}",
            f"Params size (MB): {weights:.2f}",
            f"Estimated Total Size (MB): {image + both_ways + weights:.2f}",
            thin,
        ]
    )


def format_torchinfo(traced: Trace) -> str:
    """The table of torchinfo 1.8 for a batch of one; containers have rows, functions have none."""
    thick = "=" * 90
    steps = [step for step in traced.steps if step.module is not None]
    lines = [thick, f"{'Layer (type:depth-idx)':<41}{'Output Shape':<26}Param #", thick]
    numbers: Counter[int] = Counter()
    for step in steps:
        numbers[step.depth] += 1
        name = step.kind if step.depth == 0 else f"{step.kind}: {step.depth}-{numbers[step.depth]}"
        branch = (
            ""
            if step.depth == 0
            else "│    " * (step.depth - 1) + ("├─" if step.depth == 1 else "└─")
        )
        own = "(recursive)" if step.repeated else f"{step.own:,}" if step.own else "--"
        lines.append(f"{branch + name:<41}{list(step.output)!s:<26}{own}")
    total, trainable = _parameters(traced)
    weighted = [step for step in steps if step.leaf and any(True for _ in _own_parameters(step))]
    image = prod(traced.shape) * _FLOAT_BYTES / 1e6
    both_ways = 2 * sum(prod(step.output) for step in weighted) * _FLOAT_BYTES / 1e6
    weights = total * _FLOAT_BYTES / 1e6
    mult_adds = sum(_mult_adds(step) for step in weighted)
    unit, scale = next(
        (u, s) for u, s in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1)) if mult_adds >= s or s == 1
    )
    return "\n".join(
        [
            *lines,
            thick,
            f"Total params: {total:,}",
            f"Trainable params: {trainable:,}",
            f"Non-trainable params: {total - trainable:,}",
            f"Total mult-adds{f' ({unit})' if unit else ''}: {mult_adds / scale:.2f}",
            thick,
            f"Input size (MB): {image:.2f}",
            f"Forward/backward pass size (MB): {both_ways:.2f}",
            f"Params size (MB): {weights:.2f}",
            f"Estimated Total Size (MB): {image + both_ways + weights:.2f}",
            thick,
        ]
    )


TABLE_STYLES = {"torchsummary": format_torchsummary, "torchinfo": format_torchinfo}


def _by_end(traced: Trace) -> list[Op]:
    return sorted(
        (step for step in traced.steps if step.module is not None), key=lambda step: step.done
    )


def _parameters(traced: Trace) -> tuple[int, int]:
    parameters = list(traced.net.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _own_parameters(step: Op) -> list[nn.Parameter]:
    return [] if step.module is None else list(step.module.parameters(recurse=False))


def _mult_adds(step: Op) -> int:
    parameters = sum(p.numel() for p in _own_parameters(step))
    return parameters * prod(step.output[2:]) if step.kind.startswith("Conv") else parameters
