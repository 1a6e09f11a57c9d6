"""Count the instructions of exported C for an image on a microcontroller, beside emx-onnx-cgen's.

    python -m benchmarks.mcu_instructions                     all nets with weights, on a Cortex-M4;
                                                              emx-onnx-cgen for three of them
    python -m benchmarks.mcu_instructions --nets crest        count for one net
    python -m benchmarks.mcu_instructions --target riscv32    count for another processor

The programs are built with the target's compiler at each level and run in QEMU, where every
instruction takes one nanosecond of the emulated time (``-icount shift=0``). The counts are exact to
40 instructions a run and the same on every machine, however busy it is; they are not cycles. Needs
gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm, and the package emx-onnx-cgen for
the other side. CMSIS-NN is neither a Debian nor a Python package, and is left out.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.c_sides import generate_emx_c
from benchmarks.harness import make_parser, write_record

LEVELS = ("-Os", "-O2", "-O3")
COMPARED = ("crest", "mnistnet_2", "speck")  # with emx-onnx-cgen
TARGET = "cortex-m4"
_IMAGES = 2
_EMX_HEADER = "#include <stdint.h>\nint netlet_predict(const uint8_t *image, float *scores);\n"


def build_programs(name: str, digits: Any) -> Iterator[tuple[str, Any, Any]]:
    """Generate the programs of a net.

    Args:
        name: A net whose weights come with netlet.
        digits: The data set to calibrate with.

    Yields:
        Side, program, and the logits of the first test images by its reference, or None.
    """
    from netlet.experiments import load_trained_net
    from netlet.export import (
        build_onnx,
        int8_reference,
        quantize_onnx,
        reference,
        select_calibration_images,
        trace_model,
    )
    from netlet.export.board_run import Program
    from netlet.export.c_program import generate_program
    from netlet.export.quantize import quantize_graph

    traced = trace_model(load_trained_net(name))
    images, classes = digits.held_out.images[:_IMAGES], traced.graph.classes
    calibration = select_calibration_images(traced, digits)[1]
    quantized = quantize_graph(traced.graph, calibration)
    logits = reference.compute_logits(traced.graph, images).numpy()
    yield (
        "netlet's C, float32",
        Program(generate_program(traced), "netlet_predict", False, classes),
        logits,
    )
    yield (
        "netlet's C, int8",
        Program(generate_program(traced, quantized), "netlet_predict_int", True, classes),
        int8_reference.compute_logits(quantized, images.numpy()),
    )
    if name not in COMPARED:
        return
    with contextlib.suppress(ImportError):
        models = (
            ("float32", build_onnx(traced), logits),
            ("int8", quantize_onnx(traced, calibration), None),
        )
        for arithmetic, model, expected in models:
            texts = {"netlet.h": _EMX_HEADER, **generate_emx_c(model)}
            program = Program(texts, "netlet_predict", False, classes)
            yield f"emx-onnx-cgen's C, {arithmetic}", program, expected


def count_instructions(
    program: Any, expected: Any, target: Any, level: str, images: Any
) -> dict[str, int]:
    """Build and run a program at one level, and return its figures."""
    import numpy as np

    from netlet.export.board_run import link_size, run_program

    flags = [level, *([] if program.int32_scores else ["-w"])]
    size = link_size(program, target, flags)
    run = run_program(program, target, flags, images)
    if expected is not None and not np.allclose(run.scores, expected, rtol=0, atol=1e-3):
        sys.exit(f"{target.name} at {level} computes other scores than Python")
    return {
        "instructions": run.instructions,
        "flash_bytes": size.flash_bytes,
        "ram_bytes": size.ram_bytes,
        "stack_bytes": run.stack_bytes,
    }


def measure(names: Sequence[str], target_name: str) -> dict[str, Any]:
    """Count for every net, side and level, and return the whole record.

    Args:
        names: Nets whose weights come with netlet.
        target_name: The processor.
    """
    import torch

    from netlet import data
    from netlet.experiments import load_trained_net
    from netlet.export.targets import find_target
    from netlet.nets import weights_digest
    from netlet.training.environment import describe_environment

    torch.set_num_threads(1)
    target, digits = find_target(target_name), data.load("mnist")
    images = digits.held_out.images[:_IMAGES].numpy()
    nets = []
    for name in names:
        rows = []
        for side, program, expected in build_programs(name, digits):
            levels = {
                level: count_instructions(program, expected, target, level, images)
                for level in LEVELS
            }
            rows.append({"side": side, "levels": levels})
            print(f"{name}, {side}: {levels}", file=sys.stderr)
        digest = weights_digest(load_trained_net(name).net)
        nets.append({"net": name, "weights_digest": digest, "rows": rows})
    return {
        "environment": describe_environment(torch.device("cpu")),
        "target": target.name,
        "processor": " ".join(target.flags),
        "board": target.board,
        "compiler": _version(target.compiler),
        "emulator": _version(target.emulator[0]),
        "images": _IMAGES,
        "nets": nets,
    }


def _version(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        sys.exit(f"{command} was not found")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    return said.stdout.splitlines()[0]


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from netlet.text import format_table

    head = ["net", "side", *LEVELS, "flash", "RAM", "stack"]
    rows = [
        [
            net["net"],
            row["side"],
            *(f"{row['levels'][level]['instructions']:,}" for level in LEVELS),
            *(f"{row['levels']['-Os'][f'{kind}_bytes']:,}" for kind in ("flash", "ram", "stack")),
        ]
        for net in record["nets"]
        for row in net["rows"]
    ]
    return (
        f"{format_table(head, rows, 'llrrrrrr')}\n\ninstructions per image on {record['target']}; "
        f"bytes at -Os; {record['compiler']}; {record['emulator']}"
    )


def main() -> None:
    from netlet.nets import list_shipped_weights

    parser = make_parser(__doc__)
    parser.add_argument(
        "--nets",
        nargs="+",
        default=list_shipped_weights(),
        help="nets to count for (default: all whose weights come with netlet)",
    )
    parser.add_argument("--target", default=TARGET, help=f"processor (default: {TARGET})")
    given = parser.parse_args()
    record = measure(given.nets, given.target)
    print(format_record(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
