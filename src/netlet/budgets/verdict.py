"""The verdict of a budget: one result for each of its rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from netlet.display import Displayed
from netlet.text import Table, escape_controls

# Of fields that records of earlier versions do not have.
OPTIONAL = "may_be_missing"
MAY_BE_MISSING = {OPTIONAL: True}
State = Literal["PASS", "FAIL", "NOT YET", "NOT JUDGED", "UNKNOWN"]


@dataclass(frozen=True)
class RuleResult(Displayed):
    """One rule of a budget, checked against what was found."""

    rule: str
    limit: str
    found: str
    margin: str
    state: State
    largest_layers: tuple[str, ...] = ()  # if it fails: the layers that cost most, largest first
    # Records store these three only where there is something to say.
    remedy: str = field(default="", metadata=MAY_BE_MISSING)  # if it fails: what would satisfy it
    message: str = field(default="", metadata=MAY_BE_MISSING)  # if not passed: what the budget says
    words: str = field(default="", metadata=MAY_BE_MISSING)  # the budget's, if ``rule`` has others

    @property
    def title(self) -> str:
        """The rule as people read it: in the words of the budget."""
        return self.words or self.rule

    @property
    def requirement(self) -> str:
        """What is asked for, in one line: ``Conv2d >= 3``, or ``parameters below 8,000``."""
        return self.words or f"{self.rule} {self.limit}"


def is_about_accuracy(result: RuleResult) -> bool:
    """Return whether a result depends on the labels of the test images."""
    return result.rule.startswith("accuracy, ")


def label_budget(name: str) -> str:
    """Return what messages call a budget: ``budget class``, or ``budget`` if it has no name."""
    return "budget" if name == "budget" else f"budget {name}"


@dataclass(frozen=True)
class Verdict(Displayed):
    """The results of all rules of a budget; ``str(verdict)`` is a table."""

    budget: str
    results: tuple[RuleResult, ...]
    withheld: str = ""  # why accuracy was not judged

    @property
    def state(self) -> State:
        """The worst state: FAIL, then UNKNOWN, NOT JUDGED, NOT YET, PASS."""
        states = {result.state for result in self.results}
        for state in ("FAIL", "UNKNOWN", "NOT JUDGED", "NOT YET"):
            if state in states:
                return state
        return "PASS"

    @property
    def passed(self) -> bool:
        """Whether every rule is met."""
        return self.state == "PASS"

    @property
    def failed(self) -> bool:
        """Whether a rule is broken or cannot be checked."""
        return self.state in ("FAIL", "UNKNOWN")

    def __str__(self) -> str:
        head, *footnotes = map(escape_controls, (self.head, *self.footnotes()))
        return "\n".join([head, str(self.to_table()), *footnotes])

    @property
    def label(self) -> str:
        """What messages call the budget."""
        return label_budget(self.budget)

    @property
    def head(self) -> str:
        """The budget and its state in one line."""
        return f"{self.budget}: {self.outcome}"

    @property
    def outcome(self) -> str:
        """The state, and why accuracy was not judged."""
        return f"not judged: {self.withheld}" if self.state == "NOT JUDGED" else self.state

    def to_table(self) -> Table:
        """Return a row for each rule."""
        rows = [(r.title, r.limit, r.found, r.margin, r.state) for r in self.results]
        return Table(("rule", "limit", "found", "margin", "verdict"), rows, "lllll")

    def footnotes(self) -> list[str]:
        """Return the lines below the table: the layers that cost most, and notes on the net."""
        return [line for result in self.results for line in _explain(result)]

    def _facts(self) -> Mapping[str, object]:
        return {
            "budget": self.budget,
            "state": self.state,
            "results": {result.rule: result.state for result in self.results},
        }


@dataclass(frozen=True)
class NotedVerdict(Verdict):
    """A verdict before any training, with notes on the net, which are printed below it."""

    notes: tuple[str, ...] = ()

    def footnotes(self) -> list[str]:
        """Return the lines below the table: the layers that cost most, and notes on the net."""
        return [*super().footnotes(), *self.notes]


def _explain(result: RuleResult) -> Iterator[str]:
    """Yield the lines below the table: what costs most, what would help, what the budget says."""
    if result.largest_layers:
        yield _name_largest_layers(result)
    yield from (f"{result.title}: {text}" for text in (result.remedy, result.message) if text)


def _name_largest_layers(result: RuleResult) -> str:
    """Return the layers that cost most, like ``most parameters: layer 4 (Linear) 27,050``."""
    if result.limit == "none":  # a forbidden kind of layer
        return f"{result.title}: {', '.join(result.largest_layers)}"
    return f"most {result.rule}: {'; '.join(f'layer {layer}' for layer in result.largest_layers)}"
