"""The points of a submission: those of each rule, and their sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from netlet.budgets import is_about_accuracy
from netlet.budgets.measures import TEACHER
from netlet.budgets.points import DIGITS, divide_points, find_payer, round_in_total
from netlet.classroom.grades import GradingSettings, RulePoints
from netlet.classroom.judging import JudgedRule


def count_points(
    judged: Sequence[JudgedRule], settings: GradingSettings, *, trusted: bool = True
) -> tuple[float, tuple[RulePoints, ...]]:
    """Return the points of a submission, and those of each rule.

    The points of each rule are rounded so that those of all rules add up to the points of the
    settings. Where all are worth the same, the sum is that of the points before rounding.

    Args:
        judged: Its rules.
        settings: The points for meeting all of them, and those of single limits.
        trusted: Whether its accuracy may be believed.
    """
    if not judged:
        return settings.points, ()
    worth, shown = _find_worth(judged, settings)
    met = [
        one.result.state == "PASS" and (trusted or not is_about_accuracy(one.result))
        for one in judged
    ]
    earned = sum((points for points, passed in zip(worth, met, strict=True) if passed), Fraction())
    rules = (
        RulePoints(points if passed else 0.0, points)
        for points, passed in zip(shown, met, strict=True)
    )
    return round(float(earned), DIGITS), tuple(rules)


def _find_worth(
    judged: Sequence[JudgedRule], settings: GradingSettings
) -> tuple[list[Fraction], list[float]]:
    """Return the points that each rule is worth, exactly and as they are shown.

    Each rule is worth the same, unless limits have points of their own, which the rules that they
    yield share. Those of a limit are in hundredths, as they were published.
    """
    if not settings.limit_points:
        equal = [Fraction(str(settings.points)) / len(judged)] * len(judged)
        return equal, round_in_total(equal)
    points = divide_points(dict(settings.limit_points), settings.points, settings.budget)
    # The teacher of a net is stated and asks for nothing.
    payers = [
        "" if one.result.rule == TEACHER else find_payer(one.limit, points, settings.budget)
        for one in judged
    ]
    shares = {
        payer: iter(round_in_total([Fraction(str(points.get(payer, 0))) / number] * number))
        for payer, number in Counter(payers).items()
    }
    shown = [next(shares[payer]) for payer in payers]
    return [Fraction(str(one)) for one in shown], shown
