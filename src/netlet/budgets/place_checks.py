"""Judge the rules of a budget that are about places in a net."""

from __future__ import annotations

from collections.abc import Sequence

from netlet.budgets.families import (
    ANY_ACTIVATION,
    ANY_NORM,
    DROPOUT,
    GLOBAL_POOLINGS,
    LAYER,
    TO_ONE_PLACE,
)
from netlet.budgets.rules import AfterRule, DistanceRule, EndRule, FieldRule, HiddenRule, Term
from netlet.budgets.selection import belongs, compare, example, head_of, list_names, matches, select
from netlet.budgets.structure import Element, Layout
from netlet.budgets.verdict import RuleResult, State
from netlet.text import count_noun


def _last_layers(layout: Layout) -> list[int]:
    """Return the layers with weights whose outputs reach the prediction through no other."""
    found, left, seen = list[int](), list(layout.ends), set[int]()
    while left:
        place = left.pop()
        if place in seen:
            continue
        seen.add(place)
        if belongs(layout.elements[place], LAYER):
            found.append(place)
        else:
            left += layout.elements[place].inputs
    return sorted(found)


def _fields_before(rule: FieldRule, layout: Layout) -> list[tuple[str, tuple[int, ...] | None]]:
    """Return the receptive fields at the place of a rule, each with the name of a layer."""
    elements = layout.elements
    if rule.place == "at the output":
        return [("the output", layout.field)]
    if rule.place == "before GAP":
        pools = [element for element in elements if belongs(element, "GAP")]
        return [(element.name, element.before) for element in pools]
    found = []
    for place in _last_layers(layout):
        element = elements[place]
        while len(element.inputs) == 1 and _passes_field(elements[element.inputs[0]]):
            element = elements[element.inputs[0]]
        found.append((elements[place].name, element.before))
    return found


def _passes_field(element: Element) -> bool:
    """Return whether the receptive field before an element counts as the one after it.

    That of a global pooling does: it sees the whole map, whatever the layers before it see.
    """
    same = (ANY_ACTIVATION, ANY_NORM, DROPOUT, "Flatten", TO_ONE_PLACE, *GLOBAL_POOLINGS)
    return any(belongs(element, family) for family in same)


def check_field(rule: FieldRule, layout: Layout) -> RuleResult:
    """Check the receptive field at a place of a net."""
    head = head_of(rule)
    fields = _fields_before(rule, layout)
    if not fields:
        what = "GAP" if rule.place == "before GAP" else "convolution or linear layer"
        return RuleResult(*head, f"there is no {what}", "-", "FAIL")
    if any(field is None for _, field in fields):
        return RuleResult(*head, "unknown", "-", "UNKNOWN")
    sizes = [(min(field), max(field), name, field) for name, field in fields if field]
    least, most = min(sizes), max(sizes, key=lambda size: size[1])
    low = compare(least[0], rule.strictness, rule.number)
    high = compare(most[1], rule.strictness, rule.number)
    one = most if rule.strictness == "at most" or low == "PASS" else least
    state: State = "PASS" if low == high == "PASS" else "FAIL"
    size = one[1] if one is most and rule.strictness != "at least" else one[0]
    margin = size - rule.number if rule.strictness != "at most" else rule.number - size
    sizes_text = str(one[3][0]) if len(set(one[3])) == 1 else " x ".join(map(str, one[3]))
    found = sizes_text if rule.place == "at the output" else f"{sizes_text} at {one[2]}"
    remedy = ""
    if state == "FAIL" and rule.strictness == "at least":
        remedy = "add a convolution, a larger kernel, a stride or a pooling before it"
    return RuleResult(*head, found, f"{margin:+}" if margin else "0", state, (), remedy)


def _readers(layout: Layout) -> list[list[int]]:
    readers: list[list[int]] = [[] for _ in layout.elements]
    for place, element in enumerate(layout.elements):
        for source in element.inputs:
            readers[source].append(place)
    return readers


