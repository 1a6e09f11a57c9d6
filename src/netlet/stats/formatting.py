"""How numbers are written in every text and table."""

from __future__ import annotations

import dataclasses
from typing import Any

from netlet.recipes import Warp
from netlet.records.study import Study
from netlet.text import count_noun


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


def format_setting(value: Any) -> str:
    """Return a recipe's value as text, ``none`` if it is empty.

    Of an augmentation it has only what differs from no change.
    """
    if isinstance(value, list):
        return " then ".join(map(format_setting, value)) or "none"
    if isinstance(value, dict):
        identity = dataclasses.asdict(Warp())
        changed = {name: amount for name, amount in value.items() if amount != identity.get(name)}
        return (
            ", ".join(f"{name} {format_setting(amount)}" for name, amount in changed.items())
            or "nothing"
        )
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
