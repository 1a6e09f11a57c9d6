"""The result of judging a budget: a rule_result for each rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netlet.text import table

State = Literal["PASS", "FAIL", "NOT YET", "NOT JUDGED", "UNKNOWN"]


@dataclass(frozen=True)
class RuleResult:
    """One rule of a budget, held against what was found."""

    rule: str
    limit: str
    found: str
    margin: str
    state: State
    spenders: tuple[str, ...] = ()  # on a failure: which layers spend the most, dearest first


@dataclass(frozen=True)
class Verdict:
    """All rule_results of one budget; its ``str`` is the table a person reads."""

    budget: str
    rule_results: tuple[RuleResult, ...]
    withheld: str = ""  # why accuracy was not judged

    @property
    def state(self) -> State:
        """The worst rule_result: FAIL before UNKNOWN before NOT JUDGED before NOT YET before PASS."""
        states = {rule_result.state for rule_result in self.rule_results}
        for state in ("FAIL", "UNKNOWN", "NOT JUDGED", "NOT YET"):
            if state in states:
                return state
        return "PASS"

    @property
    def passed(self) -> bool:
        """Whether every rule is shown to hold."""
        return self.state == "PASS"

    @property
    def failed(self) -> bool:
        """Whether some rule is broken, or cannot be shown to hold."""
        return self.state in ("FAIL", "UNKNOWN")

    def __str__(self) -> str:
        rows = [(r.rule, r.limit, r.found, r.margin, r.state) for r in self.rule_results]
        head = f"not judged: {self.withheld}" if self.state == "NOT JUDGED" else self.state
        lines = [f"{self.budget}: {head}", table(("rule", "limit", "found", "margin", ""), rows)]
        lines += [f"{r.rule} in: {', '.join(r.spenders)}" for r in self.rule_results if r.spenders]
        return "\n".join(lines)
