"""Find the elements of a net that the words of a rule mean, and name them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from netlet.budgets.families import GLOBAL_POOLINGS
from netlet.budgets.rules import (
    AfterRule,
    CountRule,
    DistanceRule,
    FieldRule,
    HiddenRule,
    Rule,
    Strictness,
    Term,
    TermRule,
)
from netlet.budgets.structure import Element, Layout
from netlet.budgets.verdict import State
from netlet.text import count_noun

_NAMES_SHOWN = 4
_OPERATIONS = frozenset(
    # Layers of torch.nn that are found by what an operation computes, not by their class alone.
    ["AlphaDropout", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d"]
    + ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]
    + ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LayerNorm", "GroupNorm"]
    + ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "RMSNorm", "LocalResponseNorm"]
    + [
        f"{kind}Pool{n}d"
        for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
        for n in (1, 2, 3)
    ]
    + ["CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh"]
    + ["LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6"]
    + ["RReLU", "SELU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Softshrink", "Tanh", "Flatten"]
)
CLASS_OF = {name.lower(): name for name in _OPERATIONS}


def head_of(rule: Rule) -> tuple[str, str]:
    """Return what a result calls a rule and its limit."""
    if isinstance(rule, CountRule):
        name = " | ".join(term.text for term in rule.terms)
        if len(rule.terms) == 1 and name[:1].isupper() and name not in GLOBAL_POOLINGS:
            name += " layers"
        none = rule.number == 0 and rule.strictness != "at least"
        return name, "none" if none else f"{rule.strictness} {rule.number}"
    if isinstance(rule, FieldRule):
        return f"receptive field {rule.place}", f"{rule.strictness} {rule.number}"
    assert isinstance(rule, TermRule)
    name = " | ".join(term.text for term in rule.terms)
    if isinstance(rule, DistanceRule):
        return (
            f"{name} before the prediction",
            f"{rule.strictness} {count_noun(rule.number, 'layer')}",
        )
    if isinstance(rule, AfterRule):
        each = " | ".join(term.text for term in rule.each)
        return f"{name} after each {each}", "each"
    if isinstance(rule, HiddenRule):
        return f"{name} before the last layer", "none"
    return f"{name} right before the prediction", "none"


def find_words(rule: Rule, words: str) -> str:
    """Return the words of a budget, if a result of the rule has others; else nothing.

    The order and ``layers`` make no difference: ``at least 3 Conv2d`` and the rule ``Conv2d
    layers`` with the limit ``at least 3`` say the same. ``dropout`` is shown as in the budget.

    Args:
        rule: The rule.
        words: What the budget says, in ``requires`` or ``forbids``.
    """
    name, limit = head_of(rule)
    kinds = name.removesuffix(" layers")
    same = (name, kinds, f"{kinds} {limit}", f"no {kinds}")
    as_written = set(kinds.split()) <= set(words.split())
    if as_written and _sort_words(words) in map(_sort_words, same):
        return ""
    return " ".join(words.split())


def _sort_words(text: str) -> list[str]:
    return sorted(text.lower().split())


def matches(term: Term, element: Element) -> bool:
    """Return whether an element is what a word of a rule means."""
    if term.kernel:
        kernel = element.kernel
        flat = term.kernel if len(set(term.kernel)) > 1 else term.kernel[:1] * len(kernel)
        return bool(kernel) and kernel == flat
    if term.family is not None:
        return term.family.name in element.families
    kind = CLASS_OF.get(term.kind.lower(), term.kind)
    return f"nn.{kind}" in element.families


def select(terms: Iterable[Term], layout: Layout) -> list[int]:
    """Return the places of the elements that are one of some kinds; one layer counts once."""
    terms = tuple(terms)
    found: list[int] = []
    seen: set[str] = set()
    for place, element in enumerate(layout.elements):
        if not any(matches(term, element) for term in terms):
            continue
        if element.weights and element.weights in seen:
            continue
        seen.add(element.weights)
        found.append(place)
    return found


def list_names(names: Sequence[str]) -> str:
    """Return names like ``drop1, relu (3 times) and 2 more``."""
    counted = [
        name if times == 1 else f"{name} ({times} times)" for name, times in Counter(names).items()
    ]
    more = len(counted) - _NAMES_SHOWN
    shown = ", ".join(counted[:_NAMES_SHOWN])
    return shown if more <= 0 else f"{shown} and {more} more"


def example(term: Term) -> str:
    """Return code that would satisfy a rule that requires a kind of layer."""
    if term.family is not None:
        return term.family.example
    if term.kernel:
        kernel = term.kernel[0] if len(set(term.kernel)) == 1 else term.kernel
        return f"nn.Conv2d(channels, channels, {kernel})"
    return f"nn.{term.kind}" if term.kind.lower() in CLASS_OF else term.kind


def compare(found: int, strictness: Strictness, number: int) -> State:
    """Return whether a number is within a limit."""
    passed = {
        "at least": found >= number,
        "at most": found <= number,
        "exactly": found == number,
    }[strictness]
    return "PASS" if passed else "FAIL"


def belongs(element: Element, family: str) -> bool:
    """Return whether an element belongs to a family."""
    return family in element.families
