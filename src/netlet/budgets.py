"""What a net may cost and must reach, and the judgement of it: plain values, no torch.

The same code judges a net that was never trained (``Budget.judge(facts)``) and a finished run
(``Budget.judge(facts, outcome)``). Accuracy is judged on integers: 9,939 of 10,000 is not 99.4 %, and 9,940 is not
above it. Only the last epoch on ``test`` counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import NormalDist
from typing import Any, Literal

from netlet.errors import BudgetError, did_you_mean
from netlet.tables import count, table

State = Literal["PASS", "FAIL", "NOT YET", "NOT JUDGED", "UNKNOWN"]


@dataclass(frozen=True)
class Score:
    """``correct`` of ``total`` images of a split: ``train``, ``val`` (held out of train) or ``test``."""

    split: str
    correct: int
    total: int

    @property
    def percent(self) -> float:
        """The accuracy in percent, for reading; judgements use the integers."""
        return 100 * self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Between which percentages the accuracy on images of this kind lies, by :func:`wilson`."""
        return wilson(self.correct / self.total, self.total, confidence)

    def __str__(self) -> str:
        return f"{self.correct:,} of {self.total:,} {self.split} images ({self.percent:.2f} %)"


def wilson(share: float, images: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval, in percent, about a share found on so many images (Wilson 1927, without correction)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = z * z / images
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / images + spread / (4 * images))
    low, high = (100 * min(max(edge / (1 + spread), 0), 1) for edge in (middle - half, middle + half))
    return low, high


@dataclass(frozen=True)
class Facts:
    """What a net costs, known without training it.

    ``None`` stands for what could not be found out, for instance the MACs of a net whose path depends on its input.
    """

    parameters: int
    macs: int | None  # multiply-adds of one image; FLOPs are twice as many
    weight_bytes: int  # what the weight file holds: parameters and persistent buffers
    activation_bytes: int | None  # peak of what is alive at once, one image, float32
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)  # kind of layer -> the layers of that kind
    spending: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)  # resource -> (layer, amount)
    epochs: int | None = None  # planned by a recipe, where there is one


@dataclass(frozen=True)
class Outcome:
    """What training decided: the held-out score of every epoch, first to last, and on which data set."""

    scores: Sequence[Score]
    dataset: str | None = None


@dataclass(frozen=True)
class Ruling:
    """One rule of a budget, held against what was found."""

    rule: str
    limit: str
    found: str
    margin: str
    state: State
    spenders: tuple[str, ...] = ()  # on a failure: which layers spend the most, dearest first


