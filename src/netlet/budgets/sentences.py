"""A budget as text for people: each limit in words, and what counts for each rule."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netlet.budgets.budget import COUNTS, PERCENTAGES, Budget
from netlet.budgets.kind_checks import is_unknown, may_be_class, unknown_kinds
from netlet.budgets.points import find_payer, format_points
from netlet.budgets.rule_parser import forbid, parse_rule
from netlet.budgets.rules import (
    AfterRule,
    CountRule,
    DistanceRule,
    EndRule,
    FieldRule,
    HiddenRule,
    Rule,
    Term,
)
from netlet.text import escape_controls

_WIDTH = 100
_LIMITS = {
    "params_below": "fewer than {} parameters",
    "epochs_at_most": "at most {} epochs",
    "epochs_below": "fewer than {} epochs",
    "accuracy_at_least": "at least {}% accuracy",
    "accuracy_above": "more than {}% accuracy",
    "held_for_last": "accuracy held for the last {} epochs",
    "batch_size": "batch size {}",
    "macs_below": "fewer than {} MACs",
    "weight_bytes_below": "fewer than {} bytes of weights (float32)",
    "activation_bytes_below": "fewer than {} bytes of activations (float32)",
}
_MANY_LAYERS = 100  # a limit on layers, as long as it is below
_SPLITS = {"test": "the test images", "val": "images held out of the training split"}


@dataclass(frozen=True)
class RuleText:
    """A rule for people.

    Attributes:
        words: As the budget writes it.
        required: Whether it stands in ``requires``; otherwise it is forbidden.
        counts: What counts, for each word of the rule and for the place in the net.
    """

    words: str
    required: bool
    counts: tuple[tuple[str, str], ...]


def describe_limit(name: str, value: float) -> str:
    """Return a limit in words: ``fewer than 8,000 parameters``.

    Args:
        name: The name of the limit in :class:`~netlet.budgets.Budget`.
        value: Its value.
    """
    # A limit like 3,763 means the net of 3,762 parameters that it was set for.
    if name == "params_below" and value > 1_000 and value % 100:
        return f"at most {value - 1:,} parameters"
    if name in PERCENTAGES:
        return _LIMITS[name].format(f"{value:.10g}")
    text = _LIMITS[name].format(f"{value:,}")
    return text.removesuffix("s") if value == 1 and text.endswith("epochs") else text


def describe_limits(budget: Budget) -> dict[str, str]:
    """Return the limits of a budget in words, by their names."""
    values = {name: getattr(budget, name) for name in (*COUNTS, *PERCENTAGES)}
    return {name: describe_limit(name, value) for name, value in values.items() if value}


def describe_rules(budget: Budget) -> list[RuleText]:
    """Return the rules of a budget with what counts: what is required, then what is forbidden."""
    required = [RuleText(rule, True, _counts(parse_rule(rule))) for rule in budget.requires]
    return required + [RuleText(kind, False, _counts(forbid(kind))) for kind in budget.forbids]


def _counts(rule: Rule) -> tuple[tuple[str, str], ...]:
    found = [(term.text, _meaning(term)) for term in rule.words()]
    return (*dict(found).items(), *(("place", place) for place in _place(rule)))


def _meaning(term: Term) -> str:
    if term.family is not None:
        return term.family.meaning
    if term.kernel:
        return "a convolution with a kernel of this size"
    if term.own:
        return "a layer of torch.nn, or a class in the file of the net"
    if is_unknown(term):
        return "a class in the file of the net"
    return "exactly this layer of torch.nn, or its function"


def _place(rule: Rule) -> Iterator[str]:
    if isinstance(rule, FieldRule):
        yield (
            f"{rule.place}: the pixels of the image that one element there depends on, along the "
            "shorter axis"
        )
    if isinstance(rule, DistanceRule):
        yield (
            "the layers that count are the convolutions and linear layers after it, with the one "
            "that computes the scores"
        )
    if isinstance(rule, AfterRule):
        yield "before the next convolution, linear layer or output; the last layer needs none"
    if isinstance(rule, EndRule):
        yield "on the output of the last convolution or linear layer"
    if isinstance(rule, HiddenRule):
        yield "what the last convolution or linear layer depends on; that layer does not count"


def write_notes(budget: Budget) -> list[str]:
    """Return a note for each rule that may not mean what it seems to mean.

    It has a word that is not a layer that netlet knows, asks for a receptive field that any net has
    which ends in a global pooling or in a linear layer over the map, or allows so many layers that
    parameters may be meant.
    """
    rules = budget.rules()
    kinds = {term.kind: None for term in unknown_kinds(rules) if may_be_class(term)}
    return (
        [
            f"note: {kind!r} is neither a layer of torch.nn nor a family of layers, so it means a "
            f"class of this name in the file of the net; write '={kind}' to say so"
            for kind in kinds
        ]
        + [
            f"note: {rule.text!r} holds for almost any net, since each score depends on the whole "
            "image after a global pooling or a linear layer; to ask for the field of the layers "
            "before it, add 'before the last layer'"
            for rule in rules
            if isinstance(rule, FieldRule)
            and rule.place == "at the output"
            and rule.strictness == "at least"
        ]
        + [
            f"note: {rule.text!r} counts layers, and holds for almost any net; no rule limits the "
            "parameters of a single layer"
            for rule in rules
            if isinstance(rule, CountRule)
            and rule.strictness == "at most"
            and rule.number >= _MANY_LAYERS
        ]
    )


def write_page(budget: Budget, points: Mapping[str, float] | None = None) -> str:
    """Return a budget as a page: title, limits, rules with what counts, messages and notes.

    Args:
        budget: The budget.
        points: The points for limits, by their names, and for rules; without any, none is shown.
    """
    worth = {
        name: f" ({round(count, 2):g} point{'' if count == 1 else 's'})"
        for name, count in (points or {}).items()
    }
    title = budget.title or budget.about
    messages = dict(budget.messages)
    lines = [f"{budget.name}: {title}" if title else budget.name]
    if budget.target is not None or budget.judged_on != "test":
        data = f" of {budget.dataset}" if budget.dataset else ""
        lines += _wrap(
            f"Accuracy is judged after the last epoch, on {_SPLITS[budget.judged_on]}{data}."
        )
    if limits := describe_limits(budget):
        lines += ["", "Limits"]
        for name, text in limits.items():
            lines += [*_wrap(f"- {text}{worth.get(name, '')}", "  "), *_message(messages.get(name))]
        if budget.target is not None:
            lines += _wrap(_describe_one_image(budget, points or {}), "  ")
    explained: set[str] = set()
    for head, required in (("Required", True), ("Forbidden", False)):
        rules = [rule for rule in describe_rules(budget) if rule.required == required]
        lines += ["", head] if rules else []
        for rule in rules:
            lines += _wrap(f"- {rule.words}{worth.get(rule.words, '')}", "  ")
            for word, meaning in rule.counts:
                if word not in explained or word == "place":
                    lines += _wrap(f"  {word}: {meaning}", "    ")
                explained.add(word)
            lines += _message(messages.get(rule.words))
    if notes := write_notes(budget):
        lines += ["", *(line for note in notes for line in _wrap(note))]
    return "\n".join(map(escape_controls, lines))


def _describe_one_image(budget: Budget, points: Mapping[str, float]) -> str:
    """Return the rule that holds without being in a budget that asks for an accuracy.

    Args:
        budget: The budget.
        points: As in :func:`write_page`. A net that breaks the rule loses a share of those of the
            accuracy.
    """
    paid = points.get(find_payer("", points, budget))
    shares = f" (shares the {format_points(paid)} points for accuracy)" if paid else ""
    return f"- one row of scores for each image, also for a single one: no x.squeeze(){shares}"


def _message(text: str | None) -> list[str]:
    return _wrap(f"  if missed: {text}", "    ") if text else []


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
