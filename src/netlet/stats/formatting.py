"""How figures are said, wherever they are."""

from __future__ import annotations

from netlet.records.study import Study


def format_p_value(p: float) -> str:
    """A p-value as people write it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def format_interval(interval: tuple[float, float] | None, unit: str = "%") -> str:
    """An interval as people write it."""
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f} {unit}"


def format_seed_count(n: int) -> str:
    """How many seeds."""
    return f"{n} seed{'' if n == 1 else 's'}"


def name_single_value_seeds(study: Study) -> str:
    """The subject of a sentence about what seeds without spread cannot say."""
    return "one seed" if len(study.seeds) == 1 else "seeds that are all alike"
