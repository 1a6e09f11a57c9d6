"""Parts of the README: the table of results, and the output of ``netlet train``.

    python -m tools.readme         train once more and record the output in results/train_output.txt

Do this after a change of what ``netlet train`` prints; ``python -m tools`` puts the recorded output
into the README.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from netlet import stats
from netlet.experiments import DEFAULT
from netlet.report.markdown import markdown_table
from tools.records import RESULTS, ROOT, recorded_study

TRAIN_OUTPUT = RESULTS / "train_output.txt"
# Experiment -> what it shows.
_SHOWN = {
    "swift": "the default net",
    "mnistnet_2": "fewer than 8,000 parameters",
    "sprint": "netlet's fastest above 99.4%",
}
_FIRST_LINES, _LAST_LINES = 2, 9  # of the output


def draw_results() -> str:
    """Return a table of three experiments, each linked to its record."""
    rows = []
    for name, what in _SHOWN.items():
        study = recorded_study(name)
        interval = stats.interval_over_seeds(study)
        assert interval is not None
        seconds = statistics.median(seed.train_s for seed in study.seeds)
        threads = study.environment["threads"]
        rows.append(
            [
                f"[`{name}`](results/studies/{name}/study.json): {what}",
                f"{stats.mean_percent(study):.2f}% ({interval[0]:.2f} to {interval[1]:.2f}%, "
                f"{len(study.seeds)} seeds)",
                f"{study.cost['parameters']:,}",
                str(study.total_epochs),
                f"{seconds:.0f} s on {threads} core{'s' if threads > 1 else ''}",
            ]
        )
    columns = (
        "experiment",
        "MNIST test accuracy: mean (95% interval)",
        "parameters",
        "epochs",
        "training",
    )
    return (
        f"{markdown_table(columns, rows, 'llrrr')}\n\n"
        "Accuracy after the last epoch on the 10,000 test images: a single net, no "
        "test-time augmentation. Training times are medians over the seeds of a study, recorded on "
        "different days and machines; [Speed](docs/speed.md) times `sprint` and `swift` "
        "beside [train_mnist_fast](https://github.com/tuomaso/train_mnist_fast)."
    )


def draw_train_output() -> str:
    """Return the recorded output of ``netlet train``: its beginning and its verdict."""
    lines = TRAIN_OUTPUT.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("training "))
    lines = lines[start:]  # after the check of the budget, which the verdict repeats
    if len(lines) > _FIRST_LINES + _LAST_LINES + 1:
        lines = [*lines[:_FIRST_LINES], "...", *lines[-_LAST_LINES:]]
    return "\n".join(["```text", *lines, "```"])


def record_train_output() -> None:
    """Run ``netlet train`` in an empty folder and record what it prints to stdout and stderr.

    Raises:
        SystemExit: Training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "netlet", "train", DEFAULT],
            cwd=folder,
            env={**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode:
        raise SystemExit(f"netlet train failed:\n{done.stdout}")
    TRAIN_OUTPUT.write_text(done.stdout, encoding="utf-8")


TABLES: dict[str, Callable[[], str]] = {
    "result_table": draw_results,
    "train_output": draw_train_output,
}

if __name__ == "__main__":
    record_train_output()
    print(f"{TRAIN_OUTPUT.relative_to(ROOT)}: recorded")
