"""How long one image takes in exported C, beside ONNX Runtime and another generator of C; and how large each is.

    python -m benchmarks.c_latency                     mnistnet_1 (trained here for three epochs),
    crest, mnistnet_2 python -m benchmarks.c_latency --run RUN           the same with mnistnet_1 as
    that run left it python -m benchmarks.c_latency --nets crest        one of them
    python -m benchmarks.c_latency --flags=-O2         C built by other flags

One core, one image a call, in one process. The sides take turns; in each turn every side sees the
same images, each call timed by itself, and the turn's figure is the median. A ratio is one of two
figures of the same turn; the median of the turns is quoted. C is called through ctypes, ONNX
Runtime through ``run_with_iobinding`` with its input and its output in place, and both pay for
Python's call (an empty C function and an empty model are measured, too). C is built with -O3
-march=native for its speed, with -Os for its size. For figures to quote, use a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CORTEX_M4 = ("-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
REFERENCE = "ONNX Runtime, float32"
FAST = ("-O3", "-march=native")
QUIET = ("-w", "-lm")  # for code that is not ours
_PREDICT = "int netlet_predict(const unsigned char *i, float *s) { theirs((const void *)i, (void *)s); return 0; }"


@dataclass(frozen=True)
class Side:
    """Something that tells the class of an image."""

    name: str
    prepare: Callable[[int], None]  # puts the image of that number in place
    call: Callable[[], object]
    scores: Callable[[], Any]  # of the last call
    size: Mapping[str, Any]


def c_side(
    name: str, texts: Mapping[str, str], images: Any, classes: int, flags: Sequence[str]
) -> Side:
    """A C program that has ``netlet_predict``."""
    import numpy as np

    from netlet.export.compiled_c import SMALL, built, loaded

    predict = loaded(texts, flags).netlet_predict
    scores = np.zeros(classes, np.float32)
    image = np.zeros(images[0].size, np.uint8)
    given = ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(scores.ctypes.data)
    size: dict[str, Any] = {}
    for target, compiler, small in (
        ("this machine", None, SMALL),
        ("cortex-m4", shutil.which("arm-none-eabi-gcc"), CORTEX_M4),
    ):
        if target == "this machine" or compiler:
            found = built(texts, compiler, (*small, *(flag for flag in flags if flag in QUIET)))
            size[target] = found and {
                key: value
                for key, value in asdict(found).items()
                if key in ("flash_bytes", "ram_bytes", "stack_bytes")
            }

    def prepare(number: int) -> None:
        image[:] = images[number].reshape(-1)

    return Side(name, prepare, lambda: predict(*given), scores.copy, size)


def runtime_side(name: str, model: Any, images: Any) -> Side:
    """ONNX Runtime on one thread, its input and output bound."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    bound = session.io_binding()
    value = onnxruntime.OrtValue.ortvalue_from_numpy(
        images[:1].copy()
    )  # it writes where it was made from
    bound.bind_ortvalue_input(session.get_inputs()[0].name, value)
    bound.bind_output(session.get_outputs()[0].name)
    return Side(
        name,
        lambda number: value.update_inplace(images[number : number + 1]),
        lambda: session.run_with_iobinding(bound),
        lambda: bound.copy_outputs_to_cpu()[0][0],
        {"model_bytes": len(content)},
    )


def theirs(model: Any) -> dict[str, str]:
    """emx-onnx-cgen's C for a model, with our function around it."""
    from emx_onnx_cgen.cli import main as emx

    from netlet.export.c_program import SOURCE

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path, made = Path(folder) / "net.onnx", Path(folder) / "net.c"
        path.write_bytes(model.SerializeToString())
        words = ["compile", str(path), str(made), "--model-name", "theirs", "--input-dim", "N=1"]
        if emx([*words, "--large-temp-threshold", "0"]):
            sys.exit("emx-onnx-cgen failed")
        return {SOURCE: f"{made.read_text()}\n{_PREDICT}\n"}


def sides_of(name: str, digits: Any, flags: Sequence[str]) -> list[Side]:
    """Everything that a net becomes."""
    from netlet.experiments import trained_net
    from netlet.export import images_to_calibrate, onnx_model, origin, quantized
    from netlet.export.c_program import c_program
    from netlet.export.quantize import quantize

    of = origin(trained_net(name))
    seen = images_to_calibrate(of, digits)[1]
    images, classes = digits.held_out.images.numpy(), of.graph.classes
    model, model_int8 = onnx_model(of), quantized(onnx_model(of), seen)
    sides = [
        c_side("netlet's C, float32", c_program(of), images, classes, flags),
        c_side("netlet's C, int8", c_program(of, quantize(of.graph, seen)), images, classes, flags),
        runtime_side(REFERENCE, model, images),
        runtime_side("ONNX Runtime, int8", model_int8, images),
    ]
    with contextlib.suppress(ImportError):
        quiet = (*flags, *QUIET)
        sides.append(c_side("emx-onnx-cgen's C, float32", theirs(model), images, classes, quiet))
        sides.append(c_side("emx-onnx-cgen's C, int8", theirs(model_int8), images, classes, quiet))
    return sides


