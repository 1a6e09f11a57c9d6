"""Where the tables of a net in a record contradict its cost."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from netlet.budgets import (
    FIXED_WEIGHTS,
    HIDDEN,
    IN_TRAINING_ONLY,
    NEVER_RAN,
    NOT_ON_BLANK_IMAGES,
    OF_WEIGHTS,
)
from netlet.records.json_file import shorten

# Kinds of layers and functions with one input. In a net that has no others, each window's field is
# that of the window before, enlarged.
_SINGLE_INPUT = frozenset(
    ("Conv2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "BatchNorm2d", "ReLU", "Dropout")
) | frozenset(
    (
        "UnscaledBatchNorm2d",
        "Dropout2d",
        "Flatten",
        "Linear",
        "LogSoftmax",
        "relu",
        "reshape",
        "view",
    )
)
_ENDS = ("Flatten", "Linear", "LogSoftmax", "reshape", "view")  # in line if only a row remains
# What computes a single window and nothing else: its row and its window tell the same. A module of
# a user may pad, crop, pool or enlarge besides.
_SINGLE_WINDOW = re.compile(
    r"(Conv|ConvTranspose|MaxPool|AvgPool|AdaptiveAvgPool|AdaptiveMaxPool|LPPool)[123]d|Linear"
)
_KEYS_OF_WINDOW = (
    ("kernel", "k"),
    ("stride", "s"),
    ("padding", "p"),
    ("dilation", "d"),
)  # of a row, of a window
# Suffixes of kinds in a summary.
_OWN = " (its own)"
_NOT_RUN = tuple(f" ({word})" for word in (NEVER_RAN, IN_TRAINING_ONLY, NOT_ON_BLANK_IMAGES))


# Layers that each version has listed in cost.kinds.
_LISTED = ("Conv2d", "Linear", "BatchNorm2d", "MaxPool2d")


def contradictions_of_net(
    cost: Mapping[str, Any], summary: Mapping[str, Any], receptive_field: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what contradicts what in the tables of a net.

    Args:
        cost: The fields of ``ModelCost`` as JSON stores them.
        summary: The net's summary.
        receptive_field: The table of its receptive fields.
    """
    yield from _contradictions_of_totals(cost, summary, receptive_field)
    yield from _contradictions_of_spending(cost, summary["rows"])
    yield from _contradictions_of_kinds(cost["kinds"], summary["rows"])
    yield from _contradictions_of_fields(
        summary["rows"], receptive_field["rows"], summary["input"][1:]
    )
    yield from _contradictions_of_windows(cost["kinds"], summary["rows"], receptive_field["rows"])


def _contradictions_of_totals(
    cost: Mapping[str, Any], summary: Mapping[str, Any], receptive_field: Mapping[str, Any]
) -> Iterator[str]:
    rows = summary["rows"]
    macs = [row["macs"] for row in rows]
    size, reason = receptive_field["size"], receptive_field["why_unknown"]
    pairs = [
        ("cost.parameters", cost["parameters"], "the layers of summary", _sum(rows, "parameters")),
        ("summary.parameters", summary["parameters"], "its layers", _sum(rows, "parameters")),
        ("summary.macs", summary["macs"], "cost.macs", cost["macs"]),
        (
            "summary.activation_bytes",
            summary["activation_bytes"],
            "cost.activation_bytes",
            cost["activation_bytes"],
        ),
        (
            "summary.parameters",
            summary["parameters"],
            "trainable and non_trainable",
            summary["trainable"] + summary["non_trainable"],
        ),
        (
            "summary.total_bytes",
            summary["total_bytes"],
            "input, forward_backward and parameter bytes",
            summary["input_bytes"] + summary["forward_backward_bytes"] + summary["parameter_bytes"],
        ),
        (
            "summary.input_bytes",
            summary["input_bytes"],
            "summary.input",
            4 * prod(summary["input"]),
        ),
        ("summary.field", summary["field"], "receptive_field.size", size),
    ]
    if summary["macs"] is not None:
        pairs.append(("summary.macs", summary["macs"], "its layers", sum(m or 0 for m in macs)))
    for name, found, other, expected in pairs:
        if found != expected:
            yield f"{name} is {_show(found)}, but {other} give {_show(expected)}"
    axes = len(summary["input"]) - 1
    for row in rows:
        if any(row[name] is not None and len(row[name]) != axes for name in ("field", "jump")):
            yield f"summary has a field of other than {axes} axes, those of its input"
        window = [row[name] for name in ("kernel", "stride", "padding", "dilation")]
        if len({-1 if sizes is None else len(sizes) for sizes in window}) > 1 or [] in window:
            yield f"summary has a window without all of its sizes in {shorten(row['name'])}"
    if (size is None) != bool(reason):
        yield "receptive_field.size and why_unknown do not agree on whether it is known"


