"""The tables of docs/scale.md, from the record of ``benchmarks.scale``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from netlet.report.markdown import markdown_table
from tools.records import RESULTS


def measured_table(record: Mapping[str, Any]) -> str:
    """Return the times of studies on nodes of one machine."""
    rows, first = record["measured"], record["measured"][0]["makespan_s"]
    without = "time of the nodes without a seed"
    columns = ("nodes", "seeds", "total time", "speedup", without, "moved")
    lines = [
        [
            str(row["nodes"]),
            str(row["seeds"]),
            f"{row['makespan_s']:.1f} s",
            f"{first / row['makespan_s']:.2f}",
            f"{row['lost_s']:.1f} s ({_lost_share(row):.1f}%)",
            f"{row['moved_bytes'] / 1e6:.0f} MB",
        ]
        for row in rows
    ]
    machine = record["environment"]
    table = markdown_table(columns, lines, "r" * len(columns))
    return (
        f"{table}\n\n`{record['experiment']}` on MNIST, nodes with one processor each on one "
        f"machine: {machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}."
    )


def _lost_share(row: Mapping[str, Any]) -> float:
    """Return the percentage of the nodes' time in which they train no seed."""
    return 100 * float(row["lost_s"]) / (row["nodes"] * row["makespan_s"])


def simulated_table(record: Mapping[str, Any]) -> str:
    """Return what simulated clusters need for the recorded trace, and the assumptions."""
    found = record["simulated"]
    columns = (
        "nodes (simulated)",
        "workers",
        "checkpoint of a task",
        "total time",
        "without failures",
        "efficiency",
        "failed nodes",
        "killed workers",
        "share lost to failures",
        "share of the driver's time",
        "moved",
    )
    lines = [
        [
            f"{row['nodes']:,}",
            f"{row['nodes'] * found['per_node']:,}",
            _format_interval(row.get("checkpoint_s", 0)),
            _format_time(row["makespan_s"]),
            _format_time(row["without_failures_s"]),
            f"{100 * row['efficiency']:.1f}%",
            f"{row['failed_nodes']:g}",
            f"{row['killed_workers']:g}",
            f"{100 * row['lost_share']:.3f}%",
            f"{100 * row['driver_share']:.1f}%",
            f"{row['moved_bytes'] / 1e9:.1f} GB",
        ]
        for row in found["rows"]
    ]
    return f"{markdown_table(columns, lines, 'r' * len(columns))}\n\n{_describe_model(record)}"


def _describe_model(record: Mapping[str, Any]) -> str:
    found, costs = record["simulated"], record["costs"]
    failures = found["failures"]
    unfinished = max(row["unfinished"] for row in found["rows"])
    others = costs.get("progress_s")  # earlier records have none
    progress = f"{1e3 * others:.1f} ms for each message of progress, " if others else ""
    left = (
        f"at most {unfinished} tasks of a simulation were not finished"
        if unfinished
        else "all tasks were finished in every simulation"
    )
    return (
        f"**Simulated, not measured**: {found['tasks']:,} tasks, {found['work_s'] / 3600:,.0f} "
        f"hours of work, drawn from the recorded times of {found['seeds_of_trace']} seeds in "
        f"`results/` (one thread each); medians of {found['runs']} simulations, each with "
        "other random failures. Model of failures: a node fails every "
        f"{failures['node_s'] / 3600:g} hours and "
        f"a worker is killed every {failures['worker_s'] / 3600:g} hours on average (exponential "
        f"distributions), a node is back after {failures['down_s'] / 60:g} minutes, the "
        f"driver notices after {failures['notice_s']:g} s, and a task goes on from its last "
        "checkpoint, "
        f"at most twice; {left}. "
        f"Measured costs: {costs['worker_start_s']:.1f} s until a new worker trains, "
        f"{1e3 * costs['message_s']:.1f} ms of the driver for each checkpoint and each result, "
        f"{progress}"
        f"{costs['data_bytes'] / 1e6:.1f} MB of data for each node, "
        f"{costs['checkpoint_bytes'] / 1e3:.0f} kB back with each checkpoint and "
        f"{costs['result_bytes'] / 1e3:.0f} kB with each result."
    )


def _format_interval(seconds: float) -> str:
    """Return how often a task sends its checkpoint; one of each epoch is sent if it is 0."""
    return f"every {seconds:g} s at most" if seconds else "every epoch"


def _format_time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min"


def _load() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((RESULTS / "scale.json").read_text())
    return record


TABLES: dict[str, Callable[[], str]] = {
    "scale_measured": lambda: measured_table(_load()),
    "scale_simulated": lambda: simulated_table(_load()),
}
