"""Show how a search is going: a live table on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet.budgets import describe_teacher
from netlet.cli.interruption import say_interrupted
from netlet.cli.results import say
from netlet.progress import is_terminal
from netlet.text import count_noun, escape_controls

if TYPE_CHECKING:
    from tqdm import tqdm

    from netlet.experiments.search.engine import TrialEvent

_SHOWN = 5  # of the best trials


class SearchProgress:
    """A callback that shows the events of a search.

    Args:
        name: The name of the search.
        trials: The number of trials to run, if it is known.
        before: The number of trials that were in the file before.
    """

    def __init__(self, name: str, trials: int | None = None, before: int = 0) -> None:
        self._name, self._trials, self._before = name, trials, before
        self._ended, self._stopped, self._failed = 0, 0, 0
        self._running: dict[tuple[str | None, int], str] = {}  # by arm and seed
        self._best: list[Mapping[str, Any]] = []
        self._arms: dict[str, list[float]] = {}  # accuracies of the runs of a comparison
        self._lines: list[tqdm[Any]] = []

    def __call__(self, event: TrialEvent) -> None:
        """Show an event."""
        line, key = event.line, (event.trial.arm, event.trial.seed)
        if line is not None:
            self._running.pop(key, None)
            self._ended += 1
            self._stopped += line["state"] == "stopped"
            self._failed += line["state"] == "failed"
            is_best = self._rank(line)
            if not is_terminal():
                of = f" of {self._before + self._trials}" if self._trials else ""
                mark = " (best so far)" if is_best else ""
                number = self._before + self._ended  # the line, as --repeat counts them
                say(f"trial {number}{of}: {describe_line(line)}{mark}")
        else:
            score = f" {100 * event.correct / event.total:.2f}%" if event.total else ""
            arm = f"{event.trial.arm}, " if event.trial.arm else ""
            self._running[key] = (
                f"{arm}seed {event.trial.seed}: epoch {event.epochs}/{event.total_epochs}{score}"
            )
        if is_terminal():
            self._draw()

    def begin(self, known: Sequence[Mapping[str, Any]]) -> None:
        """Take note of the trials that the file holds already."""
        for line in known:
            self._rank(line)

    def close(self) -> None:
        """Remove the table."""
        for line in self._lines:
            line.close()
        self._lines.clear()

    def _rank(self, line: Mapping[str, Any]) -> bool:
        """Put a finished trial among the best; return whether it is the best."""
        if line["state"] != "finished":
            return False
        if "arm" in line:
            accuracies = self._arms.setdefault(line["arm"], [])
            accuracies.append(100 * line["correct"] / line["total"])
            return False
        self._best = sorted([*self._best, line], key=_rank_key)[:_SHOWN]
        return self._best[0] is line

    def _draw(self) -> None:
        ended = count_noun(self._ended, "trial")
        if self._trials:
            ended = f"{self._ended} of {count_noun(self._trials, 'trial')}"
        counts = [f"{self._stopped} stopped"] * bool(self._stopped)
        counts += [f"{self._failed} failed"] * bool(self._failed)
        texts = [
            f"search {self._name}: {ended}" + (f" ({', '.join(counts)})" if counts else ""),
            *(f"  best {n}: {describe_line(line)}" for n, line in enumerate(self._best, start=1)),
            *self._means(),
            *(f"  {text}" for text in self._running.values()),
        ]
        from tqdm import tqdm

        while len(self._lines) < len(texts):
            self._lines.append(
                tqdm(
                    position=len(self._lines),
                    bar_format="{desc}",
                    dynamic_ncols=True,  # cuts long lines
                    leave=False,
                    file=sys.stderr,
                )
            )
        for at, line in enumerate(self._lines):
            line.set_description_str(escape_controls(texts[at]) if at < len(texts) else "")

    def _means(self) -> list[str]:
        """Return a line for each arm, the best first."""
        means = {arm: sum(values) / len(values) for arm, values in self._arms.items()}
        return [
            f"  {arm}: mean {means[arm]:.3f}% of {count_noun(len(self._arms[arm]), 'run')}"
            for arm in sorted(means, key=lambda arm: -means[arm])
        ]


def describe_line(line: Mapping[str, Any]) -> str:
    """Return a trial's result in one line of text."""
    run = f"{line['arm']}, seed {line['seed']}: " if line.get("arm") else ""
    if line.get("state") == "failed":
        return f"{run}failed: {line['error']}"
    percent = 100 * line["correct"] / line["total"]
    stopped = ""
    if line.get("state") == "stopped":
        stopped = f"stopped after epoch {len(line['correct_by_epoch'])} of {line['epochs']}: "
    taught = f", taught by {describe_teacher(line['teacher'])}" if line.get("teacher") else ""
    parameters = f"{line['parameters']:,} parameters"
    return f"{run}{stopped}{percent:.2f}% with {parameters}: {line['net']}{taught}"


@contextmanager
def show_search(name: str, path: Path, trials: int | None = None) -> Iterator[SearchProgress]:
    """Show a search while the block runs it; on Ctrl-C, say what is kept.

    Args:
        name: The name of the search.
        path: The file of its trials.
        trials: The number of trials to run, if it is known.
    """
    progress = SearchProgress(name, trials, _count_lines(path))
    try:
        yield progress
    except KeyboardInterrupt:
        progress.close()
        kept = f"the trials that have ended are in {path}" if path.exists() else "none has ended"
        text = f"interrupted; {kept}, run the same command with --resume for the rest"
        say_interrupted(text)
        raise
    finally:
        progress.close()


def _count_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:  # what reads the trials says what is wrong
        return 0


def _rank_key(line: Mapping[str, Any]) -> tuple[float, float]:
    return -line["correct"] / line["total"], line["loss"]
