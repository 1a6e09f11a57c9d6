"""The rules of a budget on what a net consists of, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netlet.budgets.families import Family

Strictness = Literal["at least", "at most", "exactly"]
Place = Literal["at the output", "before the last layer", "before GAP"]


@dataclass(frozen=True)
class Term:
    """One word of a rule.

    Attributes:
        text: As messages write it.
        family: What it means; None for a layer by its exact name.
        kind: The exact name of a layer, like ``Dropout2d``; empty for a family or a kernel.
        kernel: The size of a convolution's kernel; empty for others.
        own: Whether it may be a class of the net's own file.
    """

    text: str
    family: Family | None = None
    kind: str = ""
    kernel: tuple[int, ...] = ()
    own: bool = False


@dataclass(frozen=True)
class Rule:
    """The base of all rules; ``text`` is what the budget says."""

    text: str

    def words(self) -> tuple[Term, ...]:
        """Return the kinds of layers that the rule names."""
        return ()


@dataclass(frozen=True)
class TermRule(Rule):
    """The base of rules on layers of some kinds, any of which will do."""

    terms: tuple[Term, ...]

    def words(self) -> tuple[Term, ...]:
        """Return the kinds of layers that the rule names."""
        return self.terms


@dataclass(frozen=True)
class CountRule(TermRule):
    """How many layers of some kinds there are."""

    strictness: Strictness
    number: int


@dataclass(frozen=True)
class FieldRule(Rule):
    """How large the receptive field is at a place of the net, in pixels."""

    place: Place
    strictness: Strictness
    number: int


@dataclass(frozen=True)
class DistanceRule(TermRule):
    """How many convolutions and linear layers follow on the last one of some kinds."""

    strictness: Strictness
    number: int


@dataclass(frozen=True)
class AfterRule(TermRule):
    """That one of some kinds follows on each layer of other kinds."""

    each: tuple[Term, ...]

    def words(self) -> tuple[Term, ...]:
        """Return the kinds of layers that the rule names."""
        return (*self.terms, *self.each)


@dataclass(frozen=True)
class EndRule(TermRule):
    """That none of some kinds acts on what the last layer computes."""


@dataclass(frozen=True)
class HiddenRule(TermRule):
    """That none of some kinds comes before the last layer."""
