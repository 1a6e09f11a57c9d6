"""Judge single limits of a budget: sizes, and kinds of layers of nets without a structure."""

from __future__ import annotations

from netlet.budgets.measures import HIDDEN, TEACHER, ModelCost, Outcome
from netlet.budgets.verdict import RuleResult, State
from netlet.text import format_count


def format_margin(number: int) -> str:
    """Return the distance to a limit with its sign."""
    return f"{number:+,}" if number else "0"


_INT8 = "this limit is for float32, and 'netlet export NET --to c --int8' measures less"
_REMEDIES = {
    "weight bytes": f"make the layers narrower; {_INT8}",
    "activation bytes": f"make the largest maps smaller; {_INT8}",
}


def check_below(
    rule: str, limit: int | None, found: int | None, cost: ModelCost
) -> list[RuleResult]:
    """Return the result of an upper limit, if there is one.

    Args:
        rule: What is limited.
        limit: The first number that is too many; None: no limit.
        found: What the net has; None: unknown.
        cost: The net's cost, for the layers that cost most.
    """
    if limit is None:
        return []
    if found is None:
        return [RuleResult(rule, f"below {limit:,}", "unknown", "-", "UNKNOWN")]
    largest_layers: tuple[str, ...] = ()
    remedy = ""
    if found >= limit:
        remedy = _REMEDIES.get(rule, "")
        spending = [(layer, amount) for layer, amount in cost.spending.get(rule, ()) if amount]
        largest_layers = tuple(f"{layer} {amount:,}" for layer, amount in spending[:3])
    state: State = "PASS" if found < limit else "FAIL"
    margin = format_margin(limit - 1 - found)
    return [
        RuleResult(
            rule, f"below {limit:,}", format_count(found), margin, state, largest_layers, remedy
        )
    ]


def check_hidden(cost: ModelCost) -> list[RuleResult]:
    """Return a rule that is UNKNOWN if a net reads weights that it has not registered."""
    hidden = cost.spending.get(HIDDEN, ())
    if not hidden:
        return []
    total = sum(numbers for _, numbers in hidden)
    found = format_count(total) if all(numbers for _, numbers in hidden) else "unknown"
    largest = tuple(f"{name} {numbers:,}" if numbers else name for name, numbers in hidden[:3])
    return [RuleResult(HIDDEN, "none", found, "-", "UNKNOWN", largest)]


def state_teacher(cost: ModelCost) -> list[RuleResult]:
    """Return a line that states the teacher of a net, which no limit counts."""
    if not cost.teacher:
        return []
    return [RuleResult(TEACHER, "not counted", cost.teacher, "-", "PASS")]


def check_kind(kind: str, cost: ModelCost, *, required: bool) -> RuleResult:
    """Return the result of a kind of layer by the classes of a net's modules.

    Records of earlier versions have no other description of the net.
    """
    layers = [
        layer
        for name, of_kind in cost.kinds.items()
        if name.lower() == kind.lower()
        for layer in of_kind
    ]
    rule, found = f"{kind} layers", str(len(layers))
    if required:
        return RuleResult(rule, "at least 1", found, "-", "PASS" if layers else "FAIL")
    return RuleResult(rule, "none", found, "-", "FAIL" if layers else "PASS", tuple(layers[:3]))


def check_batch_size(limit: int | None, found: int | None) -> list[RuleResult]:
    """Check the batch size of a recipe against the one that a budget states.

    Args:
        limit: The budget's; None: any.
        found: The recipe's; None: not known.
    """
    if limit is None:
        return []
    shown = "-" if found is None else f"{found:,}"
    state: State = "NOT YET" if found is None else "PASS" if found == limit else "FAIL"
    remedy = f"train with --set batch_size={limit}" if state == "FAIL" else ""
    return [RuleResult("batch size", f"exactly {limit:,}", shown, "-", state, (), remedy)]


def check_epochs(
    at_most: int | None, below: int | None, cost: ModelCost, outcome: Outcome | None
) -> list[RuleResult]:
    """Check the epochs that a net was trained for, or that are planned.

    Args:
        at_most: The largest number; None: see ``below``.
        below: The first number that is too many; None: no limit.
        cost: The net's cost, which may have the planned epochs.
        outcome: The outcome of the training; None: not trained.
    """
    if at_most is not None:
        most, limit = at_most, f"at most {at_most}"
    elif below is not None:
        most, limit = below - 1, f"below {below}"
    else:
        return []
    found = max(len(outcome.scores), cost.epochs or 0) if outcome else cost.epochs
    if found is None:
        return [RuleResult("epochs", limit, "-", "-", "NOT YET")]
    shown = str(found) if outcome else f"{found} planned"
    state: State = "PASS" if found <= most else "FAIL"
    return [RuleResult("epochs", limit, shown, format_margin(most - found), state)]
