"""What the executor of this machine costs: time and memory for each task, besides the task.

    python -m benchmarks.tasks --out results/tasks.json

A task that does nothing is submitted, and its result awaited, ten thousand times. Then short runs
are trained as a study does it; what they take beyond the seconds in their records is the cost.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from benchmarks.harness import make_parser, write_record

_RUNS = 20


def do_nothing() -> None:
    """Return at once."""


def time_calls(call: Callable[[], object], count: int) -> list[float]:
    """Return the seconds of each of some calls."""
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def read_memory(process: int | None) -> int:
    """Return the bytes of memory that a process uses; Linux only."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def time_runs(executor: Executor) -> list[float]:
    """Return what short runs take beyond the seconds in their records, in seconds."""
    from netlet import data
    from netlet.experiments import configure_run, find_experiment
    from netlet.experiments.execution import open_channel
    from netlet.experiments.execution.task import RunTask, TaskResult, run_task

    images = data.make_scribble(300, 100)
    experiment = find_experiment("8 P 8")
    recipe = experiment.recipe.replace(epochs=1, batch_size=60, backend="eager", augment=())
    config = configure_run(experiment.replace(recipe=recipe), images).to_dict()
    results: list[TaskResult] = []
    with open_channel(executor) as channel:
        shared = channel.share(images)

        def run() -> None:
            task = RunTask(0, config, shared, sender=channel.sender)
            results.append(executor.submit(run_task, task).result())

        seconds = time_calls(run, _RUNS + 1)
    times = [result.record["times"]["total_s"] for result in results]
    return [all_ - own for all_, own in zip(seconds, times, strict=True)][1:]


def measure(tasks: int) -> dict[str, Any]:
    """Return the whole record."""
    import torch

    from netlet.experiments.execution import LocalExecutor
    from netlet.training.environment import describe_environment

    def call() -> None:
        executor.submit(do_nothing).result()

    with LocalExecutor(1) as executor:
        time_calls(call, 1_000)  # the first one waits for the fork server, which imports PyTorch
        processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
        before = sum(read_memory(process) for process in processes)
        seconds = time_calls(call, tasks)
        growth = sum(read_memory(process) for process in processes) - before
        beyond = time_runs(executor)
    with LocalExecutor(1) as executor:
        (again,) = time_calls(call, 1)
    return {
        "environment": describe_environment(torch.device("cpu")),
        "tasks": tasks,
        "new_worker_ms": round(1e3 * again, 1),
        "median_ms": round(1e3 * statistics.median(seconds), 3),
        "slowest_of_100_ms": round(1e3 * statistics.quantiles(seconds, n=100)[-1], 3),
        "growth_bytes": growth,
        "run_median_ms": round(1e3 * statistics.median(beyond), 1),
        "runs": _RUNS,
    }


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from tools.tasks import tasks_table

    return tasks_table(record)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--tasks", type=int, default=10_000, help="tasks that do nothing (default: 10000)"
    )
    given = parser.parse_args()
    record = measure(given.tasks)
    print(format_record(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
