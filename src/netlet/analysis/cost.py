"""The cost of a net, in the form that a budget judges."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod

from torch import nn

from netlet.analysis.batch_slips import drop_one_image_note
from netlet.analysis.net_end import check_outputs, write_class_notes
from netlet.analysis.notes import write_notes
from netlet.analysis.op_families import ACTIVATIONS
from netlet.analysis.ops import Trace
from netlet.analysis.savings import add_savings, find_savings
from netlet.analysis.trace import trace
from netlet.budgets import HIDDEN, Budget, ModelCost, NotedVerdict, RuleResult
from netlet.budgets.dataset_names import explain_dataset
from netlet.budgets.kind_checks import describe_unknown_kind, unknown_kinds
from netlet.errors import BudgetError, check_argument
from netlet.nets.registered import (
    count_bytes,
    list_attributes,
    list_modules,
    own_buffers,
)

# A function counts as the layer that wraps it.
_LAYER_OF_FUNCTION = {
    "conv": "Conv",
    "linear": "Linear",
    "batch_norm": "BatchNorm",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "max_pool2d": "MaxPool2d",
    "avg_pool2d": "AvgPool2d",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "dropout": "Dropout",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "hardtanh": "Hardtanh",
    **ACTIVATIONS,
}


def cost(
    net: nn.Module, shape: Sequence[int] = (1, 28, 28), epochs: int | None = None
) -> ModelCost:
    """Return the cost of a net without training it.

    Args:
        net: Any module.
        shape: The shape of one image, ``C H W``.
        epochs: The planned number of epochs, if a recipe has been chosen.

    Raises:
        NetError: The net does not run on such an image.
    """
    return cost_from_trace(trace(net, shape), epochs)


def cost_from_trace(traced: Trace, epochs: int | None = None) -> ModelCost:
    """Return the cost of a net that has been traced."""
    parameters, macs, activations = Counter[str](), Counter[str](), Counter[str]()
    for op in traced.ops:
        layer = f"{op.name} ({op.kind})"
        parameters[layer] += op.own_parameters
        if op.leaf:
            macs[layer] += op.macs or 0
            if not op.of_weights:
                activations[layer] = max(activations[layer], 4 * prod(op.output))
    for idle in traced.called_by_parts:
        parameters[f"{idle.name} ({idle.kind})"] += idle.parameters or 0
    for idle in traced.unused:
        parameters[f"{idle.path} ({traced.say_when_it_runs(idle)})"] = idle.parameters or 0
    parameters.update(
        {f"{weights.name} ({weights.remedy})": weights.numbers for weights in traced.hidden}
    )
    outside = [weights for weights in traced.hidden if not weights.saved]
    # What is in no state_dict counts, too, at four bytes a number.
    unsaved = 4 * sum(weights.numbers for weights in outside)
    return ModelCost(
        parameters=traced.parameters,
        macs=traced.macs(),
        weight_bytes=_count_saved_bytes(traced) + unsaved,
        activation_bytes=traced.activation_bytes,
        kinds=_collect_kinds(traced),
        spending={
            "parameters": _largest_first(parameters),
            "MACs": _largest_first(macs),
            "weight bytes": _largest_first({name: 4 * n for name, n in parameters.items()}),
            "activation bytes": _largest_first(activations),
        }
        | (
            {
                HIDDEN: [
                    (f"{weights.name} ({weights.remedy})", weights.numbers) for weights in outside
                ]
            }
            if outside
            else {}
        ),
        epochs=epochs,
        one_image=traced.one_image,
        structure=traced.describe,
        savings=find_savings(traced),
    )


def _count_saved_bytes(traced: Trace) -> int:
    """Return the size of a net's parameters and persistent buffers; shared ones count once."""
    tensors = traced.list_parameters()
    for _, module in list_modules(traced.net):
        temporary = list_attributes(module).get("_non_persistent_buffers_set", ())
        tensors += [tensor for name, tensor in own_buffers(module) if name not in temporary]
    return count_bytes({id(tensor): tensor for tensor in tensors}.values())


