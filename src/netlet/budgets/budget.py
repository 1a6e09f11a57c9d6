"""What a net may cost and must reach, and the judgement of it: plain values, no torch.

The same code judges a net that was never trained (``Budget.judge(cost)``) and a finished run
(``Budget.judge(cost, outcome)``). Accuracy is judged on integers: 9,939 of 10,000 is not 99.4 %,
and 9,940 is not above it. Only the last epoch on ``test`` counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from netlet.budgets.measures import ModelCost, Outcome, Score
from netlet.budgets.verdict import RuleResult, State, Verdict
from netlet.errors import BudgetError
from netlet.text import count


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits that a net and its training must keep; each says its own strictness, and what is None is free.

    Accuracies are in percent and exact: 99.4 means 994 of 1,000. ``forbids`` and ``requires`` name
    kinds of layers as torch.nn does (``Linear``, ``Dropout``); a functional call counts as its
    layer.
    """

    name: str = "budget"
    dataset: str | None = None  # that the accuracy is of; None: whichever the net was trained on
    params_below: int | None = None
    epochs_at_most: int | None = None
    epochs_below: int | None = None
    accuracy_at_least: float | None = None  # percent
    accuracy_above: float | None = None  # percent
    held_for_last: int | None = None  # the accuracy must hold in each of the last so many epochs
    macs_below: int | None = None
    weight_bytes_below: int | None = None
    activation_bytes_below: int | None = None
    forbids: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse limits that no net could meet or that contradict each other.

        Raises:
            BudgetError: With the field, its value and what to give instead.
        """
        for name in (
            "params_below",
            "macs_below",
            "weight_bytes_below",
            "activation_bytes_below",
            "epochs_below",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BudgetError(
                    f"budget {self.name}: {name}={value} leaves nothing; give a number of at least 1"
                )
        for name in ("epochs_at_most", "held_for_last"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BudgetError(
                    f"budget {self.name}: {name}={value} is not a count; give at least 1"
                )
        for name in ("accuracy_at_least", "accuracy_above"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 100:
                raise BudgetError(
                    f"budget {self.name}: {name}={value} is not a percentage; give 0 to 100, like 99.4"
                )
        if self.accuracy_above == 100:
            raise BudgetError(
                f"budget {self.name}: accuracy_above=100 cannot be met; use accuracy_at_least=100"
            )
        for one, other in (
            ("epochs_at_most", "epochs_below"),
            ("accuracy_at_least", "accuracy_above"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise BudgetError(
                    f"budget {self.name}: {one} and {other} are both set; keep one of them"
                )
        if self.held_for_last and self.accuracy_at_least is None and self.accuracy_above is None:
            raise BudgetError(
                f"budget {self.name}: held_for_last={self.held_for_last} holds nothing; "
                "add accuracy_at_least or accuracy_above"
            )
        if both := {kind.lower() for kind in self.forbids} & {
            kind.lower() for kind in self.requires
        }:
            raise BudgetError(
                f"budget {self.name}: {', '.join(sorted(both))} is both forbidden and required; drop one"
            )

    def replace(self, **changes: object) -> Budget:
        """The same budget with some limits changed.

        Raises:
            BudgetError: A limit of that name does not exist, or its value is out of range.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise BudgetError(f"a budget has no limit {name!r}; it has: {', '.join(known)}")
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def judge(self, cost: ModelCost, outcome: Outcome | None = None) -> Verdict:
        """Hold a net, or a run of it, against every limit that is set.

        Args:
            cost: What the net costs.
            outcome: What training decided; without it accuracy is NOT YET, and so are epochs unless
                planned.

        Returns:
            One rule_result for each limit, in the order of the fields.
        """
        rule_results = [
            *_below("parameters", self.params_below, cost.parameters, cost),
            *self._epochs(cost, outcome),
            *self._accuracy(outcome),
            *_below("MACs", self.macs_below, cost.macs, cost),
            *_below("weight bytes", self.weight_bytes_below, cost.weight_bytes, cost),
            *_below("activation bytes", self.activation_bytes_below, cost.activation_bytes, cost),
            *(_kind(kind, cost, wanted=False) for kind in self.forbids),
            *(_kind(kind, cost, wanted=True) for kind in self.requires),
        ]
        withheld = any(rule_result.state == "NOT JUDGED" for rule_result in rule_results)
        return Verdict(
            self.name,
            tuple(rule_results),
            f"trained on {outcome.dataset}" if withheld and outcome else "",
        )

    @property
    def bar(self) -> Fraction | None:
        """The accuracy asked for, a share of 1: to be reached, or to be surpassed if it is ``accuracy_above``."""
        percent = self.accuracy_above if self.accuracy_at_least is None else self.accuracy_at_least
        return None if percent is None else _share(percent)

    def _epochs(self, cost: ModelCost, outcome: Outcome | None) -> list[RuleResult]:
        if self.epochs_at_most is not None:
            most, limit = self.epochs_at_most, f"at most {self.epochs_at_most}"
        elif self.epochs_below is not None:
            most, limit = self.epochs_below - 1, f"below {self.epochs_below}"
        else:
            return []
        found = len(outcome.scores) if outcome else cost.epochs
        if found is None:
            return [RuleResult("epochs", limit, "-", "-", "NOT YET")]
        shown = str(found) if outcome else f"{found} planned"
        return [
            RuleResult(
                "epochs", limit, shown, _signed(most - found), "PASS" if found <= most else "FAIL"
            )
        ]

    def _accuracy(self, outcome: Outcome | None) -> list[RuleResult]:
        bar = self.bar
        if bar is None:
            return []
        strict = self.accuracy_at_least is None
        limit = (
            f"above {self.accuracy_above:g} %"
            if strict
            else f"at least {self.accuracy_at_least:g} %"
        )

        def needed(total: int) -> int:
            at_bar = bar * total
            return math.floor(at_bar) + 1 if strict else math.ceil(at_bar)

        def rule_result(rule: str, limit: str, scores: Sequence[Score]) -> RuleResult:
            worst = min(scores, key=lambda score: score.correct - needed(score.total))
            if (
                self.dataset is not None
                and outcome is not None
                and outcome.dataset not in (None, self.dataset)
            ):
                return RuleResult(rule, f"{limit} of {self.dataset}", str(worst), "-", "NOT JUDGED")
            if worst.split in ("train", "val"):
                # A choice made on val must not look like a claim about test.
                return RuleResult(rule, limit, f"{worst}; judged on test only", "-", "NOT YET")
            spare = worst.correct - needed(worst.total)
            return RuleResult(
                rule,
                limit,
                str(worst),
                f"{_signed(spare)} images",
                "PASS" if spare >= 0 else "FAIL",
            )

        k = self.held_for_last
        held = f"accuracy, worst of last {k} epochs"
        if outcome is None or not outcome.scores:
            rules = ["accuracy, last epoch"] + ([held] if k else [])
            return [RuleResult(rule, limit, "-", "-", "NOT YET") for rule in rules]
        rule_results = [rule_result("accuracy, last epoch", limit, outcome.scores[-1:])]
        if k and len(outcome.scores) < k:
            rule_results.append(
                RuleResult(held, limit, f"only {len(outcome.scores)} epochs run", "-", "FAIL")
            )
        elif k:
            rule_results.append(rule_result(held, limit, outcome.scores[-k:]))
        return rule_results


