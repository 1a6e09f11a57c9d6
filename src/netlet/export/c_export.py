"""Export to C: generate the program, compile it, verify it against PyTorch, then write it."""

from __future__ import annotations

from pathlib import Path

from netlet.backends.cpu.errors import NoCompilerError
from netlet.data import Dataset
from netlet.export.c_build import (
    BuildSize,
    library_predictor,
    load_library,
    measure_build,
    try_predictor,
)
from netlet.export.c_program import generate_program
from netlet.export.image_selection import select_calibration_images, select_verification_images
from netlet.export.int8_reference import numpy_predictor
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.quantize import quantize_graph
from netlet.export.result import (
    MAX_ACCURACY_DROP,
    ExportResult,
    check_float32,
    check_int8,
    write_files,
)
from netlet.export.traced_model import TracedModel
from netlet.export.verification import LogitsFunction, Verification, compare_with_pytorch


def export_c(
    model: TracedModel,
    folder: Path,
    dataset: Dataset | None,
    *,
    int8: bool = False,
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a model as C99: ``netlet.h`` and ``netlet.c``.

    If this machine has a C compiler, the program is compiled, verified and measured first.

    Args:
        model: The model.
        folder: For the two files; other files in it are left alone.
        dataset: The data set that the net was trained on, for calibration and verification; None:
            synthetic digits (``scribble``).
        int8: Generate integer arithmetic throughout.
        max_accuracy_drop: That int8 may cost, in percentage points; infinite accepts any loss.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The C export does not support a layer, or the verification fails.
        OutputError: A file cannot be written.
    """
    notes: list[str] = []
    quantized = None
    if int8:
        image_set, images = select_calibration_images(model, dataset)
        on_progress(f"calibrating on {len(images):,} images")
        quantized = quantize_graph(model.graph, images)
        notes.append(f"int8, calibrated on {len(images):,} images of {image_set}")
    texts = generate_program(model, quantized)
    accepted_drop = max_accuracy_drop if int8 else None
    verification, size = None, None
    try:
        on_progress("compiling")
        predict = library_predictor(load_library(texts), model.graph.classes)
        try_predictor(predict, model.graph.shape)
        size = measure_build(texts)
    except NoCompilerError as reason:
        notes.append(f"not compiled: {reason}")
        if quantized is not None:  # NumPy computes the same integers as the program
            predict = numpy_predictor(quantized)
            verification = _verify(model, predict, dataset, accepted_drop, on_progress)
            notes.append("verified with NumPy, which computes the same integers as the C program")
    else:
        verification = _verify(model, predict, dataset, accepted_drop, on_progress)
        notes += _size_notes(size)
    total = write_files({folder / name: text for name, text in texts.items()}, named="folder")
    files = tuple(folder / name for name in texts)
    return ExportResult(files, total, verification, tuple(notes), _memory(size))


def _verify(
    model: TracedModel,
    predict: LogitsFunction,
    dataset: Dataset | None,
    max_accuracy_drop: float | None,  # None: float32, which may not differ at all
    on_progress: OnProgress,
) -> Verification:
    image_set, split = select_verification_images(model, dataset)
    verification = compare_with_pytorch(model, predict, image_set, split, on_progress)
    if max_accuracy_drop is None:
        check_float32(verification, "C program")
    else:
        check_int8(verification, max_accuracy_drop)
    return verification


def _size_notes(size: BuildSize | None) -> tuple[str, ...]:
    if size is None:
        return ("size unknown: install 'size' (GNU binutils), which reads the object file",)
    return (str(size), *size.warnings)


def _memory(size: BuildSize | None) -> dict[str, int | None]:
    if size is None:
        return {}
    return {
        "flash_bytes": size.flash_bytes,
        "ram_bytes": size.ram_bytes,
        "stack_bytes": size.stack_bytes,
    }
