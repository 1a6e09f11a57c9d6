"""Tables of accuracy, from the recorded studies."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from netlet import stats
from netlet.experiments import DEFAULT, EXPERIMENTS
from netlet.report.markdown import markdown_table
from tools.records import all_studies, recorded_study

# Each with a document's net, or one of ours, trained by our recipe; the documents' recipes are in
# docs/documents.md.
_OURS = [name for name in EXPERIMENTS if not name.endswith(".documented")]
_FOR_THE_CLOCK = ("sprint", "sprint8k", "dash")


def studied() -> str:
    """The recorded studies of our recipes."""
    return _studies([name for name in _OURS if name in all_studies()])


def for_the_clock() -> str:
    """Those of them whose training time counts."""
    return _studies(_FOR_THE_CLOCK)


def _studies(names: Sequence[str]) -> str:
    head = (
        "experiment",
        "parameters",
        "epochs",
        "seeds",
        "mean",
        "95 % interval",
        "sd",
        "lowest to highest",
        "budget",
        "its mean",
        "p",
    )
    rows = []
    for name in names:
        study = recorded_study(name)
        interval, bar, verdict = (
            stats.interval_over_seeds(study),
            stats.target_percent(study),
            stats.study_verdict(study),
        )
        assert interval is not None
        assert bar is not None
        assert verdict is not None
        correct, p = [seed.correct for seed in study.seeds], stats.p_value_mean_above(study, bar)
        rows.append(
            [
                f"`{name}`",
                f"{study.cost['parameters']:,}",
                str(study.epochs),
                str(len(study.seeds)),
                f"{stats.mean_percent(study):.3f} %",
                f"{interval[0]:.3f} to {interval[1]:.3f} %",
                f"{stats.sd_points(study):.3f}",
                f"{min(correct):,} to {max(correct):,}",
                f"`{verdict.budget}`",
                verdict.state,
                "-" if p is None else stats.format_p_value(p).removeprefix("p ").removeprefix("= "),
            ]
        )
    return markdown_table(head, rows, "lrrrrrrrllr")


def claim() -> str:
    """What the default experiment reaches, in a sentence."""
    study = recorded_study(DEFAULT)
    correct = [seed.correct for seed in study.seeds]
    seconds = statistics.median(seed.total_s for seed in study.seeds)
    return (
        f"**{stats.mean_percent(study):.2f} % of the test images right on the last epoch (mean of {len(correct)} "
        f"seeds, {min(correct):,} to {max(correct):,} of 10,000) with {study.cost['parameters']:,} parameters after "
        f"{study.epochs} epochs, in {seconds:.0f} s on {study.environment['cores']} CPU cores.**"
    )


TABLES: dict[str, Callable[[], str]] = {"studies": studied, "clock": for_the_clock, "claim": claim}
