"""Tables about exports and pictures, from the records of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netlet import stats
from netlet.report.markdown import inline_code, markdown_table
from tools.records import RATIOS, RESULTS, all_studies

HOST, BOARD = "this machine", "cortex-m4"
_INT8, _LEVEL = "netlet's C, int8", "-O2"


def c_latency() -> str:
    """Return latency and sizes of each implementation, net by net."""
    record = json.loads((RESULTS / "c_latency.json").read_text())
    head = (
        "net",
        "implementation",
        "latency",
        "relative to ONNX Runtime",
        "flash, x86-64",
        "flash, Cortex-M4",
        "RAM",
        "stack",
        "correct of 10,000",
    )
    rows = [
        [
            f"`{net['net']}`",
            row["side"],
            row["crash"] if "crash" in row else f"{row['latency_us']:,.1f} µs",
            "-" if "crash" in row else f"{row['ratio']:.2f}",
            *_sizes(row["size"]),
            "-" if "crash" in row else f"{row['correct']:,}",
        ]
        for net in record["nets"]
        for row in net["rows"]
    ]
    machine = record["environment"]
    how = (
        f"{machine['cpu']}, one thread, {record['compiler']}, `{' '.join(record['fast'])}`; "
        f"medians of {record['turns']} rounds of {record['images']:,} calls from Python. An empty "
        f"C function takes {record['empty_call_us']:.2f} µs of these, an identity model "
        f"{record['empty_model_us']:.2f} µs. Flash and RAM are in bytes, of the object file built "
        "with `-Os`, without library functions ([linked](microcontrollers.md#instructions), they "
        "are slightly larger), and the stack is that of this machine; for ONNX Runtime the table "
        f"gives the size of the model file. {RATIOS}"
    )
    return f"{markdown_table(head, rows, 'llrrrrrrr')}\n\n{how}"


def c_levels() -> str:
    """Return how much faster C in int8 is than in float32, net by net and by compiler flags."""
    nets = json.loads((RESULTS / "c_levels.json").read_text())["nets"]
    flags = [row["flags"] for row in nets[0]["rows"]]
    rows = [[f"`{net['net']}`", *(_speedup(net["rows"], level) for level in flags)] for net in nets]
    head = ("net", *(f"`{level}`" for level in flags))
    return f"{markdown_table(head, rows, 'l' + 'r' * len(flags))}\n\n{RATIOS}"


def _speedup(rows: Sequence[Mapping[str, Any]], flags: str) -> str:
    row = next(row for row in rows if row["flags"] == flags)
    return f"{row['speedup']:.2f} ({row['float32_us']:,.0f} → {row['int8_us']:,.0f} µs)"


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


def mcu_nets() -> str:
    """Return what each net needs in int8 on a microcontroller, beside its accuracy."""
    record = json.loads((RESULTS / "mcu_instructions.json").read_text())
    studies = all_studies()
    kinds = ("flash_bytes", "ram_bytes", "stack_bytes")
    rows = []
    for net in record["nets"]:
        study = studies[net["net"]]
        (row,) = (row for row in net["rows"] if row["side"] == _INT8)
        at = row["levels"][_LEVEL]
        rows.append(
            [
                f"{inline_code(study.name)}{stats.mark_shifts(study)}",
                f"{stats.mean_percent(study):.2f}%",
                f"{study.cost['parameters']:,}",
                *(f"{at[kind]:,}" for kind in kinds),
                f"{at['instructions'] / 1e6:.2f}",
            ]
        )
    rows.sort(key=lambda row: int(row[3].replace(",", "")))
    head = ("net", "test accuracy", "parameters", "flash", "RAM", "stack", "instructions")
    footnote = stats.explain_shift_mark([studies[net["net"]] for net in record["nets"]])
    return (
        f"{markdown_table(head, rows, 'lrrrrrr')}\n\n"
        f"Bytes, and millions of instructions per image, of the int8 C for {record['target']}, "
        f"compiled with `{_LEVEL}`; the accuracy is the study's mean, of the float32 nets."
        f"\n\n{footnote}"
    )


def mcu_instructions() -> str:
    """Return the instructions per image and the memory of each implementation at each level."""
    record = json.loads((RESULTS / "mcu_instructions.json").read_text())
    levels = list(record["nets"][0]["rows"][0]["levels"])
    head = ("net", "implementation", *(f"`{level}`" for level in levels), "flash", "RAM", "stack")
    rows = [
        [
            f"`{net['net']}`",
            row["side"],
            *(f"{row['levels'][level]['instructions'] / 1e6:.2f}" for level in levels),
            *(_at_levels(row["levels"], f"{kind}_bytes") for kind in ("flash", "ram", "stack")),
        ]
        for net in record["nets"]
        if len(net["rows"]) > 2  # another generator's, too
        for row in net["rows"]
    ]
    how = (
        f"Instructions per image, in millions, for {record['target']} (`{record['processor']}`) at "
        f"each level of optimization; bytes of flash, RAM and stack at the same levels, or once if "
        f"they are equal. "
        f"{record['compiler']}, {record['emulator']}, board {record['board']}."
    )
    return f"{markdown_table(head, rows, 'll' + 'r' * (len(levels) + 3))}\n\n{how}"


def _at_levels(levels: Mapping[str, Mapping[str, int]], key: str) -> str:
    """Return a number for each level of optimization, or one if all are equal."""
    numbers = [f"{found[key]:,}" for found in levels.values()]
    return numbers[0] if len(set(numbers)) == 1 else " / ".join(numbers)


def pictures() -> str:
    """Return the answers for each kind of picture, and how often a row of digits is divided."""
    record = json.loads((RESULTS / "pictures.json").read_text())
    named = {"the test images themselves, not prepared": record["raw"], **record["kinds"]}
    columns = ("right", "unsure", "wrong_and_sure", "divided", "refused")
    rows = [
        [kind.replace("_", " "), *(f"{found[column]:,}" for column in columns)]
        for kind, found in named.items()
    ]
    pairs, singles = record["pairs"], record["singles"]
    head = (
        "kind of picture",
        f"correct of {record['images']:,}",
        "unsure",
        "wrong without being unsure",
        "divided",
        "rejected",
    )
    split = singles["taken_for_two"] + singles["taken_for_more"]
    return (
        f"{markdown_table(head, rows, 'lrrrrr')}\n\n"
        f"Of {pairs['number']:,} pairs of training digits next to each other, 2 to 8 px apart, "
        f"{pairs['taken_for_two']:,} are divided into two digits, {pairs['taken_for_one']:,} are "
        f"taken for one; of {singles['number']:,} single digits {split} are divided."
    )


def unsure() -> str:
    """Return how often nets are unsure about digits, and about images that are not digits."""
    nets = json.loads((RESULTS / "unsure.json").read_text())["nets"]
    head = ("net", "test digits called unsure", "accuracy of the others", "accuracy of all")
    rows = [
        [
            f"`{net['net']}`",
            f"{_percent(test['unsure'], test['images'])} "
            f"({_percent(test['unsure_by_softmax'], test['images'])})",
            _percent(test["sure_and_correct"], test["images"] - test["unsure"]),
            _percent(test["correct"], test["images"]),
        ]
        for net in nets
        for test in (net["test"],)
    ]
    images = next(iter(nets[0]["kinds"].values()))["images"]
    kinds = [[kind, *(_percents(net["kinds"][kind]) for net in nets)] for kind in nets[0]["kinds"]]
    of_nets = [f"`{net['net']}`" for net in nets]
    return (
        f"{markdown_table(head, rows, 'lrrr')}\n\n"
        f"{markdown_table(('called unsure', *of_nets), kinds, 'l' + 'r' * len(nets))}\n\n"
        f"Of {images:,} images of each kind. In parentheses: with the net's softmax alone, and a "
        "threshold that calls 1% of the same training images unsure."
    )


def _percents(found: Mapping[str, int]) -> str:
    calibrated, alone = found["unsure"], found["unsure_by_softmax"]
    return f"{_percent(calibrated, found['images'])} ({_percent(alone, found['images'])})"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.2f}%"


TABLES: dict[str, Callable[[], str]] = {
    "c_latency": c_latency,
    "c_levels": c_levels,
    "mcu_instructions": mcu_instructions,
    "mcu_nets": mcu_nets,
    "pictures": pictures,
    "unsure": unsure,
}
