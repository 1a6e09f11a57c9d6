"""Grade a large class of generated submissions: the time of each, memory, and wrong verdicts.

    python -m benchmarks.grade_class                600 submissions, one in 15 is not right
    python -m benchmarks.grade_class --submissions 60 --workers 2 --out class.json

The submissions are those of the tests (``tests/class_of_students.py``): most are right, some wrong,
broken, hanging or hostile. They are graded in a sandbox and with reports, as ``netlet grade`` does;
one with a loop takes the time limit twice. What is measured is the memory of this process, which
judges all of them, after each grade: it should not grow with their number.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from benchmarks.harness import make_parser, write_record
from netlet.budgets import Budget
from netlet.classroom import GradingSettings, grade_submissions, limit_workers, list_submissions
from netlet.classroom.examine import Examination
from netlet.cli.grade_writer import GradeWriter
from netlet.processor_load import cpu_cores

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import class_of_students

BUDGET = Budget(name="class", params_below=8_000, accuracy_at_least=95, forbids=("Conv2d",))
SUBMISSIONS, TIME_LIMIT_S = 600, 30
_NOT_RIGHT = 15  # one in so many
_FEWEST = 30  # for a line through the values after the warm-up
_WARM_UP_PART = 5  # one in so many submissions: imports and caches fill the memory at first


def read_memory_bytes() -> int:
    """Return the memory that this process has now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def write_class(folder: Path, number: int) -> dict[str, tuple[str, str]]:
    """Write submissions into a folder.

    Args:
        folder: An empty folder.
        number: How many.

    Returns:
        The kind of each submission, and the verdict that it should get, by its name.
    """
    (folder / "submissions").mkdir()
    (folder / "secret.txt").write_text("secret")
    kinds = class_of_students.submissions(folder / "secret.txt")
    right = [name for name, (_, state, _) in kinds.items() if state == "PASS"]
    others = [name for name in kinds if name not in right]
    expected: dict[str, tuple[str, str]] = {}
    for i in range(number):
        is_right = i % _NOT_RIGHT
        kind = right[i % len(right)] if is_right else others[i // _NOT_RIGHT % len(others)]
        files, state, _ = kinds[kind]
        name = f"{i:04d}-{kind}"
        class_of_students.write_submission(folder / "submissions", name, files)
        expected[name.removesuffix(".zip")] = (kind.removesuffix(".zip"), state)
    return expected


def measure(number: int, workers: int, folder: Path) -> dict[str, Any]:
    """Grade a class and return the figures.

    Args:
        number: How many submissions.
        workers: How many at the same time.
        folder: An empty folder.
    """
    expected = write_class(folder, number)
    data, found = class_of_students.spot_data(), list_submissions([folder / "submissions"])
    names = [one.name for one in found]
    writer = GradeWriter(folder / "grades", data, names, single=False)
    memory: list[int] = []

    def on_grade(examination: Examination, kept: bool) -> None:
        writer.take(examination, kept)
        memory.append(read_memory_bytes())

    settings = GradingSettings(budget=BUDGET, time_limit_s=TIME_LIMIT_S)
    start = time.perf_counter()
    grades = grade_submissions(found, settings, data, workers=workers, on_grade=on_grade)
    writer.finish(grades)
    total = time.perf_counter() - start
    seconds: dict[str, list[float]] = defaultdict(list)
    for grade in grades:
        seconds[expected[grade.name][0]].append(grade.seconds)
    return {
        "submissions": number,
        "workers": workers,
        "total_s": round(total, 1),
        "s_per_submission": round(total / number, 3),
        "states": Counter(grade.state for grade in grades),
        "unexpected": [
            f"{grade.name}: {grade.state}"
            for grade in grades
            if grade.state != expected[grade.name][1]
        ],
        "median_s": {kind: round(median(times), 2) for kind, times in sorted(seconds.items())},
        "memory": describe_growth(memory),
    }


def describe_growth(memory: Sequence[int]) -> dict[str, float]:
    """Return how the memory of a process changed, in MiB.

    Args:
        memory: The bytes after each of at least ten submissions.

    Returns:
        The memory after the warm-up and at the end, the largest, and by how many KiB it grew with
        each submission after the warm-up (the slope of a line through all values).
    """
    after = memory[len(memory) // _WARM_UP_PART :]
    slope = linear_regression(range(len(after)), after).slope
    mib = {"warm_mib": after[0], "end_mib": after[-1], "largest_mib": max(memory)}
    figures = {name: round(number / 2**20, 1) for name, number in mib.items()}
    return {**figures, "kib_per_submission": round(slope / 1024, 2)}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--submissions", type=int, default=SUBMISSIONS, metavar="N")
    parser.add_argument("--workers", type=int, default=None, metavar="N")
    given = parser.parse_args()
    if given.submissions < _FEWEST:
        parser.error(f"--submissions is at least {_FEWEST}")
    workers = limit_workers(given.workers or cpu_cores())
    with tempfile.TemporaryDirectory() as folder:
        record = measure(given.submissions, workers, Path(folder))
    print(json.dumps(record, indent=1))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
