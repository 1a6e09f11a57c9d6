"""What a net costs, in the form that a budget judges."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import nn

from netlet.analysis.ops import Trace
from netlet.analysis.trace import trace
from netlet.budgets import Budget, ModelCost, Verdict
from netlet.errors import BudgetError, did_you_mean

# A function counts as the layer that wraps it.
_LAYER_OF = {
    "conv": "Conv",
    "linear": "Linear",
    "batch_norm": "BatchNorm",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "max_pool2d": "MaxPool2d",
    "avg_pool2d": "AvgPool2d",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "gelu": "GELU",
    "silu": "SiLU",
    "dropout": "Dropout",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "hardtanh": "Hardtanh",
}


def cost(
    net: nn.Module, shape: Sequence[int] = (1, 28, 28), epochs: int | None = None
) -> ModelCost:
    """What a net costs without training it.

    Args:
        net: Any module.
        shape: Of one image, ``C H W``.
        epochs: Planned, where a recipe is chosen.

    Raises:
        NetError: The net does not run on such an image.
    """
    return cost_from_trace(trace(net, shape), epochs)


def cost_from_trace(traced: Trace, epochs: int | None = None) -> ModelCost:
    """The facts of a net already traced."""
    net = traced.net
    parameters, macs, activations = Counter[str](), Counter[str](), Counter[str]()
    for step in traced.steps:
        layer = f"{step.name} ({step.kind})"
        parameters[layer] += step.own
        if step.leaf:
            macs[layer] += step.macs or 0
            activations[layer] = max(activations[layer], 4 * prod(step.output))
    parameters.update({f"{path} (never ran)": n for path, n in traced.unused})
    state = [
        value
        for value in net.state_dict(keep_vars=True).values()
        if isinstance(value, torch.Tensor)
    ]
    # A tensor under two names is stored once.
    weight_bytes = sum(
        value.numel() * value.element_size() for value in {id(v): v for v in state}.values()
    )
    return ModelCost(
        parameters=sum(p.numel() for p in net.parameters()),
        macs=traced.macs(),
        weight_bytes=weight_bytes,
        activation_bytes=traced.activation_bytes,
        kinds=_kinds(traced),
        spending={
            "parameters": _dearest(parameters),
            "MACs": _dearest(macs),
            "weight bytes": _dearest({name: 4 * n for name, n in parameters.items()}),
            "activation bytes": _dearest(activations),
        },
        epochs=epochs,
    )


def check(
    net: nn.Module, budget: Budget, shape: Sequence[int] = (1, 28, 28), epochs: int | None = None
) -> Verdict:
    """Hold a net against a budget before any training.

    Returns:
        PASS, FAIL, UNKNOWN or, for what only training decides, NOT YET, rule by rule.

    Raises:
        NetError: The net does not run on such an image.
        BudgetError: The budget forbids or requires a kind of layer that does not exist.
    """
    found = cost(net, shape, epochs)
    # A misspelt kind would forbid nothing without anyone noticing.
    known = [*dir(nn), *found.kinds]
    for kind in (*budget.forbids, *budget.requires):
        if kind.lower() not in {name.lower() for name in known}:
            raise BudgetError(
                f"budget {budget.name}: no kind of layer is called {kind!r}; {did_you_mean(kind, known)}"
                "name it as torch.nn does, like 'Linear'"
            )
    return budget.judge(found)


def _kinds(traced: Trace) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, module in traced.net.named_modules():
        # A subclass of a torch layer is one; its private bases are nobody's name for it.
        bases = {
            base.__name__
            for base in type(module).__mro__
            if base.__module__.startswith("torch.nn.modules")
        }
        for name in sorted(
            {type(module).__name__} | bases - {"Module", "Sequential", "ModuleList"}
        ):
            if not name.startswith("_"):
                kinds[name].append(path or "(net)")
    for step in traced.steps:
        own_functions = [] if isinstance(step.module, nn.Conv2d | nn.Linear) else step.functions
        for function in own_functions:
            layer = _LAYER_OF.get(function, function)
            kinds[f"{layer}2d" if layer in ("Conv", "BatchNorm") else layer].append(
                f"{step.name} (function)"
            )
    return dict(kinds)


def _dearest(amounts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, n) for name, n in amounts.items() if n), key=lambda item: -item[1])
