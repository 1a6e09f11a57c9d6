"""Measure the latency and size of exported C, beside ONNX Runtime and emx-onnx-cgen.

    python -m benchmarks.c_latency                  mnistnet_1, trained here, and six with weights
    python -m benchmarks.c_latency --run RUN        take mnistnet_1's weights from a run
    python -m benchmarks.c_latency --nets crest     measure one net
    python -m benchmarks.c_latency --flags=-O2      compile C with other flags

Everything runs on one core and in one process, with one image per call. The sides take turns: in
each turn every side gets the same images, each call is timed separately, and the median of the
calls counts. Each turn yields one ratio to ONNX Runtime, and the median of these ratios is quoted.

C is called through ctypes, ONNX Runtime through ``run_with_iobinding`` with input and output
already in place. Both include the cost of a call from Python, which an empty C function and an
empty model show. C is compiled with ``-O3 -march=native`` for speed and with ``-Os`` for size. A
program that crashes is not timed, and its row says so. For figures to quote, use an idle machine.
"""

from __future__ import annotations

import contextlib
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.c_sides import (
    CORTEX_M4,
    DO_NOTHING,
    QUIET,
    SIZES,
    Side,
    build_c_side,
    build_runtime_side,
    count_correct,
    generate_emx_c,
    time_calls,
)
from benchmarks.harness import make_parser, write_record

REFERENCE = "ONNX Runtime, float32"
FAST = ("-O3", "-march=native")
NETS = ("mnistnet_1", "swift", "crest", "ridge", "mnistnet_2", "mnistnet_3", "speck")


def build_sides(name: str, digits: Any, flags: Sequence[str]) -> list[Side]:
    """Build every side for a net, those of emx-onnx-cgen only if it is installed."""
    from netlet.experiments import load_trained_net
    from netlet.export import build_onnx, quantize_onnx, select_calibration_images, trace_model
    from netlet.export.c_program import generate_program
    from netlet.export.quantize import quantize_graph

    traced = trace_model(load_trained_net(name))
    calibration = select_calibration_images(traced, digits)[1]
    images, classes = digits.held_out.images.numpy(), traced.graph.classes
    model = build_onnx(traced)
    model_int8 = quantize_onnx(traced, calibration)
    c_float = generate_program(traced)
    c_int8 = generate_program(traced, quantize_graph(traced.graph, calibration))
    sides = [
        build_c_side("netlet's C, float32", c_float, images, classes, flags),
        build_c_side("netlet's C, int8", c_int8, images, classes, flags),
        build_runtime_side(REFERENCE, model, images),
        build_runtime_side("ONNX Runtime, int8", model_int8, images),
    ]
    with contextlib.suppress(ImportError):
        quiet = (*flags, *QUIET)
        for kind, source in (("float32", model), ("int8", model_int8)):
            program = generate_emx_c(source)
            sides.append(
                build_c_side(f"emx-onnx-cgen's C, {kind}", program, images, classes, quiet)
            )
    return sides


def time_empty_c_call(images: int) -> float:
    """Return the median duration of a call of an empty C function, in microseconds."""
    import numpy as np

    from netlet.export.c_program import SOURCE

    side = build_c_side(
        "nothing", {SOURCE: DO_NOTHING}, np.zeros((images, 784), np.uint8), 10, FAST
    )
    return statistics.median(time_calls(side, images))


def time_empty_onnx_call(images: int) -> float:
    """Return the median duration of a call of an identity model in ONNX Runtime, in µs."""
    import numpy as np
    from onnx import TensorProto, helper

    values = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", 1, 28, 28])
        for name in ("image", "same")
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["same"])], "nothing", values[:1], values[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    side = build_runtime_side("nothing", model, np.zeros((images, 1, 28, 28), np.uint8))
    return statistics.median(time_calls(side, images))


def compare_sides(
    name: str, digits: Any, images: int, turns: int, flags: Sequence[str]
) -> list[dict[str, Any]]:
    """Time all sides of a net in turns, and return a row of figures for each side."""
    every = build_sides(name, digits, flags)
    sides = [side for side in every if not side.crash]
    correct = {side.name: count_correct(side, digits) for side in sides}  # warms up, too
    medians: dict[str, list[float]] = {side.name: [] for side in sides}
    least: dict[str, float] = {side.name: float("inf") for side in sides}
    for _ in range(turns):
        for side in sides:
            durations = time_calls(side, images)
            medians[side.name].append(statistics.median(durations))
            least[side.name] = min(least[side.name], *durations)
    rows: list[dict[str, Any]] = []
    for side in every:
        if side.crash:
            rows.append({"side": side.name, "crash": side.crash, "size": side.size})
            continue
        turns_of_both = zip(medians[side.name], medians[REFERENCE], strict=True)
        ratios = [own / reference for own, reference in turns_of_both]
        rows.append(
            {
                "side": side.name,
                "latency_us": round(statistics.median(medians[side.name]), 1),
                "least_us": round(least[side.name], 1),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(ratio, 3) for ratio in ratios],
                "correct": correct[side.name],
                "total": len(digits.held_out),
                "size": side.size,
            }
        )
    return rows


