"""The points of a submission: those of each rule, and their sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from netlet.budgets import is_about_accuracy
from netlet.budgets.measures import TEACHER
from netlet.budgets.points import DIGITS, find_payer, round_in_total, share_points
from netlet.classroom.grades import GradingSettings, RulePoints
from netlet.classroom.judging import JudgedRule


def count_points(
    judged: Sequence[JudgedRule], settings: GradingSettings, *, trusted: bool = True
) -> tuple[float, tuple[RulePoints, ...]]:
    """Return the points of a submission, and those of each rule.

    The points of each rule are rounded so that those of all rules add up to the points of the
    settings; the sum is that of the points before rounding.

    Args:
        judged: Its rules.
        settings: The points for meeting all of them, and those of single limits.
        trusted: Whether its accuracy may be believed.
    """
    if not judged:
        return settings.points, ()
    worth = _find_worth(judged, settings)
    met = [
        one.result.state == "PASS" and (trusted or not is_about_accuracy(one.result))
        for one in judged
    ]
    earned = sum((points for points, passed in zip(worth, met, strict=True) if passed), Fraction())
    shown = round_in_total(worth)
    rules = (
        RulePoints(points if passed else 0.0, points)
        for points, passed in zip(shown, met, strict=True)
    )
    return round(float(earned), DIGITS), tuple(rules)


def _find_worth(judged: Sequence[JudgedRule], settings: GradingSettings) -> list[Fraction]:
    """Return the points that each rule is worth.

    Each rule is worth the same, unless limits have points of their own, which the rules that they
    yield share.
    """
    if not settings.limit_points:
        return [Fraction(str(settings.points)) / len(judged)] * len(judged)
    points = share_points(dict(settings.limit_points), settings.points, settings.budget)
    # The teacher of a net is stated and asks for nothing.
    payers = [
        "" if one.result.rule == TEACHER else find_payer(one.limit, points, settings.budget)
        for one in judged
    ]
    sharing = Counter(payers)
    return [points.get(payer, Fraction()) / sharing[payer] for payer in payers]
