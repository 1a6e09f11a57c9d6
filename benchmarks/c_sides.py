"""The programs that benchmarks of exported C compare: each classifies one image per call."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CORTEX_M4 = ("-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
QUIET = ("-w", "-lm")  # for emx-onnx-cgen's code: no warnings, and the math library
SIZES = ("flash_bytes", "ram_bytes", "stack_bytes")
_SIGNATURE = "int netlet_predict(const unsigned char *image, float *scores)"
_CALL_EMX = f"{_SIGNATURE} {{ emx_net((const void *)image, (void *)scores); return 0; }}\n"
DO_NOTHING = f"{_SIGNATURE} {{ (void)image; (void)scores; return 0; }}\n"


@dataclass(frozen=True)
class Side:
    """One of the programs that are compared: it classifies one image per call."""

    name: str
    prepare: Callable[[int], None]  # copies the image with this index into the input
    call: Callable[[], object]
    scores: Callable[[], Any]  # returns the class scores of the last call
    size: Mapping[str, Any]
    crash: str = ""  # how its first call ends, if it crashes


def build_c_side(
    name: str, texts: Mapping[str, str], images: Any, classes: int, flags: Sequence[str]
) -> Side:
    """Compile a C program that defines ``netlet_predict`` and measure its size.

    The size is measured for a Cortex-M4, too, if ``arm-none-eabi-gcc`` is installed.
    """
    import numpy as np

    from netlet.export.c_build import SMALL, load_library, measure_build

    predict = load_library(texts, flags).netlet_predict
    scores = np.zeros(classes, np.float32)
    image = np.zeros(images[0].size, np.uint8)
    given = ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(scores.ctypes.data)
    size: dict[str, Any] = {}
    for target, compiler, small in (
        ("this machine", None, SMALL),
        ("cortex-m4", shutil.which("arm-none-eabi-gcc"), CORTEX_M4),
    ):
        if target == "this machine" or compiler:
            extra = (flag for flag in flags if flag in QUIET)
            found = measure_build(texts, compiler, (*small, *extra))
            size[target] = found and {key: asdict(found)[key] for key in SIZES}

    def prepare(number: int) -> None:
        image[:] = images[number].reshape(-1)

    prepare(0)
    crash = find_crash(lambda: predict(*given))
    return Side(name, prepare, lambda: predict(*given), scores.copy, size, crash)


def find_crash(call: Callable[[], object]) -> str:
    """Return how a call of native code ends if it crashes, tried in a process of its own."""
    from netlet.backends.cpu.errors import CompilationError
    from netlet.backends.cpu.loader import try_in_child_process

    try:
        try_in_child_process(call)
    except CompilationError as reason:
        return str(reason).removeprefix("the compiled library ")
    return ""


def build_runtime_side(name: str, model: Any, images: Any) -> Side:
    """Load a model into ONNX Runtime on one thread, with its input and output bound."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    bound = session.io_binding()
    # a copy: update_inplace writes into the array that the value was made from
    value = onnxruntime.OrtValue.ortvalue_from_numpy(images[:1].copy())
    bound.bind_ortvalue_input(session.get_inputs()[0].name, value)
    bound.bind_output(session.get_outputs()[0].name)
    return Side(
        name,
        lambda number: value.update_inplace(images[number : number + 1]),
        lambda: session.run_with_iobinding(bound),
        lambda: bound.copy_outputs_to_cpu()[0][0],
        {"model_bytes": len(content)},
    )


def generate_emx_c(model: Any) -> dict[str, str]:
    """Generate C with emx-onnx-cgen and wrap it in ``netlet_predict``."""
    from emx_onnx_cgen.cli import main as emx

    from netlet.export.c_program import SOURCE

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path, made = Path(folder) / "net.onnx", Path(folder) / "net.c"
        path.write_bytes(model.SerializeToString())
        words = ["compile", str(path), str(made), "--model-name", "emx_net", "--input-dim", "N=1"]
        if emx([*words, "--large-temp-threshold", "0"]):
            sys.exit("emx-onnx-cgen failed")
        return {SOURCE: f"{made.read_text()}\n{_CALL_EMX}"}


def time_calls(side: Side, images: int) -> list[float]:
    """Return the duration of each call in microseconds, for the first ``images`` test images."""
    durations = []
    for number in range(images):
        side.prepare(number)
        begin = time.perf_counter_ns()
        side.call()
        durations.append((time.perf_counter_ns() - begin) / 1_000)
    return durations


def count_correct(side: Side, digits: Any) -> int:
    """Return how many test images a side classifies correctly."""
    right = 0
    for number, label in enumerate(digits.held_out.labels.tolist()):
        side.prepare(number)
        side.call()
        right += int(side.scores().argmax()) == label
    return right