def _share(percent: float) -> Fraction:
    # Through the decimal text: 99.4 means 994/1000, not the nearest binary fraction.
    return Fraction(str(percent)) / 100


def _signed(number: int) -> str:
    return f"{number:+,}" if number else "0"


def _below(rule: str, limit: int | None, found: int | None, cost: ModelCost) -> list[RuleResult]:
    if limit is None:
        return []
    if found is None:
        return [RuleResult(rule, f"below {limit:,}", "unknown", "-", "UNKNOWN")]
    spenders: tuple[str, ...] = ()
    if found >= limit:
        dearest = [(layer, amount) for layer, amount in cost.spending.get(rule, ()) if amount][:3]
        spenders = tuple(f"{layer} {amount:,}" for layer, amount in dearest)
    state: State = "PASS" if found < limit else "FAIL"
    return [
        RuleResult(
            rule, f"below {limit:,}", count(found), _signed(limit - 1 - found), state, spenders
        )
    ]


def _kind(kind: str, cost: ModelCost, *, wanted: bool) -> RuleResult:
    layers = [
        layer
        for name, of_kind in cost.kinds.items()
        if name.lower() == kind.lower()
        for layer in of_kind
    ]
    rule, found = f"{kind} layers", str(len(layers))
    if wanted:
        return RuleResult(rule, "at least 1", found, "-", "PASS" if layers else "FAIL")
    return RuleResult(rule, "none", found, "-", "FAIL" if layers else "PASS", tuple(layers[:3]))


def budget_from_json(values: Mapping[str, Any]) -> Budget:
    """A budget from the plain values that a record holds.

    Raises:
        BudgetError: A limit is unknown here, or its value is out of range.
    """
    return Budget().replace(
        **{**values, **{name: tuple(values[name]) for name in ("forbids", "requires")}}
    )
