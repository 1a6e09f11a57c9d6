"""Budgets: what a net may cost and must reach, and the verdict on it; plain values, no torch.

The same code judges a net that was never trained (``Budget.judge(cost)``) and a finished run
(``Budget.judge(cost, outcome)``). Accuracy is compared as integers: 9,939 of 10,000 images do not
reach 99.4%, and 9,940 are not above it. Only the last epoch's accuracy counts, on ``test`` unless
the budget says ``judged_on="val"``, which the verdict repeats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, get_args

from netlet.budgets.accuracy_checks import AccuracyLimit
from netlet.budgets.limit_checks import (
    check_batch_size,
    check_below,
    check_epochs,
    check_hidden,
    check_kind,
    state_teacher,
)
from netlet.budgets.measures import ModelCost, Outcome
from netlet.budgets.messages import add_message, check_messages, check_text
from netlet.budgets.one_image import check_one_image
from netlet.budgets.rule_checks import check_rule
from netlet.budgets.rule_parser import forbid, is_layer_name, parse_rule, refuse_contradictions
from netlet.budgets.rules import Rule
from netlet.budgets.selection import find_words
from netlet.budgets.verdict import MAY_BE_MISSING, RuleResult, Verdict, label_budget
from netlet.display import Displayed
from netlet.errors import BudgetError, did_you_mean, warn_of_but

COUNTS = (
    "params_below",
    "macs_below",
    "weight_bytes_below",
    "activation_bytes_below",
    "epochs_below",
    "epochs_at_most",
    "held_for_last",
    "batch_size",
)
PERCENTAGES = ("accuracy_at_least", "accuracy_above")
JudgedSplit = Literal["test", "val"]
_SMALL_COUNTS = ("epochs_at_most", "epochs_below", "held_for_last", "batch_size")


@dataclass(frozen=True, kw_only=True)
class Budget(Displayed):
    """Limits for a net and its training; a limit that is None does not apply.

    Accuracies are in percent and exact: 99.4 means 994 of 1,000 images. ``forbids`` lists kinds of
    layers, like ``Linear`` or ``Dropout``; ``requires`` lists those, and rules in words, like
    ``"GAP | Linear"``, ``"Conv2d >= 3"``, ``"no bias"`` or ``"receptive field at least 28 before
    the last layer"``. They are judged by what the net computes, however it is written.
    """

    name: str = "budget"
    about: str = field(default="", compare=False, repr=False)  # one line; not part of records
    dataset: str | None = None  # that the accuracy refers to; None: any
    judged_on: JudgedSplit = "test"  # val: scores on held-out training images count, too
    params_below: int | None = None
    epochs_at_most: int | None = None
    epochs_below: int | None = None
    accuracy_at_least: float | None = None  # percent
    accuracy_above: float | None = None  # percent
    held_for_last: int | None = None  # number of last epochs that must all reach the accuracy
    macs_below: int | None = None
    weight_bytes_below: int | None = None
    activation_bytes_below: int | None = None
    forbids: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    # Records have these three only where there is one.
    batch_size: int | None = field(default=None, metadata=MAY_BE_MISSING)  # exactly
    title: str = field(default="", metadata=MAY_BE_MISSING)
    # What the author of a net reads where a limit, by its name, or a rule is missed.
    messages: Mapping[str, str] | tuple[tuple[str, str], ...] = field(
        default=(), metadata=MAY_BE_MISSING
    )

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            BudgetError: A limit is out of range, or two limits contradict each other.
        """
        for name in COUNTS:
            self._check_count(name)
        for name in PERCENTAGES:
            self._check_percentage(name)
        for name in ("forbids", "requires"):
            self._check_kinds(name)
        if self.judged_on not in get_args(JudgedSplit):
            raise BudgetError(
                f"{self.label}: judged_on={self.judged_on!r} cannot be judged; give test or val"
            )
        self._check_contradictions()
        self._check_rules()
        self._check_messages()

    def _check_count(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            example = 15 if name in _SMALL_COUNTS else 8000
            raise BudgetError(
                f"{self.label}: {name}={value!r} is not a whole number; give one like {example}"
            )
        if value < 1:
            raise BudgetError(f"{self.label}: {name}={value} is too small; give 1 or more")

    def _check_percentage(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BudgetError(
                f"{self.label}: {name}={value!r} is not a number; give a percentage like 99.4"
            )
        if not 0 <= value <= 100:
            raise BudgetError(
                f"{self.label}: {name}={value} is not a percentage;"
                " give a number from 0 to 100, like 99.4"
            )
        if 0 < value <= 1:
            what = "is 1%" if value == 1 else "is below 1%"
            raise BudgetError(
                f"{self.label}: {name}={value:g} {what};"
                f" accuracies are in percent, write {100 * value:g}"
            )
        # 99 and 99.0 are one limit; the JSON of equal budgets, and its digest, is equal.
        object.__setattr__(self, name, float(value))

    def _check_kinds(self, name: str) -> None:
        value = getattr(self, name)
        # A single word would be taken for its letters.
        if isinstance(value, str) or not all(isinstance(kind, str) for kind in value):
            raise BudgetError(
                f"{self.label}: {name}={value!r} is not a tuple of kinds of layers;"
                f" give one like {(value,) if isinstance(value, str) else ('Linear',)!r}"
            )

    def _check_rules(self) -> None:
        try:
            refuse_contradictions(self.rules())
        except BudgetError as error:
            raise BudgetError(f"{self.label}: {error}") from None

    def _check_messages(self) -> None:
        try:
            check_text("title", self.title)
            messages = check_messages(self.messages, self.limit_keys())
        except BudgetError as error:
            raise BudgetError(f"{self.label}: {error}") from None
        object.__setattr__(self, "messages", messages)  # pairs, which can be hashed

    def _check_contradictions(self) -> None:
        if self.accuracy_above == 100:
            raise BudgetError(
                f"{self.label}: accuracy_above=100 is impossible; use accuracy_at_least=100"
            )
        for one, other in (
            ("epochs_at_most", "epochs_below"),
            ("accuracy_at_least", "accuracy_above"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise BudgetError(f"{self.label}: {one} and {other} are both set; keep one of them")
        if self.held_for_last and self.target is None:
            raise BudgetError(
                f"{self.label}: held_for_last={self.held_for_last} needs an accuracy;"
                " add accuracy_at_least or accuracy_above"
            )
        forbidden, required = (
            {kind.lower() for kind in kinds} for kinds in (self.forbids, self.requires)
        )
        if both := forbidden & required:
            raise BudgetError(
                f"{self.label}: {', '.join(sorted(both))} is both forbidden and required; drop one"
            )

    def replace(self, **changes: object) -> Budget:
        """Return a copy with some limits changed.

        Args:
            changes: New values by field name. ``about`` becomes empty unless it is among them.

        Raises:
            BudgetError: A limit does not exist, or its value is out of range.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                limits = ", ".join(limit for limit in known if limit != "about")
                raise BudgetError(
                    f"a budget has no limit {name!r}; {did_you_mean(name, known)}"
                    f"the limits are: {limits}"
                )
        return dataclasses.replace(self, **{"about": "", **changes})  # type: ignore[arg-type]

    def but(self, **changes: object) -> Budget:
        """Return a copy with some limits changed; deprecated, use :meth:`replace`."""
        warn_of_but("Budget")
        return self.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that records store; ``about`` is not among them."""
        values = {**dataclasses.asdict(self), "messages": dict(self.messages)}
        optional = ("batch_size", "title", "messages")
        left_out = ["about", *(name for name in optional if not values[name])]
        return {name: value for name, value in values.items() if name not in left_out}

    def judge(
        self, cost: ModelCost, outcome: Outcome | None = None, *, batch_size: int | None = None
    ) -> Verdict:
        """Check a net, or a run of it, against every limit that is set.

        Args:
            cost: The cost of the net.
            outcome: The outcome of the training. Without it, accuracy is NOT YET, and so are epochs
                unless ``cost`` has the planned ones.
            batch_size: The recipe's. Without it, a limit on it is NOT YET.

        Returns:
            A verdict with one result for each limit, in the order of the fields.
        """
        groups = self.judge_by_limit(cost, outcome, batch_size=batch_size)
        results = tuple(one for _, group in groups for one in group)
        withheld = any(result.state == "NOT JUDGED" for result in results)
        return Verdict(
            self.name, results, f"trained on {outcome.dataset}" if withheld and outcome else ""
        )

    def judge_by_limit(
        self, cost: ModelCost, outcome: Outcome | None = None, *, batch_size: int | None = None
    ) -> list[tuple[str, list[RuleResult]]]:
        """Return the results of :meth:`judge` in the same order, with the limit that yields them.

        Args:
            cost: The cost of the net.
            outcome: The outcome of the training; None: not trained.
            batch_size: The recipe's; None: not known.

        Returns:
            The key of each limit, as :meth:`limit_keys` has it, and its results; the key is empty
            for what holds without a limit. A key may occur several times.
        """
        epochs, accuracy = self._epochs_key(), self._accuracy_key()
        sizes = (
            ("macs_below", "MACs", cost.macs),
            ("weight_bytes_below", "weight bytes", cost.weight_bytes),
            ("activation_bytes_below", "activation bytes", cost.activation_bytes),
        )
        limit, held = self._accuracy_limit(), self.held_for_last
        last = [limit.check_last(outcome)] if limit else []
        groups: list[tuple[str, list[RuleResult]]] = [
            ("params_below", check_below("parameters", self.params_below, cost.parameters, cost)),
            ("params_below", check_hidden(cost)),
            ("", check_one_image(cost, scored=limit is not None) + state_teacher(cost)),
            (epochs, check_epochs(self.epochs_at_most, self.epochs_below, cost, outcome)),
            ("batch_size", check_batch_size(self.batch_size, batch_size)),
            (accuracy, last),
            ("held_for_last", [limit.check_held(held, outcome)] if limit and held else []),
            *((name, check_below(rule, getattr(self, name), n, cost)) for name, rule, n in sizes),
            *((kind, [self._check_layers(kind, cost, required=False)]) for kind in self.forbids),
            *((rule, [self._check_layers(rule, cost, required=True)]) for rule in self.requires),
        ]
        texts = dict(self.messages)
        texts.setdefault("held_for_last", texts.get(accuracy, ""))
        return [(key, add_message(group, texts.get(key))) for key, group in groups if group]

    def limit_keys(self) -> list[str]:
        """Return the names of the limits that are set, and the rules as the budget writes them."""
        names = (*COUNTS, *PERCENTAGES)
        limits = [name for name in names if getattr(self, name) is not None]
        return [*limits, *self.forbids, *self.requires]

    def _epochs_key(self) -> str:
        return "epochs_at_most" if self.epochs_below is None else "epochs_below"

    def _accuracy_key(self) -> str:
        return "accuracy_above" if self.accuracy_at_least is None else "accuracy_at_least"

    def rules(self) -> list[Rule]:
        """Return the rules on what the net consists of: what is forbidden, then what is required.

        Raises:
            BudgetError: The words are not a rule.
        """
        return [*map(forbid, self.forbids), *map(parse_rule, self.requires)]

    def _check_layers(self, words: str, cost: ModelCost, *, required: bool) -> RuleResult:
        if cost.structure is None and is_layer_name(words):
            return check_kind(words, cost, required=required)
        rule = parse_rule(words) if required else forbid(words)
        return dataclasses.replace(check_rule(rule, cost), words=find_words(rule, words))

    @property
    def label(self) -> str:
        """What messages call the budget: ``budget class``, or ``budget`` if it has no name."""
        return label_budget(self.name)

    @property
    def most_epochs(self) -> int | None:
        """The largest number of epochs that it allows; None if it does not limit them."""
        return self.epochs_at_most if self.epochs_below is None else self.epochs_below - 1

    @property
    def target(self) -> Fraction | None:
        """The accuracy to reach, or to exceed if it is ``accuracy_above``, as a share of 1."""
        limit = self._accuracy_limit()
        return None if limit is None else limit.target

    def _accuracy_limit(self) -> AccuracyLimit | None:
        exceed = self.accuracy_at_least is None
        percent = self.accuracy_above if exceed else self.accuracy_at_least
        if percent is None:
            return None
        return AccuracyLimit(percent, exceed, self.dataset, self.judged_on == "val")


def budget_from_json(values: Mapping[str, Any]) -> Budget:
    """Return a budget from the values that JSON stores.

    Raises:
        BudgetError: A limit is unknown, or its value is out of range.
    """
    return Budget().replace(
        **{**values, **{name: tuple(values[name]) for name in ("forbids", "requires")}}
    )
