"""Draws what the comparisons of larger nets say of the accuracies that were not reached."""

from __future__ import annotations

from itertools import groupby
from statistics import fmean, median

from netlet import stats
from netlet.records import Study
from netlet.report.markdown import inline_code, markdown_table
from tools.techniques import LARGE, Compared, read_comparisons

_WANTED = 99.6  # percent, the mean of ten seeds


def draw_what_was_tried(studies: dict[str, Study]) -> str:
    """Return how the arms of each limit from 8,000 parameters on spread, in text and a table.

    Args:
        studies: The recorded studies by name.
    """
    found = [one for one in read_comparisons() if one.path.parent in LARGE]
    rows = [_describe_limit(limit, list(group)) for limit, group in groupby(found, _limit_of)]
    chosen, before = studies["cairn"], studies["mnistnet_2"]
    means = [stats.mean_percent(study) for study in (chosen, before)]
    low, high = stats.interval_over_seeds(chosen) or (0, 0)
    head = ("limit", "nets and recipes", "runs", "lowest", "median", "highest")
    return f"""The aim was a mean of {_WANTED:.2f}% with fewer than 8,000 parameters. It was
not reached: {inline_code(chosen.name)}, the net that these trials led to, has {means[0]:.3f}%
({low:.3f} to {high:.3f}), and {inline_code(before.name)} has {means[1]:.3f}%. The table
shows all nets and recipes that have been compared, with their accuracy on validation images.
Most have one or two runs, and runs of the same net differ: those of {inline_code(chosen.name)} have
a standard deviation of {stats.sd_points(chosen):.3f} points. So one of these nets may well be
better by the missing {_WANTED - means[0]:.2f} points, but the table cannot show it: even with six
runs of each, only differences from about 0.05 points on can be told from chance. With at most 9,994
parameters and 20 epochs, training with the shifts had the lowest loss; with fewer than 8,000 and 15
epochs, it made no visible difference. [Techniques](techniques.md#comparisons) lists every run.

{markdown_table(head, rows, "lrrrrr")}"""


def _limit_of(found: Compared) -> int:
    assert found.comparison.budget is not None
    assert found.comparison.budget.params_below is not None
    return found.comparison.budget.params_below


def _describe_limit(below: int, found: list[Compared]) -> list[str]:
    arms: dict[tuple[str, str], list[float]] = {}
    for one in found:
        for lines in one.lines.values():
            for line in lines:
                key = (line["net"], repr(sorted(line["changes"].items())))
                arms.setdefault(key, []).append(100 * line["correct"] / line["total"])
    means = sorted(map(fmean, arms.values()))
    limit = f"fewer than {below:,}" if below % 1_000 == 0 else f"at most {below - 1:,}"
    return [
        f"{limit} parameters",
        f"{len(arms):,}",
        f"{sum(map(len, arms.values())):,}",
        *(f"{value:.2f}%" for value in (means[0], median(means), means[-1])),
    ]
