"""Tables of accuracy, from the recorded studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netlet import stats
from netlet.experiments import EXPERIMENTS
from netlet.report.markdown import markdown_table
from tools.records import all_studies, recorded_study

# Nets trained with netlet's recipes; docs/documents.md has the write-ups' own recipes.
_OURS = [name for name in EXPERIMENTS if not name.endswith(".documented")]
_FAST = ("sprint", "sprint8k", "dash")


def draw_studies() -> str:
    """Return a table of the recorded studies of our recipes."""
    return _draw_table([name for name in _OURS if name in all_studies()])


def draw_fast_studies() -> str:
    """Return a table of the studies whose nets are timed in the race."""
    return _draw_table(_FAST)


def _draw_table(names: Sequence[str]) -> str:
    columns = (
        "experiment",
        "parameters",
        "epochs",
        "seeds",
        "mean accuracy",
        "95% interval",
        "sd",
        "correct of 10,000",
        "budget",
        "verdict on the mean",
        "p",
    )
    table = markdown_table(columns, [_draw_row(name) for name in names], "lrrrrrrrllr")
    footnote = stats.explain_shift_mark([recorded_study(name) for name in names])
    return "\n\n".join(filter(None, (table, footnote)))


def _draw_row(name: str) -> list[str]:
    study = recorded_study(name)
    interval, verdict = stats.interval_over_seeds(study), stats.study_verdict(study)
    target = stats.target_percent(study)
    assert interval is not None
    assert verdict is not None
    assert target is not None
    p = stats.p_value_mean_above(study, target)
    correct = [seed.correct for seed in study.seeds]
    return [
        f"`{name}`{stats.mark_shifts(study)}",
        f"{study.cost['parameters']:,}",
        str(study.total_epochs),
        str(len(study.seeds)),
        f"{stats.mean_percent(study):.3f}%",
        stats.format_interval(interval),
        f"{stats.sd_points(study):.3f}",
        f"{min(correct):,} to {max(correct):,}",
        f"`{verdict.budget}`",
        verdict.state,
        "-" if p is None else stats.format_p_value(p).removeprefix("p ").removeprefix("= "),
    ]


TABLES: dict[str, Callable[[], str]] = {"studies": draw_studies, "clock": draw_fast_studies}