def check(
    net: nn.Module,
    budget: Budget,
    shape: Sequence[int] = (1, 28, 28),
    epochs: int | None = None,
    classes: int | None = None,
    batch_size: int | None = None,
) -> NotedVerdict:
    """Check a net against a budget before any training.

    Args:
        net: Any module.
        budget: The limits.
        shape: The shape of one image, ``C H W``.
        epochs: The planned number of epochs, if a recipe has been chosen.
        classes: The number of classes, which the net is told if it has more or fewer outputs;
            None: that of the budget's data set.
        batch_size: The planned batch size, if a recipe has been chosen.

    Returns:
        For each rule PASS, FAIL, UNKNOWN, or NOT YET if only training can decide it;
        and notes on the net.

    Raises:
        NetError: The net does not run on such an image.
        BudgetError: The budget forbids or requires a kind of layer that does not exist.
    """
    check_argument(budget, Budget)
    traced = trace(net, shape)
    found = cost_from_trace(traced, epochs)
    outputs = check_outputs(traced.outputs, budget, traced.shape, classes)
    notes = write_notes(traced)
    if not outputs:
        notes += write_class_notes(traced.outputs, budget, traced.shape, classes)
    return judge_cost(found, budget, notes, outputs, batch_size=batch_size)


def judge_cost(
    found: ModelCost,
    budget: Budget,
    notes: Iterable[str] = (),
    further: Sequence[RuleResult] = (),
    *,
    batch_size: int | None = None,
) -> NotedVerdict:
    """Check a cost against a budget, if the kinds of layers in its rules exist.

    Args:
        found: The cost of a net.
        budget: The limits.
        notes: Notes on the net, which the verdict repeats.
        further: Results of rules that a cost does not show, for the end of the verdict.
        batch_size: The planned batch size, if a recipe has been chosen.

    Raises:
        BudgetError: The budget forbids or requires a kind of layer that does not exist.
    """
    refuse_unknown_names(budget, found.kinds)
    verdict = budget.judge(found, batch_size=batch_size)
    kept = drop_one_image_note(notes, found.one_image, verdict.results)
    results = (*add_savings(verdict.results, budget, found), *further)
    return NotedVerdict(verdict.budget, results, verdict.withheld, kept)


def refuse_unknown_names(budget: Budget, in_net: Collection[str] = ()) -> None:
    """Check that the kinds of layers in a budget's rules exist, and its data set.

    A misspelled kind would otherwise forbid nothing, unnoticed.

    Args:
        budget: The budget.
        in_net: The kinds of the net that it judges, which may be its own; none: of any net.

    Raises:
        BudgetError: A kind is neither in torch.nn nor in the net, or the data set is misspelled.
    """
    if wrong := explain_dataset(budget.dataset):
        raise BudgetError(f"{budget.label}: {wrong}")
    own = {name.lower() for name in in_net}
    for term in unknown_kinds(budget.rules()):
        exact = term.text.startswith("nn.")
        if (exact or term.kind.lower() not in own) and not _is_torch_layer(term.kind):
            unknown = describe_unknown_kind(term.kind, in_net)
            raise BudgetError(f"{budget.label}: {unknown}")


def _is_torch_layer(kind: str) -> bool:
    """Return whether this version of PyTorch has a layer of a name."""
    layers = [value for name, value in vars(nn).items() if name.lower() == kind.lower()]
    return any(isinstance(layer, type) and issubclass(layer, nn.Module) for layer in layers)


def _collect_kinds(traced: Trace) -> dict[str, list[str]]:
    """Return for each kind of layer or function the names of the modules in which it occurs."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, module in list_modules(traced.net):
        # A subclass of a torch layer counts as that layer, too, except for torch's private bases.
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
    for op in traced.ops:
        functions = [] if isinstance(op.module, nn.Conv2d | nn.Linear) else op.functions
        for function in functions:
            layer = _LAYER_OF_FUNCTION.get(function, function)
            kinds[f"{layer}2d" if layer in ("Conv", "BatchNorm") else layer].append(
                f"{op.name} (function)"
            )
    return dict(kinds)


def _largest_first(amounts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, n) for name, n in amounts.items() if n), key=lambda item: -item[1])
