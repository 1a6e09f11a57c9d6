"""A study held against its budget: what its seeds reach on average, all of them taken together."""

from __future__ import annotations

from fractions import Fraction

from netlet import budgets
from netlet.budgets import Budget, Facts, Outcome, Score, Verdict
from netlet.studies import Study


def pooled(study: Study) -> list[Score]:
    """The held-out score of each epoch, all seeds counted into one."""
    total = study.total * len(study.seeds)
    by_epoch = zip(*(seed.by_epoch for seed in study.seeds), strict=True)
    return [Score(study.split, sum(correct), total) for correct in by_epoch]


def judge(study: Study, budget: Budget | None = None) -> Verdict | None:
    """The verdict on the mean of the seeds: last epoch, and the last few where the budget asks for them.

    Args:
        study: Of any number of seeds.
        budget: The study's own if not given.

    Returns:
        The verdict; None where there is no budget.
    """
    if budget is None:
        if study.budget is None:
            return None
        budget = budgets.from_plain(study.budget)
    return budget.judge(Facts(**study.facts), Outcome(pooled(study), study.data["name"]))


def bar_percent(study: Study) -> float | None:
    """The accuracy that the study's budget asks for; None without one."""
    bar = budgets.from_plain(study.budget).bar if study.budget else None
    return None if bar is None else float(100 * bar)


def reaches_bar(study: Study) -> bool | None:
    """Whether the mean of the last epoch keeps the budget's bar, its strictness included; None without a bar.

    On whichever images: what a budget says of its data set, and of ``val``, is for :func:`judge`.
    """
    budget = budgets.from_plain(study.budget) if study.budget else None
    if budget is None or budget.bar is None:
        return None
    last = pooled(study)[-1]
    found = Fraction(last.correct, last.total)
    return found > budget.bar if budget.accuracy_above is not None else found >= budget.bar