@dataclass(frozen=True)
class Verdict:
    """All rulings of one budget; its ``str`` is the table a person reads."""

    budget: str
    rulings: tuple[Ruling, ...]
    withheld: str = ""  # why accuracy was not judged

    @property
    def state(self) -> State:
        """The worst ruling: FAIL before UNKNOWN before NOT JUDGED before NOT YET before PASS."""
        states = {ruling.state for ruling in self.rulings}
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
        rows = [(r.rule, r.limit, r.found, r.margin, r.state) for r in self.rulings]
        head = f"not judged: {self.withheld}" if self.state == "NOT JUDGED" else self.state
        lines = [f"{self.budget}: {head}", table(("rule", "limit", "found", "margin", ""), rows)]
        lines += [f"{r.rule} in: {', '.join(r.spenders)}" for r in self.rulings if r.spenders]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits that a net and its training must keep; each says its own strictness, and what is None is free.

    Accuracies are in percent and exact: 99.4 means 994 of 1,000. ``forbids`` and ``requires`` name kinds of layers
    as torch.nn does (``Linear``, ``Dropout``); a functional call counts as its layer.
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
        for name in ("params_below", "macs_below", "weight_bytes_below", "activation_bytes_below", "epochs_below"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BudgetError(f"budget {self.name}: {name}={value} leaves nothing; give a number of at least 1")
        for name in ("epochs_at_most", "held_for_last"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BudgetError(f"budget {self.name}: {name}={value} is not a count; give at least 1")
        for name in ("accuracy_at_least", "accuracy_above"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 100:
                raise BudgetError(f"budget {self.name}: {name}={value} is not a percentage; give 0 to 100, like 99.4")
        if self.accuracy_above == 100:
            raise BudgetError(f"budget {self.name}: accuracy_above=100 cannot be met; use accuracy_at_least=100")
        for one, other in (("epochs_at_most", "epochs_below"), ("accuracy_at_least", "accuracy_above")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise BudgetError(f"budget {self.name}: {one} and {other} are both set; keep one of them")
        if self.held_for_last and self.accuracy_at_least is None and self.accuracy_above is None:
            raise BudgetError(
                f"budget {self.name}: held_for_last={self.held_for_last} holds nothing; "
                "add accuracy_at_least or accuracy_above"
            )
        if both := {kind.lower() for kind in self.forbids} & {kind.lower() for kind in self.requires}:
            raise BudgetError(f"budget {self.name}: {', '.join(sorted(both))} is both forbidden and required; drop one")

    def but(self, **changes: object) -> Budget:
        """The same budget with some limits changed.

        Raises:
            BudgetError: A limit of that name does not exist, or its value is out of range.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise BudgetError(f"a budget has no limit {name!r}; it has: {', '.join(known)}")
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def judge(self, facts: Facts, outcome: Outcome | None = None) -> Verdict:
        """Hold a net, or a run of it, against every limit that is set.

        Args:
            facts: What the net costs.
            outcome: What training decided; without it accuracy is NOT YET, and so are epochs unless planned.

        Returns:
            One ruling for each limit, in the order of the fields.
        """
        rulings = [
            *_below("parameters", self.params_below, facts.parameters, facts),
            *self._epochs(facts, outcome),
            *self._accuracy(outcome),
            *_below("MACs", self.macs_below, facts.macs, facts),
            *_below("weight bytes", self.weight_bytes_below, facts.weight_bytes, facts),
            *_below("activation bytes", self.activation_bytes_below, facts.activation_bytes, facts),
            *(_kind(kind, facts, wanted=False) for kind in self.forbids),
            *(_kind(kind, facts, wanted=True) for kind in self.requires),
        ]
        withheld = any(ruling.state == "NOT JUDGED" for ruling in rulings)
        return Verdict(self.name, tuple(rulings), f"trained on {outcome.dataset}" if withheld and outcome else "")

    @property
    def bar(self) -> Fraction | None:
        """The accuracy asked for, a share of 1: to be reached, or to be surpassed if it is ``accuracy_above``."""
        percent = self.accuracy_above if self.accuracy_at_least is None else self.accuracy_at_least
        return None if percent is None else _share(percent)

    def _epochs(self, facts: Facts, outcome: Outcome | None) -> list[Ruling]:
        if self.epochs_at_most is not None:
            most, limit = self.epochs_at_most, f"at most {self.epochs_at_most}"
        elif self.epochs_below is not None:
            most, limit = self.epochs_below - 1, f"below {self.epochs_below}"
        else:
            return []
        found = len(outcome.scores) if outcome else facts.epochs
        if found is None:
            return [Ruling("epochs", limit, "-", "-", "NOT YET")]
        shown = str(found) if outcome else f"{found} planned"
        return [Ruling("epochs", limit, shown, _signed(most - found), "PASS" if found <= most else "FAIL")]

    def _accuracy(self, outcome: Outcome | None) -> list[Ruling]:
        bar = self.bar
        if bar is None:
            return []
        strict = self.accuracy_at_least is None
        limit = f"above {self.accuracy_above:g} %" if strict else f"at least {self.accuracy_at_least:g} %"

        def needed(total: int) -> int:
            at_bar = bar * total
            return math.floor(at_bar) + 1 if strict else math.ceil(at_bar)

        def ruling(rule: str, limit: str, scores: Sequence[Score]) -> Ruling:
            worst = min(scores, key=lambda score: score.correct - needed(score.total))
            if self.dataset is not None and outcome is not None and outcome.dataset not in (None, self.dataset):
                return Ruling(rule, f"{limit} of {self.dataset}", str(worst), "-", "NOT JUDGED")
            if worst.split in ("train", "val"):
                # A choice made on val must not look like a claim about test.
                return Ruling(rule, limit, f"{worst}; judged on test only", "-", "NOT YET")
            spare = worst.correct - needed(worst.total)
            return Ruling(rule, limit, str(worst), f"{_signed(spare)} images", "PASS" if spare >= 0 else "FAIL")

        k = self.held_for_last
        held = f"accuracy, worst of last {k} epochs"
        if outcome is None or not outcome.scores:
            rules = ["accuracy, last epoch"] + ([held] if k else [])
            return [Ruling(rule, limit, "-", "-", "NOT YET") for rule in rules]
        rulings = [ruling("accuracy, last epoch", limit, outcome.scores[-1:])]
        if k and len(outcome.scores) < k:
            rulings.append(Ruling(held, limit, f"only {len(outcome.scores)} epochs run", "-", "FAIL"))
        elif k:
            rulings.append(ruling(held, limit, outcome.scores[-k:]))
        return rulings


def _share(percent: float) -> Fraction:
    # Through the decimal text: 99.4 means 994/1000, not the nearest binary fraction.
    return Fraction(str(percent)) / 100


def _signed(number: int) -> str:
    return f"{number:+,}" if number else "0"


def _below(rule: str, limit: int | None, found: int | None, facts: Facts) -> list[Ruling]:
    if limit is None:
        return []
    if found is None:
        return [Ruling(rule, f"below {limit:,}", "unknown", "-", "UNKNOWN")]
    spenders: tuple[str, ...] = ()
    if found >= limit:
        dearest = [(layer, amount) for layer, amount in facts.spending.get(rule, ()) if amount][:3]
        spenders = tuple(f"{layer} {amount:,}" for layer, amount in dearest)
    state: State = "PASS" if found < limit else "FAIL"
    return [Ruling(rule, f"below {limit:,}", count(found), _signed(limit - 1 - found), state, spenders)]


def _kind(kind: str, facts: Facts, *, wanted: bool) -> Ruling:
    layers = [layer for name, of_kind in facts.kinds.items() if name.lower() == kind.lower() for layer in of_kind]
    rule, found = f"{kind} layers", str(len(layers))
    if wanted:
        return Ruling(rule, "at least 1", found, "-", "PASS" if layers else "FAIL")
    return Ruling(rule, "none", found, "-", "FAIL" if layers else "PASS", tuple(layers[:3]))


# One budget for each document, exactly as strict as its words.
DOCUMENT_000 = Budget(
    name="document_000", dataset="mnist", params_below=20_000, epochs_at_most=20, accuracy_at_least=99.4
)
DOCUMENT_001 = Budget(name="document_001", dataset="mnist", params_below=8_000, epochs_at_most=15, accuracy_above=99.4)
DOCUMENT_002 = Budget(
    name="document_002", dataset="mnist", params_below=20_000, epochs_below=20, accuracy_at_least=99.4
)
DOCUMENT_003 = Budget(
    name="document_003", dataset="mnist", params_below=20_000, epochs_below=20, accuracy_above=99.4, forbids=("Linear",)
)
DOCUMENT_004 = Budget(name="document_004", dataset="mnist", params_below=8_000, epochs_below=15, accuracy_above=99.4)

EIGHT_K = DOCUMENT_001.but(name="eight_k")
TWENTY_K = DOCUMENT_002.but(name="twenty_k")
NINETY_NINE = TWENTY_K.but(name="ninety_nine", accuracy_at_least=99)

# What our nets for the frontier are held to, each as tight as the figure it is named for.
MNISTNET_2 = EIGHT_K.but(name="mnistnet_2", accuracy_above=None, accuracy_at_least=99.55)
MNISTNET_3 = DOCUMENT_000.but(name="mnistnet_3", params_below=3_701)
CREST = TWENTY_K.but(name="crest", accuracy_at_least=99.62)
SPECK = DOCUMENT_000.but(name="speck", params_below=1_901, accuracy_at_least=99)

BUDGETS = {
    budget.name: budget
    for budget in (
        DOCUMENT_000, DOCUMENT_001, DOCUMENT_002, DOCUMENT_003, DOCUMENT_004, EIGHT_K, TWENTY_K, NINETY_NINE,
        MNISTNET_2, MNISTNET_3, CREST, SPECK,
    )
}  # fmt: skip


def from_plain(values: Mapping[str, Any]) -> Budget:
    """A budget from the plain values that a record holds.

    Raises:
        BudgetError: A limit is unknown here, or its value is out of range.
    """
    return Budget().but(**{**values, **{name: tuple(values[name]) for name in ("forbids", "requires")}})


def named(name: str) -> Budget:
    """The budget of that name.

    Raises:
        BudgetError: There is none; the message lists those there are.
    """
    if name in BUDGETS:
        return BUDGETS[name]
    raise BudgetError(f"no budget {name!r}; {did_you_mean(name, BUDGETS)}there are: {', '.join(BUDGETS)}")
