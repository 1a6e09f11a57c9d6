"""Compare exported C in int8 with that in float32, by compiler flags.

    python -m benchmarks.c_levels                       mnistnet_1 and those with weights
    python -m benchmarks.c_levels --run RUN             take mnistnet_1's weights from a run
    python -m benchmarks.c_levels --levels "-O3" "-Os"  other sets of compiler flags

The sets of flags stand for processors with fewer vector instructions than this one, and for builds
for size. Everything runs on one core and in one process, with one image per call. The two programs
take turns: each classifies the same images, each call is timed separately, and the median of the
calls counts. Each turn yields one ratio, and the median of the ratios is quoted. Figures for a
record need an idle machine.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.c_latency import FAST, train_mnistnet_1
from benchmarks.c_sides import build_c_side, count_correct, time_calls
from benchmarks.harness import make_parser, write_record

ARCHITECTURES = ("x86-64", "x86-64-v2", "x86-64-v3")  # SSE2, SSE4.2, AVX2


def default_levels() -> list[str]:
    """Return the sets of compiler flags with which float32 and int8 are compared."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    levels = [f"-O3 -march={name}" for name in ARCHITECTURES] if x86 else ["-O3"]
    return [*levels, " ".join(FAST), "-O2", "-Os"]


def compare_levels(
    name: str, digits: Any, images: int, turns: int, levels: Sequence[str]
) -> dict[str, Any]:
    """Compare a net's C in float32 and in int8 with each set of flags.

    Args:
        name: A net with weights, or the folder of a run.
        digits: MNIST.
        images: How many test images each program classifies in a turn.
        turns: How often each program runs.
        levels: Sets of compiler flags.
    """
    from netlet.experiments import load_trained_net
    from netlet.export import select_calibration_images, trace_model
    from netlet.export.c_program import generate_program
    from netlet.export.quantize import quantize_graph

    traced = trace_model(load_trained_net(name))
    calibration = select_calibration_images(traced, digits)[1]
    programs = {
        "float32": generate_program(traced),
        "int8": generate_program(traced, quantize_graph(traced.graph, calibration)),
    }
    pixels, classes = digits.held_out.images.numpy(), traced.graph.classes
    correct: dict[str, int] = {}
    rows = []
    for level in levels:
        sides = [
            build_c_side(kind, texts, pixels, classes, level.split())
            for kind, texts in programs.items()
        ]
        if not correct:
            correct = {side.name: count_correct(side, digits) for side in sides}
        for side in sides:
            time_calls(side, images)  # warms up
        medians = [
            [statistics.median(time_calls(side, images)) for side in sides] for _ in range(turns)
        ]
        float32, int8 = zip(*medians, strict=True)
        rows.append(
            {
                "flags": level,
                "float32_us": round(statistics.median(float32), 1),
                "int8_us": round(statistics.median(int8), 1),
                "speedup": round(statistics.median(f / i for f, i in medians), 3),
            }
        )
    return {"correct": correct, "total": len(digits.held_out), "rows": rows}


def measure(
    names: Sequence[str], run: str | None, images: int, turns: int, levels: Sequence[str]
) -> dict[str, Any]:
    """Compare every net and return the whole record; see :func:`compare_levels`."""
    import torch

    from netlet import data
    from netlet.training.environment import describe_environment

    torch.set_num_threads(1)
    digits = data.load("mnist")
    nets = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            address = (run or train_mnistnet_1(folder)) if name == "mnistnet_1" else name
            nets.append({"net": name, **compare_levels(address, digits, images, turns, levels)})
    return {
        "environment": describe_environment(torch.device("cpu")),
        "images": images,
        "turns": turns,
        "nets": nets,
    }


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from netlet.text import format_table

    rows = [
        [
            net["net"],
            row["flags"],
            f"{row['float32_us']:.1f}",
            f"{row['int8_us']:.1f}",
            f"{row['speedup']:.2f}",
        ]
        for net in record["nets"]
        for row in net["rows"]
    ]
    head = ["net", "flags", "float32, us", "int8, us", "int8 is faster by"]
    return f"{format_table(head, rows, 'llrrr')}\n\n{record['environment']['cpu']}, one thread"


def main() -> None:
    from netlet.nets import list_shipped_weights

    parser = make_parser(__doc__)
    parser.add_argument(
        "--nets",
        nargs="+",
        default=["mnistnet_1", *list_shipped_weights()],
        help="nets to measure (default: mnistnet_1 and all whose weights come with netlet)",
    )
    parser.add_argument("--run", metavar="RUN", help="take mnistnet_1's weights from this run")
    parser.add_argument(
        "--images", type=int, default=300, help="test images per turn (default: 300)"
    )
    parser.add_argument("--turns", type=int, default=11, help="turns per set (default: 11)")
    parser.add_argument(
        "--levels",
        nargs="+",
        metavar="FLAGS",
        default=default_levels(),
        help="sets of compiler flags, each as one argument",
    )
    given = parser.parse_args()
    record = measure(given.nets, given.run, given.images, given.turns, given.levels)
    print(format_record(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
