"""How numbers are written in every text and table."""

from __future__ import annotations

import dataclasses
from typing import Any

from netlet.recipes import Warp
from netlet.records.study import Study
from netlet.text import count_noun

AS_IN_NET = "as in the net"  # a dropout rate that the recipe leaves alone


def format_p_value(p: float) -> str:
    """Return ``p = 0.012`` or ``p < 0.001``; near 0.05, with a fourth digit."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.4f}" if f"{p:.3f}" == "0.050" else f"p = {p:.3f}"


def format_interval(interval: tuple[float, float] | None, unit: str = "%") -> str:
    """Return ``99.481 to 99.579%``; ``-`` for None. An end near zero gets a fourth digit."""
    if interval is None:
        return "-"
    low, high = (
        f"{end:.4f}".replace("-0.0000", "0.0000") if end and abs(end) < 0.0005 else f"{end:.3f}"
        for end in interval
    )
    return f"{low} to {high}{'' if unit == '%' else ' '}{unit}"


def format_seed_count(n: int) -> str:
    """Return ``1 seed`` or ``5 seeds``."""
    return count_noun(n, "seed")


def explain_missing_interval(study: Study) -> str:
    """Return why a study has no interval over seeds."""
    return "there is one seed only" if len(study.seeds) == 1 else "all seeds have the same accuracy"


def format_setting(value: Any, *, exact: bool = False) -> str:
    """Return a recipe's value as text, ``none`` if it is empty.

    Of an augmentation it has only what differs from no change.

    Args:
        value: The value, as records have it.
        exact: Whether to write numbers with all their digits instead of six.
    """
    if value is None:  # only a dropout rate can be
        return AS_IN_NET
    if isinstance(value, list):
        return " then ".join(format_setting(one, exact=exact) for one in value) or "none"
    if isinstance(value, dict):
        identity = dataclasses.asdict(Warp())
        changed = {name: amount for name, amount in value.items() if amount != identity.get(name)}
        return (
            ", ".join(f"{k} {format_setting(amount, exact=exact)}" for k, amount in changed.items())
            or "nothing"
        )
    if isinstance(value, float):
        return str(value).removesuffix(".0") if exact else f"{value:g}"
    return str(value) or "none"