def _contradictions_of_spending(
    cost: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Compare the amounts of single layers, which runs record, with the table of layers."""
    if "spending" not in cost:
        return
    parameters, macs, activations = Counter[str](), Counter[str](), Counter[str]()
    # Weights that are no parameters have rows of their own, and no output.
    hidden = {name for name, _ in cost["spending"].get(HIDDEN, ())}
    for row in rows:
        kind = row["kind"]
        if kind.endswith(_NOT_RUN):
            suffix = next(suffix for suffix in _NOT_RUN if kind.endswith(suffix))
            parameters[f"{row['name'].removeprefix('(net)')}{suffix}"] += row["parameters"]
            continue
        layer = f"{row['name']} ({kind.removesuffix(_OWN).removesuffix(OF_WEIGHTS)})"
        parameters[layer] += row["parameters"]
        if kind == FIXED_WEIGHTS or kind.endswith(_OWN) or layer in hidden:
            continue
        macs[layer] += row["macs"] or 0
        if not kind.endswith(OF_WEIGHTS):
            activations[layer] = max(activations[layer], 4 * prod(row["output"]))
    expected = {
        "parameters": parameters,
        "MACs": macs,
        "weight bytes": {layer: 4 * amount for layer, amount in parameters.items()},
        "activation bytes": activations,
    }
    if cost["spending"].keys() - {HIDDEN} != expected.keys():
        yield f"cost.spending has other keys than {', '.join(expected)}"
        return
    for name, amounts in expected.items():
        found = cost["spending"][name]
        order = [amount for _, amount in found]
        wanted = sorted((layer, amount) for layer, amount in amounts.items() if amount)
        if sorted(map(tuple, found)) != wanted or order != sorted(order, reverse=True):
            yield f"cost.spending.{name} is not that of the layers of summary, largest first"


def _contradictions_of_kinds(
    kinds: Mapping[str, Sequence[str]], rows: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    for row in rows:
        layers = kinds.get(row["kind"], () if row["kind"] in _LISTED else None)
        if layers is not None and not {row["name"], f"{row['name']} (function)"} & set(layers):
            yield (
                f"summary has the layer {shorten(row['name'])}, but cost.kinds does not list it"
                f" under {shorten(row['kind'])}"
            )


def _contradictions_of_fields(
    rows: Sequence[Mapping[str, Any]],
    windows: Sequence[Mapping[str, Any]],
    image: Sequence[int],
) -> Iterator[str]:
    """Check the arithmetic of receptive fields, window by window."""
    in_line = _is_in_line(rows, windows, image)
    before: Mapping[str, Any] | None = None
    for number, window in enumerate(windows):
        where = f"receptive_field.rows[{number}] ({shorten(window['name'])})"
        # A lazy layer becomes another kind when it runs.
        kinds = {row["kind"].removeprefix("Lazy") for row in rows if row["name"] == window["name"]}
        if kinds and window["kind"] not in kinds:
            kind = shorten(window["kind"])
            yield f"{where}: kind is {kind}, but summary has {shorten(', '.join(sorted(kinds)))}"
        yield from (f"{where}: {fault}" for fault in _faults_of_window(window, in_line))
        if window["kind"] in ("Linear", "AdaptiveAvgPool2d"):  # they cover the whole map
            covered = [k * n for k, n in zip(window["k"], window["n_out"], strict=True)]
            if window["n_in"] != covered:
                yield f"{where}: n_in is {window['n_in']}, but k * n_out is {covered}"
        for mine, theirs in (("n_in", "n_out"), ("r_in", "r_out"), ("j_in", "j_out")):
            first = image if mine == "n_in" else [1] * len(window["k"])
            expected = before[theirs] if before else first
            if in_line and window[mine] != expected:
                yield f"{where}: {mine} is {window[mine]}, but the window before gives {expected}"
        before = window


def _is_in_line(
    rows: Sequence[Mapping[str, Any]],
    windows: Sequence[Mapping[str, Any]],
    image: Sequence[int],
) -> bool:
    """Return whether each window takes the map of the window before, and nothing else does.

    Not so if a layer has several inputs or pads by itself (``padding_mode``, ``"same"`` with an
    even kernel), if a pooling has windows of different sizes, or if a map is reshaped or cut.
    """
    before, left = list(image), iter(windows)
    for row in rows:
        kind, after = row["kind"], list(row["output"][1:])
        slides = row["kernel"] is not None or kind == "Linear"
        window = next(left, None) if slides else None
        if kind not in _SINGLE_INPUT or (kind in _ENDS and after):
            return False
        if kind == "AdaptiveAvgPool2d" and window is None:
            return False
        # A map may be padded, cut or transposed between, which no row shows.
        if before != (window["n_in"] if window else after or before):
            return False
        # A dense layer takes the map that is flattened, the next one a map of a single place.
        flat = [1] * len(image) if kind == "Linear" else before
        before = after or flat
    return True


def _faults_of_window(window: Mapping[str, Any], in_line: bool) -> Iterator[str]:
    """Yield what is wrong with a row of the table of receptive fields.

    Args:
        window: The row.
        in_line: Whether every layer has one input, so that fields grow exactly by the formula.
            Elsewhere they may overlap less or more, lie along other axes, as after a transposition,
            or be those of a map whose pixels were moved into other places or channels.
    """
    sizes = [window[name] for name in ("n_in", "k", "s", "p", "d", "n_out")]
    fields = [window[name] for name in ("r_in", "j_in", "r_out", "j_out")]
    fields = [field for field in fields if field is not None]
    axes = {len(one) for one in sizes}, {len(one) for one in fields}
    if any(len(found) > 1 for found in axes) or (in_line and fields and axes[0] != axes[1]):
        yield "its sizes have different numbers of axes"
        return
    if len(fields) < 4 or axes[0] != axes[1]:  # unknown, or of a map that was rearranged
        return
    if not in_line:
        for one, other in zip(*fields[::2], strict=True):
            if other < one:
                yield f"r_out is {other}, but r_in is {one}"
        return
    faults = list(_faults_of_formula(window, *fields))
    # No row shows a transposition; after it, the window's height is along the image's width.
    if faults and any(_faults_of_formula(window, *(field[::-1] for field in fields))):
        yield from faults


def _faults_of_formula(
    window: Mapping[str, Any],
    r_in: Sequence[int],
    j_in: Sequence[int],
    r_out: Sequence[int],
    j_out: Sequence[int],
) -> Iterator[str]:
    """Yield where the field and jump after a window are not those that its sizes give."""
    for axis, (k, s, d) in enumerate(zip(window["k"], window["s"], window["d"], strict=True)):
        reach = r_in[axis] + (k - 1) * d * j_in[axis]
        if r_out[axis] != reach:
            yield f"r_out is {r_out[axis]}, but r_in + (k - 1) * d * j_in is {reach}"
        slides = window["n_out"][axis] > 1  # from one place to the next
        if j_out[axis] != j_in[axis] * s and (slides or j_out[axis] != j_in[axis]):
            yield f"j_out is {j_out[axis]}, but j_in * s is {j_in[axis] * s}"


def _contradictions_of_windows(
    kinds: Mapping[str, Sequence[str]],
    rows: Sequence[Mapping[str, Any]],
    windows: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Compare the layers that slide a window with the table of receptive fields."""
    layers, fields = defaultdict(list), defaultdict(list)
    for row in rows:
        if row["kernel"] is not None and row["name"] in kinds.get(row["kind"], ()):
            layers[row["name"]].append(row)
    names = {row["name"] for row in rows}
    for window in windows:
        fields[window["name"]].append(window)
        if window["name"] not in names:
            yield f"receptive_field has {shorten(window['name'])}, which is not a layer of summary"
    for name, of_name in layers.items():
        if len(of_name) != len(fields[name]):
            # A layer with several windows has one row, without a kernel.
            if len(of_name) == sum(row["name"] == name for row in rows):
                yield f"summary and receptive_field have different windows for {shorten(name)}"
            continue
        for row, window in zip(of_name, fields[name], strict=True):
            windows_of = [(row[a], window[b]) for a, b in _KEYS_OF_WINDOW]
            fields_of = [(row["field"], window["r_out"]), (row["jump"], window["j_out"])]
            places = list(row["output"][1:])
            is_one = _SINGLE_WINDOW.fullmatch(row["kind"]) or row["kind"].islower()
            if is_one and len(places) == len(window["n_out"]) and places != list(window["n_out"]):
                yield f"summary and receptive_field have different outputs for {shorten(name)}"
            if any(mine != theirs for mine, theirs in windows_of + fields_of * bool(is_one)):
                yield (
                    f"summary and receptive_field have different windows or fields for"
                    f" {shorten(name)}"
                )


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows)


def _show(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "unknown" if value is None else str(value)
