"""The tables of docs/trust.md, from the record of the fault-injection tests.

python -m pytest -m faults -n 2 --dist worksteal --faults-out=results/faults.json    try the faults
python -m tools                                                                      draw the tables
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from netlet.report.markdown import markdown_table
from tools.records import RESULTS

FAULTS = RESULTS / "faults.json"
# Group -> what it is, the head of its first column, and the results that it can have.
_GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kills": ("process that dies", ("bit_equal",)),
    "readers": ("reader of damaged files", ("refused", "harmless")),
    "records": ("edits", ("refused", "harmless")),
    "compiled": ("mistakes in compiled code", ("caught", "harmless")),
    "resources": ("what is missing", ("refused", "harmless")),
    "loops": ("runs in a row", ("harmless",)),
}
_MOST_MISSED = 0.05  # of the mistakes in compiled code, as tests/faults ask
_RESULTS = {
    "bit_equal": "same bits afterwards",
    "refused": "refused in one line",
    "harmless": "harmless",
    "caught": "noticed, PyTorch used instead",
}
# As the last complete run names it -> as the tests name it since.
_RENAMED = {"trials from which a search goes on": "trials that a search resumes from"}
_HARMLESS = {"readers": "read", "resources": "succeeded", "loops": "nothing left behind"}


def load_faults() -> dict[str, Any]:
    """Return the record of the last complete run of the suite."""
    record: dict[str, Any] = json.loads(FAULTS.read_text(encoding="utf-8"))
    return record


def _draw_group(group: str) -> str:
    head, results = _GROUPS[group]
    names = [_HARMLESS.get(group, "harmless") if r == "harmless" else _RESULTS[r] for r in results]
    counts = [row for row in load_faults()["counts"] if row["group"] == group]
    rows = [
        [
            _RENAMED.get(row["what"], row["what"]),
            *(f"{row[key]:,}" for key in ("tried", *results, "failed")),
        ]
        for row in counts
    ]
    if len(rows) > 1:
        totals = (sum(row[key] for row in counts) for key in ("tried", *results, "failed"))
        rows.append(["**together**", *(f"**{total:,}**" for total in totals)])
    columns = (head, "tried", *names, "missed" if group == "compiled" else "failed")
    table = markdown_table(columns, rows, "l" + "r" * (len(columns) - 1))
    if group == "compiled" and not any("bfloat16" in row["what"] for row in counts):
        table += "\n\nMistakes in bfloat16 were not tried: that processor does not compute in it."
    return table


def draw_summary() -> str:
    """Return when, where and how long the suite ran, and what it found in all."""
    record = load_faults()
    counts, machine = record["counts"], record["environment"]
    tried = sum(row["tried"] for row in counts)
    failed = sum(row["failed"] for row in counts if row["group"] != "compiled")
    missed = sum(row["failed"] for row in counts if row["group"] == "compiled")
    planted, harmless = (
        sum(row[key] for row in counts if row["group"] == "compiled")
        for key in ("tried", "harmless")
    )
    result = f"{failed:,} others failed" if failed else "nothing else failed"
    return (
        f"Last complete run: {record['date']}, netlet {record['netlet']}, commit "
        f"`{record['commit'][:10]}`, in {record['seconds'] / 60:.0f} minutes on "
        f"{machine['cores']} cores ({machine['system']}, {machine['machine']}, Python "
        f"{machine['python']}, PyTorch {machine['torch']}, NumPy {machine['numpy']}).\n\n"
        f"{tried:,} faults were tried. Of {planted:,} mistakes planted in "
        f"[compiled code](#compiled-code), {planted - harmless:,} change a result, and {missed} "
        f"of these {'was' if missed == 1 else 'were'} missed (limit: {_MOST_MISSED:.0%}); {result}."
    )


def _drawer(group: str) -> Callable[[], str]:
    return lambda: _draw_group(group)


TABLES: dict[str, Callable[[], str]] = {
    "faults": draw_summary,
    **{f"faults_{group}": _drawer(group) for group in _GROUPS},
}