def latencies(side: Side, images: int) -> list[float]:
    """Microseconds of each call."""
    found = []
    for number in range(images):
        side.prepare(number)
        begin = time.perf_counter_ns()
        side.call()
        found.append((time.perf_counter_ns() - begin) / 1_000)
    return found


def correct(side: Side, digits: Any) -> int:
    """How many test images it gets right."""
    right = 0
    for number, label in enumerate(digits.held_out.labels.tolist()):
        side.prepare(number)
        side.call()
        right += int(side.scores().argmax()) == label
    return right


def empty_call(images: int) -> float:
    """Microseconds of a C function that does nothing, called the same way."""
    import numpy as np

    from netlet.export.c_program import SOURCE

    text = {
        SOURCE: "int netlet_predict(const unsigned char *i, float *s) { (void)i; (void)s; return 0; }\n"
    }
    side = c_side("nothing", text, np.zeros((images, 784), np.uint8), 10, FAST)
    return statistics.median(latencies(side, images))


def empty_model(images: int) -> float:
    """Microseconds of a model that hands its image on, in ONNX Runtime called the same way."""
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
    side = runtime_side("nothing", model, np.zeros((images, 1, 28, 28), np.uint8))
    return statistics.median(latencies(side, images))


def compare(
    name: str, digits: Any, images: int, turns: int, flags: Sequence[str]
) -> list[dict[str, Any]]:
    """A net's sides, in turn."""
    sides = sides_of(name, digits, flags)
    right = {side.name: correct(side, digits) for side in sides}  # warms up, too
    medians: dict[str, list[float]] = {side.name: [] for side in sides}
    least: dict[str, float] = {side.name: float("inf") for side in sides}
    for _ in range(turns):
        for side in sides:
            found = latencies(side, images)
            medians[side.name].append(statistics.median(found))
            least[side.name] = min(least[side.name], *found)
    return [
        {
            "side": side.name,
            "latency_us": round(statistics.median(medians[side.name]), 1),
            "least_us": round(least[side.name], 1),
            "ratio": round(
                statistics.median(
                    ratios := [
                        mine / reference
                        for mine, reference in zip(
                            medians[side.name], medians[REFERENCE], strict=True
                        )
                    ]
                ),
                3,
            ),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "correct": right[side.name],
            "total": len(digits.held_out),
            "size": side.size,
        }
        for side in sides
    ]


def _trained(folder: str) -> str:
    command = [
        sys.executable,
        "-m",
        "netlet",
        "train",
        "mnistnet_1",
        "--set",
        "epochs=3",
        "--out",
        folder,
    ]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # its exit code is its verdict
    return str(next(Path(folder).glob("*/run.json")).parent)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", default=["mnistnet_1", "crest", "mnistnet_2"])
    parser.add_argument("--run", metavar="RUN", help="the folder of a run of mnistnet_1")
    parser.add_argument("--images", type=int, default=500, help="of each turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--flags", default=" ".join(FAST), help="that C is built by for its speed")
    given = parser.parse_args()
    flags = given.flags.split()

    import torch

    from netlet import data
    from netlet.backends.cpu.library import compiler
    from netlet.experiments import trained_net
    from netlet.nets import weights_digest
    from netlet.text import table
    from netlet.training.environment import environment

    torch.set_num_threads(1)
    digits = data.load("mnist")
    nets = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.nets:
            address = (given.run or _trained(folder)) if name == "mnistnet_1" else name
            digest = weights_digest(trained_net(address).net)
            nets.append(
                {
                    "net": name,
                    "weights_digest": digest,
                    "rows": compare(address, digits, given.images, given.turns, flags),
                }
            )
    head = (
        "net",
        "",
        "us an image",
        "least",
        "of ONNX Runtime",
        "right of 10,000",
        "flash",
        "RAM",
        "stack",
        "model",
    )
    cells = []
    for of in nets:
        for row in of["rows"]:
            size = row["size"].get("this machine") or {}
            room = [
                f"{size[key]:,}" if key in size else "-"
                for key in ("flash_bytes", "ram_bytes", "stack_bytes")
            ]
            cells.append(
                [
                    of["net"],
                    row["side"],
                    f"{row['latency_us']:.1f}",
                    f"{row['least_us']:.1f}",
                    f"{row['ratio']:.2f}",
                    f"{row['correct']:,}",
                    *room,
                    f"{row['size'].get('model_bytes', 0):,}",
                ]
            )
    machine = environment(torch.device("cpu"))
    told = subprocess.run(
        [compiler(), "--version"], capture_output=True, text=True, check=False
    ).stdout
    nothing, identity = empty_call(given.images), empty_model(given.images)
    print(table(head, cells, "llrrrrrrrr"))
    print(
        f"\n{machine['cpu']}, one thread; {told.splitlines()[0]}; a call of nothing takes "
        f"{nothing:.1f} us in C, {identity:.1f} us in ONNX Runtime"
    )
    if given.out:
        record = {
            "environment": machine,
            "compiler": told.splitlines()[0],
            "fast": flags,
            "cortex_m4": CORTEX_M4,
            "images": given.images,
            "turns": given.turns,
            "empty_call_us": round(nothing, 2),
            "empty_model_us": round(identity, 2),
            "nets": nets,
        }
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