def check_distance(rule: DistanceRule, layout: Layout) -> RuleResult:
    """Check how many layers follow on one of some kinds."""
    head = head_of(rule)
    readers, elements = _readers(layout), layout.elements
    # The most convolutions and linear layers on a way from each element to the prediction.
    after = [0] * len(elements)
    for place in reversed(range(len(elements))):
        after[place] = max(
            (after[reader] + belongs(elements[reader], LAYER) for reader in readers[place]),
            default=0,
        )
    places = [
        place
        for place, element in enumerate(elements)
        if any(matches(term, element) for term in rule.terms)
        and (not _is_global(element) or any(term.text in GLOBAL_POOLINGS for term in rule.terms))
    ]
    if not places:
        unsure = any(element.unsure for element in elements)
        return RuleResult(*head, "there is none", "-", "UNKNOWN" if unsure else "FAIL")
    key = min if rule.strictness != "at most" else max
    last = key(places, key=lambda place: after[place])
    number = after[last]
    margin = rule.number - number if rule.strictness == "at most" else number - rule.number
    found = f"{count_noun(number, 'layer')}: {elements[last].name}"
    state = compare(number, rule.strictness, rule.number)
    return RuleResult(*head, found, f"{margin:+}" if margin else "0", state)


def _is_global(element: Element) -> bool:
    return any(belongs(element, family) for family in (*GLOBAL_POOLINGS, TO_ONE_PLACE))


def check_after(rule: AfterRule, layout: Layout) -> RuleResult:
    """Check that each layer reaches one of some kinds before the next layer, on every way."""
    head, elements, readers = head_of(rule), layout.elements, _readers(layout)
    exempt = set(_last_layers(layout))
    places = [
        place
        for place, element in enumerate(elements)
        if any(matches(term, element) for term in rule.each) and place not in exempt
    ]
    if not places:
        skipped = "only the last layer is one" if exempt else "there is none"
        return RuleResult(*head, f"0 ({skipped})", "-", "FAIL")
    missing = [p for p in places if not _is_followed(p, rule.terms, layout, readers)]
    done = len(places) - len(missing)
    found = f"{done} of {len(places)}"
    if missing:
        names = list_names([elements[place].name for place in missing])
        found += f"; not after {names}"
    remedy = "add " + " or ".join(map(example, rule.terms)) if missing else ""
    return RuleResult(*head, found, "-", "FAIL" if missing else "PASS", (), remedy)


def _is_followed(
    place: int, terms: Sequence[Term], layout: Layout, readers: Sequence[Sequence[int]]
) -> bool:
    left, seen = [place], set[int]()
    while left:
        one = left.pop()
        if one in layout.ends:
            return False
        for reader in readers[one]:
            element = layout.elements[reader]
            if any(matches(term, element) for term in terms) or reader in seen:
                continue
            if belongs(element, LAYER):
                return False
            seen.add(reader)
            left.append(reader)
    return True


def check_end(rule: EndRule, layout: Layout) -> RuleResult:
    """Check that none of some kinds is between the last layers and the prediction."""
    found, left, seen = list[str](), list(layout.ends), set[int]()
    while left:
        place = left.pop()
        element = layout.elements[place]
        if place in seen or belongs(element, LAYER):
            continue
        seen.add(place)
        left += element.inputs
        if any(matches(term, element) for term in rule.terms):
            found.append(element.name)
    head = head_of(rule)
    remedy = "leave it out, or move it before the last layer"
    if found:
        return RuleResult(*head, str(len(found)), "-", "FAIL", tuple(found[:3]), remedy)
    return RuleResult(*head, "0", "-", "PASS")


def check_hidden(rule: HiddenRule, layout: Layout) -> RuleResult:
    """Check that the last layers depend on none of some kinds."""
    elements, head = layout.elements, head_of(rule)
    read = [source for place in _last_layers(layout) for source in elements[place].inputs]
    before = _find_ancestors(read, layout)
    found = [elements[place].name for place in select(rule.terms, layout) if place in before]
    if found:
        remedy = "leave it out" if len(found) == 1 else "leave them out"
        return RuleResult(*head, str(len(found)), "-", "FAIL", tuple(found[:3]), remedy)
    unsure = [elements[place].name for place in sorted(before) if elements[place].unsure]
    if unsure:
        return RuleResult(*head, f"0; {list_names(unsure)} may be anything", "-", "UNKNOWN")
    return RuleResult(*head, "0", "-", "PASS")


def _find_ancestors(places: Sequence[int], layout: Layout) -> set[int]:
    """Return the elements whose outputs some elements depend on, and these themselves."""
    found, left = set[int](), list(places)
    while left:
        place = left.pop()
        if place not in found:
            found.add(place)
            left += layout.elements[place].inputs
    return found