def measure(
    names: Sequence[str], run: str | None, images: int, turns: int, flags: Sequence[str]
) -> dict[str, Any]:
    """Compare the sides of every net and return the whole record.

    Args:
        names: Nets whose weights come with netlet, and ``mnistnet_1``.
        run: The folder of a run of ``mnistnet_1``; without it, 3 epochs are trained first.
        images: How many test images each side classifies in a turn.
        turns: How often each side runs.
        flags: Compiler flags for the timed C programs.
    """
    import torch

    from netlet import data
    from netlet.backends.cpu.compiler import find_compiler
    from netlet.experiments import load_trained_net
    from netlet.nets import weights_digest
    from netlet.training.environment import describe_environment

    torch.set_num_threads(1)
    digits = data.load("mnist")
    nets = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            address = (run or train_mnistnet_1(folder)) if name == "mnistnet_1" else name
            nets.append(
                {
                    "net": name,
                    "weights_digest": weights_digest(load_trained_net(address).net),
                    "rows": compare_sides(address, digits, images, turns, flags),
                }
            )
    version = subprocess.run(
        [*find_compiler().command, "--version"], capture_output=True, text=True, check=False
    )
    return {
        "environment": describe_environment(torch.device("cpu")),
        "compiler": version.stdout.splitlines()[0],
        "fast": flags,
        "cortex_m4": CORTEX_M4,
        "images": images,
        "turns": turns,
        "empty_call_us": round(time_empty_c_call(images), 2),
        "empty_model_us": round(time_empty_onnx_call(images), 2),
        "nets": nets,
    }


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from netlet.text import format_table

    head = ["net", "side", "us per image", "fastest call", "ratio to ONNX Runtime"]
    head += ["correct", "flash", "RAM", "stack", "model file"]
    rows = []
    for net in record["nets"]:
        for row in net["rows"]:
            size = row["size"].get("this machine") or {}
            figures = [row["crash"], "-", "-", "-"] if "crash" in row else _format_times(row)
            rows.append(
                [
                    net["net"],
                    row["side"],
                    *figures,
                    *(f"{size[key]:,}" if key in size else "-" for key in SIZES),
                    f"{row['size'].get('model_bytes', 0):,}",
                ]
            )
    return (
        f"{format_table(head, rows, 'llrrrrrrrr')}\n\n"
        f"{record['environment']['cpu']}, one thread; {record['compiler']}; an empty call takes "
        f"{record['empty_call_us']:.1f} us in C, {record['empty_model_us']:.1f} us in ONNX Runtime"
    )


def _format_times(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['latency_us']:.1f}",
        f"{row['least_us']:.1f}",
        f"{row['ratio']:.2f}",
        f"{row['correct']:,} of {row['total']:,}",
    ]


def train_mnistnet_1(folder: str) -> str:
    """Train ``mnistnet_1`` for 3 epochs and return the run's folder."""
    command = [sys.executable, "-m", "netlet", "train", "mnistnet_1", "--set", "epochs=3"]
    trained = subprocess.run([*command, "--out", folder], stdout=subprocess.DEVNULL, check=False)
    if trained.returncode not in (0, 1):  # 1: three epochs miss the budget
        raise SystemExit(f"{shlex.join(command)} failed with exit code {trained.returncode}")
    return folder


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--nets",
        nargs="+",
        default=NETS,
        help=f"nets to measure (default: {' '.join(NETS)})",
    )
    parser.add_argument("--run", metavar="RUN", help="take mnistnet_1's weights from this run")
    parser.add_argument(
        "--images", type=int, default=500, help="test images per turn (default: 500)"
    )
    parser.add_argument("--turns", type=int, default=15, help="turns per net (default: 15)")
    parser.add_argument(
        "--flags",
        default=" ".join(FAST),
        help=f"compiler flags of the timed C programs (default: {' '.join(FAST)})",
    )
    given = parser.parse_args()
    record = measure(given.nets, given.run, given.images, given.turns, given.flags.split())
    print(format_record(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
