"""Judge the rules of a budget by what a net consists of."""

from __future__ import annotations

from collections.abc import Iterable

from netlet.budgets.families import BIAS, CONVOLUTION_BIAS, LINEAR_BIAS, RATE_IS_ZERO
from netlet.budgets.measures import ModelCost
from netlet.budgets.place_checks import (
    check_after,
    check_distance,
    check_end,
    check_field,
    check_hidden,
)
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
from netlet.budgets.selection import CLASS_OF, compare, example, head_of, list_names, select
from netlet.budgets.structure import Layout, Structure
from netlet.budgets.verdict import RuleResult, State

_LISTED = 4
_BIASES = (BIAS, CONVOLUTION_BIAS, LINEAR_BIAS)
_NEAR_SHOWN = 2
_KEEP_TO_SHAPES = (
    "use no print, assert, if or item() on the values of tensors in forward; shapes are allowed"
)


def check_rule(rule: Rule, cost: ModelCost) -> RuleResult:
    """Return the result of a rule; what is not known never passes."""
    structure = cost.describe()
    if structure is None:
        return RuleResult(*head_of(rule), "unknown", "-", "UNKNOWN")
    result = _check_layout(rule, structure.training, structure)
    if structure.evaluation is not None and not _asks_for_dropout(rule):
        # Both have to hold: what is trained, and what is scored.
        other = _check_layout(rule, structure.evaluation, structure)
        if _SEVERITY[other.state] > _SEVERITY[result.state]:
            result = other
    if structure.unknown and result.state == "PASS":
        found = f"{result.found}, but {structure.unknown}"
        return RuleResult(result.rule, result.limit, found, "-", "UNKNOWN", (), _KEEP_TO_SHAPES)
    return result


_SEVERITY: dict[State, int] = {"PASS": 0, "NOT YET": 1, "NOT JUDGED": 2, "UNKNOWN": 3, "FAIL": 4}


def _asks_for_dropout(rule: Rule) -> bool:
    return any("dropout" in term.text.lower() for term in rule.words())


def _check_layout(rule: Rule, layout: Layout, structure: Structure) -> RuleResult:
    if isinstance(rule, CountRule):
        return _check_count(rule, layout, structure)
    if isinstance(rule, FieldRule):
        return check_field(rule, layout)
    if isinstance(rule, DistanceRule):
        return check_distance(rule, layout)
    if isinstance(rule, AfterRule):
        return check_after(rule, layout)
    if isinstance(rule, HiddenRule):
        result = check_hidden(rule, layout)
        # Where in the net these are, no operation says.
        anywhere = list_names(_modules_of_kinds(rule.terms, structure))
        if anywhere and result.state == "PASS":
            found = f"0, but {anywhere} may come before it"
            return RuleResult(result.rule, result.limit, found, "-", "UNKNOWN")
        return result
    assert isinstance(rule, EndRule)
    return check_end(rule, layout)


def _check_count(rule: CountRule, layout: Layout, structure: Structure) -> RuleResult:
    names = [layout.elements[place].name for place in select(rule.terms, layout)]
    names += _modules_of_kinds(rule.terms, structure)
    state = compare(len(names), rule.strictness, rule.number)
    unsure = [element.name for element in layout.elements if element.unsure]
    # What cannot be seen may be what is missing, or what is forbidden.
    if unsure and state == ("FAIL" if rule.strictness == "at least" else "PASS"):
        state = "UNKNOWN"
    found = str(len(names))
    if names and not (state == "FAIL" and rule.number == 0):
        found += f": {list_names(names)}"
    elif not names and (near := _near_misses(rule.terms, layout)):
        found += f" ({near})"
    if state == "UNKNOWN":
        found += f"; {list_names(unsure)} may be anything"
    most = tuple(dict.fromkeys(names))[:_LISTED]
    return RuleResult(
        *head_of(rule),
        found,
        "-",
        state,
        most if state == "FAIL" and rule.strictness != "at least" and rule.number == 0 else (),
        _remedy(rule, len(names), layout) if state == "FAIL" else "",
    )


def _modules_of_kinds(terms: Iterable[Term], structure: Structure) -> list[str]:
    """Return modules of classes that no operation stands for, such as ``LSTM`` or one's own."""
    found: dict[str, None] = {}
    for term in terms:
        if term.kind and term.kind.lower() not in CLASS_OF:
            for kind, names in structure.kinds:
                if kind.lower() == term.kind.lower():
                    found.update(dict.fromkeys(names))
    return list(found)


def _near_misses(terms: Iterable[Term], layout: Layout) -> str:
    """Return what nearly is of one of some kinds, with the reason why it is not."""
    names = {name for term in terms for name in (term.text, f"nn.{term.kind}")}
    found = [
        f"{element.name}: {why}"
        for element in layout.elements
        for name, why in element.near
        if name in names
    ]
    found = list(dict.fromkeys(found))
    more = len(found) - _NEAR_SHOWN
    return "; ".join(found[:_NEAR_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _name_idle_dropout(terms: Iterable[Term], layout: Layout) -> str:
    """Return the first dropout whose rate is 0 and that one of some kinds means, or nothing."""
    names = {name for term in terms for name in (term.text, f"nn.{term.kind}")}
    return next(
        (
            element.name
            for element in layout.elements
            for name, why in element.near
            if name in names and why == RATE_IS_ZERO
        ),
        "",
    )


def _remedy(rule: CountRule, found: int, layout: Layout) -> str:
    if rule.strictness == "at least" or (rule.strictness == "exactly" and found < rule.number):
        if idle := _name_idle_dropout(rule.terms, layout):
            return f"raise p of {idle} above 0"
        if examples := [text for term in rule.terms if (text := example(term))]:
            return f"add {' or '.join(examples)}"
        return f"add {rule.terms[0].text}"
    if all(term.family is not None and term.family.name in _BIASES for term in rule.terms):
        return "pass bias=False"
    return "" if rule.number == 0 else f"leave out {found - rule.number}"
