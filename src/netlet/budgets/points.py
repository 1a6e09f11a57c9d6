"""Points for the limits and rules of a budget, of which a grade is made up.

Points are exact fractions here: a third of 100 points, three times, is 100 points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

from netlet.budgets.budget import PERCENTAGES, Budget
from netlet.errors import GradingError, did_you_mean

MAX_POINTS = 1_000_000
DIGITS = 2  # of points, after the decimal point
_HELD = "held_for_last"


def format_points(points: float) -> str:
    """Return points as they are written: without an exponent, however large they are."""
    return f"{points:.6f}".rstrip("0").rstrip(".")


def check_points(key: object, points: object, budget: Budget) -> None:
    """Check the points of one limit or rule.

    Args:
        key: The name of the limit, or the rule as the budget writes it.
        points: Its points; 0 for one that is judged and does not count.
        budget: The budget.

    Raises:
        GradingError: The budget has no such limit, or the points are not a number that counts.
    """
    keys = budget.limit_keys()
    if key not in keys:
        known = ", ".join(map(repr, keys))
        raise GradingError(
            f"points for {key!r}: the budget has no such limit or rule; "
            f"{did_you_mean(str(key), keys)}give points to {known}"
        )
    if isinstance(points, bool) or not isinstance(points, int | float):
        raise GradingError(f"points for {key!r} are {points!r}; write a number like 10")
    if not 0 <= points <= MAX_POINTS:  # NaN neither
        raise GradingError(
            f"points for {key!r} are {points}; write a number from 0 to {MAX_POINTS:,}"
        )


def find_total(given: Mapping[str, float], total: float | None, budget: Budget) -> float:
    """Return the points for meeting every limit.

    Args:
        given: The points of some limits or of all.
        total: What all add up to; None: the sum, if all have points.
        budget: The budget.

    Raises:
        GradingError: It is not known what limits without points are worth, or the points do not add
            up to the total.
    """
    rest, added = _list_rest(given, budget), sum(map(_exact, given.values()))
    names = ", ".join(map(repr, rest))
    if total is None and rest:
        raise GradingError(
            f"no points for {names}; give points to each, or write total = 100, for example, of "
            "which they share what is left"
        )
    if total is None:
        if not added:
            raise GradingError("all points are 0; give points to a limit or a rule")
        return float(added)
    if rest and added >= _exact(total):
        raise GradingError(
            f"points add up to {format_points(float(added))} of {format_points(total)} in all, "
            f"which leaves none for {names}; raise the total, or give points to each"
        )
    if not rest and added != _exact(total):
        raise GradingError(
            f"points add up to {format_points(float(added))}, not to {format_points(total)} in "
            "all; leave the total out, or change points"
        )
    return total


def share_points(given: Mapping[str, float], total: float, budget: Budget) -> dict[str, Fraction]:
    """Return the points of each limit and rule; those without points share the rest equally.

    Args:
        given: The points of some limits or of all.
        total: What all add up to.
        budget: The budget.
    """
    rest, exact = _list_rest(given, budget), {key: _exact(one) for key, one in given.items()}
    left = _exact(total) - sum(exact.values())
    return exact | {key: left / len(rest) for key in rest}


def divide_points(given: Mapping[str, float], total: float, budget: Budget) -> dict[str, float]:
    """Return the points of each limit and rule in hundredths, as they are published and graded.

    They are rounded in the order of the budget, whatever order a page or a grade shows them in.

    Args:
        given: The points of some limits or of all.
        total: What all add up to.
        budget: The budget.
    """
    points = share_points(given, total, budget)
    keys = [key for key in dict.fromkeys(budget.limit_keys()) if key in points]
    return dict(zip(keys, round_in_total([points[key] for key in keys]), strict=True))


def round_in_total(shares: Sequence[Fraction]) -> list[float]:
    """Round shares to hundredths, so that they still add up to the rounded total.

    Args:
        shares: The points of each limit or rule, in an order on which the hundredths depend.
    """
    ends = [0.0, *(round(float(end), DIGITS) for end in accumulate(shares))]
    return [round(end - start, DIGITS) for start, end in pairwise(ends)]


def find_payer(key: str, points: Mapping[str, float], budget: Budget) -> str:
    """Return the limit of whose points a result has a share.

    Args:
        key: The limit that yields it; empty if it holds without one.
        points: The points of each limit.
        budget: The budget.
    """
    accuracy = next((name for name in PERCENTAGES if getattr(budget, name) is not None), "")
    # A net that returns no row of scores cannot be scored; nor is the last epoch one of several.
    return accuracy if not key or (key == _HELD and _HELD not in points) else key


def _list_rest(given: Mapping[str, float], budget: Budget) -> list[str]:
    """Return the limits without points; the last epochs have a share of those of the accuracy."""
    return [key for key in budget.limit_keys() if key not in given and key != _HELD]


def _exact(points: float) -> Fraction:
    return Fraction(str(points))
