"""Export to C: generate the program, compile it, verify it against PyTorch, then write it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netlet.backends.cpu.errors import NoCompilerError
from netlet.data import Dataset, Split
from netlet.errors import check_argument
from netlet.export.c_build import (
    library_predictor,
    load_library,
    source_name,
    try_predictor,
)
from netlet.export.c_example import list_example_files, write_example
from netlet.export.c_options import DEFAULT_OPTIONS, SMALLEST, COptions
from netlet.export.c_program import generate_program
from netlet.export.c_size import MeasuredSize, measure_size
from netlet.export.example_images import choose_images, describe_left_out, label_by_net
from netlet.export.image_selection import select_calibration_images, select_verification_images
from netlet.export.int8_loss import describe_int8_loss
from netlet.export.int8_reference import numpy_predictor
from netlet.export.int8_rounding import find_c_rounding
from netlet.export.kept_example import describe_misfits, describe_stale
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.quantize import quantize_graph
from netlet.export.result import (
    ExportResult,
    check_float32,
    check_int8,
    check_recorded_score,
    write_files,
)
from netlet.export.traced_model import TracedModel
from netlet.export.verification import (
    STAND_IN,
    LogitsFunction,
    Verification,
    compare_with_pytorch,
)
from netlet.outputs import describe_changed, leave_changed, seal_text


@dataclass(frozen=True)
class VerifiedProgram:
    """A C program that has been verified and measured, but not written yet."""

    model: TracedModel
    texts: Mapping[str, str]  # header and source, by name
    verification: Verification | None  # None: there is no compiler
    notes: tuple[str, ...]
    size: MeasuredSize
    image_set: str
    images: Split  # what it was verified on

    @functools.cached_property
    def example_images(self) -> Split:
        """One image of each class, of at most ten classes, for an example."""
        split = self.images
        if split.name == STAND_IN:  # their classes are not the net's
            split = label_by_net(self.model.graph, split)
        return choose_images(split)


def export_c(
    model: TracedModel,
    folder: Path | str,
    dataset: Dataset | None,
    *,
    int8: bool = False,
    max_accuracy_drop: float | None = None,
    options: COptions = DEFAULT_OPTIONS,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a model as C99: ``netlet.h`` and ``netlet.c``.

    If this machine has a C compiler, the program is compiled, verified and measured first.

    Args:
        model: The model.
        folder: For the files; other files in it are left alone.
        dataset: The data set that the net was trained on, for calibration and verification; None:
            synthetic digits (``scribble``).
        int8: Generate integer arithmetic throughout.
        max_accuracy_drop: That int8 may cost, in percentage points; infinite accepts any loss.
            None: 0.1, or a single image if that is more.
        options: Names, example, and what the size is measured for.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The C export does not support a layer, the options do not fit, or the
            verification fails.
        OutputError: A file cannot be written.
    """
    check_argument(model, TracedModel)
    folder = Path(folder)
    made = make_program(
        model,
        dataset,
        int8=int8,
        max_accuracy_drop=max_accuracy_drop,
        options=options,
        on_progress=on_progress,
    )
    example: dict[str, str] = {}
    if options.example:
        # Without a target, the flags are for this machine's processor.
        flags = options.flags if options.target else (SMALLEST,)
        example = write_example(options.prefix, int8, made.image_set, made.example_images, flags)
    return write_program(folder, made.texts, example, made)


def list_c_files(options: COptions) -> list[str]:
    """Return the paths of the files that an export writes into its folder.

    Args:
        options: Names and example.
    """
    example = list_example_files() if options.example else []
    return [f"{options.prefix}.h", f"{options.prefix}.c", *example]


def make_program(
    model: TracedModel,
    dataset: Dataset | None,
    *,
    int8: bool,
    max_accuracy_drop: float | None,
    options: COptions,
    on_progress: OnProgress,
) -> VerifiedProgram:
    """Generate, verify and measure a program; the arguments are those of :func:`export_c`.

    Raises:
        ExportError: As :func:`export_c`.
    """
    options.check()
    notes: list[str] = []
    quantized = None
    if int8:
        calibration_set, images = select_calibration_images(model, dataset)
        on_progress(f"calibrating on {len(images):,} images")
        quantized = quantize_graph(model.graph, images)
        notes.append(f"int8, calibrated on {len(images):,} images of {calibration_set}")
    texts = generate_program(model, quantized, options.prefix)
    image_set, split = select_verification_images(model, dataset)
    verification, size, compiled = None, MeasuredSize(), True
    predict: LogitsFunction | None = None
    try:
        on_progress("compiling")
        predict = library_predictor(load_library(texts), model.graph.classes, options.prefix)
        try_predictor(predict, model.graph.shape)
    except NoCompilerError as reason:
        compared = "" if quantized else ", nor compared with PyTorch"
        notes.append(f"not compiled for this machine{compared}: {reason}")
        compiled = False
        if quantized is not None:  # NumPy computes the same integers as the program
            predict = numpy_predictor(quantized)
            notes.append("verified with NumPy, which computes the same integers as the C program")
    if predict is not None:
        verification = compare_with_pytorch(model, predict, image_set, split, on_progress)
        check_recorded_score(model, dataset, verification)
        if quantized is None:
            check_float32(verification, "C program")
        else:
            rounding = find_c_rounding(quantized)
            check_int8(
                verification,
                max_accuracy_drop,
                lambda: describe_int8_loss(model.graph, images, rounding),
            )
    if options.target:
        on_progress(f"measuring for {options.target}")
    if options.target or compiled:
        size = measure_size(texts, model.graph, quantized, options, split.images)
    return VerifiedProgram(
        model, texts, verification, (*notes, *size.notes), size, image_set, split
    )


def write_program(
    folder: Path, program: Mapping[str, str], example: Mapping[str, str], made: VerifiedProgram
) -> ExportResult:
    """Write the files of an export, all of them or none.

    Args:
        folder: For the files.
        program: The texts of those that are always written, by their paths in the folder.
        example: Those of files that stay if a person has changed them.
        made: What the program's verification and measurement say.

    Raises:
        OutputError: A file cannot be written.
    """
    sealed = {folder / name: seal_text(text) for name, text in example.items()}
    fresh, changed = leave_changed(sealed)
    contents = {folder / name: text for name, text in program.items()} | fresh
    notes = [*made.notes, *([describe_changed(changed, folder)] if changed else [])]
    prefix = source_name(made.texts).removesuffix(".c")
    header = made.texts[f"{prefix}.h"]
    if example:
        notes += describe_left_out(made.example_images, made.model.graph.classes)
        notes += describe_misfits(changed, header, prefix)
    else:
        notes += describe_stale(folder, header, prefix)
    total = write_files({**contents}, named="folder")
    return ExportResult(tuple(contents), total, made.verification, tuple(notes), made.size.memory)
