"""Tables of what is shipped, from the records of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from netlet.report.markdown import markdown_table
from tools.records import RESULTS

HOST, BOARD = "this machine", "cortex-m4"


def c_latency() -> str:
    """Each side's latency and sizes, net by net."""
    record = json.loads((RESULTS / "c_latency.json").read_text())
    head = (
        "net",
        "side",
        "one image",
        "of ONNX Runtime's",
        "flash, x86-64",
        "flash, Cortex-M4",
        "RAM",
        "stack",
        "right of 10,000",
    )
    rows = [
        [
            f"`{net['net']}`",
            row["side"],
            f"{row['latency_us']:.1f} µs",
            f"{row['ratio']:.2f}",
            *_sizes(row["size"]),
            f"{row['correct']:,}",
        ]
        for net in record["nets"]
        for row in net["rows"]
    ]
    machine = record["environment"]
    how = (
        f"{machine['cpu']}, one thread, {record['compiler']}, `{' '.join(record['fast'])}`; medians of "
        f"{record['turns']} turns of {record['images']:,} calls from Python; of these an empty C function takes "
        f"{record['empty_call_us']:.2f} µs, a model that hands its image on {record['empty_model_us']:.2f} µs. Flash "
        "and RAM in bytes, of the object file built with `-Os`; of ONNX Runtime the size of the model's file."
    )
    return f"{markdown_table(head, rows, 'llrrrrrrr')}\n\n{how}"


def _sizes(size: Mapping[str, Any]) -> list[str]:
    if "model_bytes" in size:
        return [f"file: {size['model_bytes']:,}", "-", "-", "-"]
    host, board = size[HOST], size.get(BOARD)
    return [
        f"{host['flash_bytes']:,}",
        f"{board['flash_bytes']:,}" if board else "-",
        f"{host['ram_bytes']:,}",
        f"{host['stack_bytes']:,}" if host["stack_bytes"] is not None else "-",
    ]


def pictures() -> str:
    """How many pictures of each kind are read, and how two digits are told from one."""
    record = json.loads((RESULTS / "pictures.json").read_text())
    rows = [["the images themselves, unprepared", f"{record['raw_right']:,}", "-"]]
    rows += [
        [kind.replace("_", " "), f"{found['right']:,}", str(found["refused"])]
        for kind, found in record["kinds"].items()
    ]
    pairs, singles = record["pairs"], record["singles"]
    head = ("kind of picture", f"right of {record['images']:,}", "refused")
    return (
        f"{markdown_table(head, rows, 'lrr')}\n\n"
        f"Of {pairs['number']:,} pairs of train digits set side by side, 2 to 8 px apart, {pairs['taken_for_two']:,} "
        f"are said to be two; of {singles['number']:,} single ones {singles['taken_for_two']}, wrongly."
    )


TABLES: dict[str, Callable[[], str]] = {"c_latency": c_latency, "pictures": pictures}
