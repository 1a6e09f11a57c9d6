"""The table of what a task costs, from the record of the benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from netlet.report.markdown import markdown_table
from tools.records import RESULTS


def draw_tasks() -> str:
    """Return the recorded costs."""
    return tasks_table(json.loads((RESULTS / "tasks.json").read_text()))


def tasks_table(record: Mapping[str, Any]) -> str:
    """Return what tasks cost, and the machine."""
    machine = record["environment"]
    rows = [
        ["first task of a worker, once the fork server runs", f"{record['new_worker_ms']:.0f} ms"],
        [
            f"each of {record['tasks']:,} tasks that do nothing: median, slowest of 100",
            f"{record['median_ms']:.2f} ms, {record['slowest_of_100_ms']:.2f} ms",
        ],
        [
            "memory of driver and worker, growth over these tasks",
            f"{max(0, record['growth_bytes']) / 2**20:.1f} MiB",
        ],
        [
            f"run of a study, beyond the time in its record: median of {record['runs']}",
            f"{record['run_median_ms']:.0f} ms",
        ],
    ]
    return (
        f"{markdown_table(('what', 'cost'), rows, 'lr')}\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}."
    )


TABLES: dict[str, Callable[[], str]] = {"tasks": draw_tasks}
