"""What a budget says to the author of a net that misses one of its rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from netlet.budgets.verdict import RuleResult
from netlet.errors import BudgetError, did_you_mean

MAX_TEXT_LENGTH = 2_000
Messages = tuple[tuple[str, str], ...]


def check_messages(values: object, about: Sequence[str]) -> Messages:
    """Return messages as pairs of a rule and a text.

    Args:
        values: A mapping, or pairs.
        about: What a message may be about: the names of limits that are set, and rules.

    Raises:
        BudgetError: One is about something else, or is not text.
    """
    if isinstance(values, Mapping):
        values = tuple(values.items())
    if not isinstance(values, tuple) or not all(
        isinstance(pair, tuple) and len(pair) == 2 for pair in values
    ):
        raise BudgetError(
            f"messages={values!r} is not a mapping; give one like {{'params_below': 'Use fewer.'}}"
        )
    for rule, text in values:
        if rule not in about:
            known = ", ".join(repr(name) for name in about) or "a limit or a rule of the budget"
            suggestion = did_you_mean(str(rule), about)
            raise BudgetError(
                f"messages: {rule!r} is not a limit or rule of this budget; {suggestion}"
                f"write one for {known}"
            )
        check_text(f"the message for {rule!r}", text)
    return values


def check_text(what: str, text: object) -> None:
    """Check that something is a text of a sensible length.

    Raises:
        BudgetError: It is not.
    """
    if not isinstance(text, str):
        raise BudgetError(f"{what} is {text!r}, which is not text; write it in quotation marks")
    if len(text) > MAX_TEXT_LENGTH:
        raise BudgetError(f"{what} has {len(text):,} characters; write at most {MAX_TEXT_LENGTH:,}")


def add_message(results: Iterable[RuleResult], text: str | None) -> list[RuleResult]:
    """Return results, with a message for those that are missed.

    What is unknown may well be met, and needs another remedy.
    """
    return [
        dataclasses.replace(result, message=text) if text and result.state == "FAIL" else result
        for result in results
    ]
