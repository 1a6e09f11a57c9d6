"""Export to ONNX: build the model, run it in ONNX Runtime, verify it against PyTorch, write it."""

from __future__ import annotations

from pathlib import Path

from netlet.data import Dataset
from netlet.errors import ExportError, check_argument
from netlet.export.image_selection import select_calibration_images, select_verification_images
from netlet.export.input_words import describe_levels
from netlet.export.int8_loss import describe_int8_loss
from netlet.export.int8_rounding import find_onnx_rounding
from netlet.export.onnx_model import InputType, build_onnx
from netlet.export.onnx_runtime import OnnxPredictor, quantize_onnx
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.result import (
    ExportResult,
    check_float32,
    check_int8,
    check_recorded_score,
    write_files,
)
from netlet.export.traced_model import TracedModel
from netlet.export.verification import compare_with_pytorch
from netlet.text import format_shape


def export_onnx(
    model: TracedModel,
    path: Path | str,
    dataset: Dataset | None,
    *,
    input_type: InputType = "uint8",
    int8: bool = False,
    max_accuracy_drop: float | None = None,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a model as one ONNX file.

    Args:
        model: The model.
        path: The path of the file.
        dataset: The data set that the net was trained on, for calibration and verification; None:
            synthetic digits (``scribble``).
        input_type: Gray levels 0 to 255 (``uint8``) or 0 to 1 (``float``).
        int8: Quantize the model, with a scale for each output channel.
        max_accuracy_drop: That int8 may cost, in percentage points; infinite accepts any loss.
            None: 0.1, or a single image if that is more.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The verification fails, or a package is missing.
        OutputError: The file cannot be written.
    """
    check_argument(model, TracedModel)
    path = Path(path)
    if int8 and input_type != "uint8":
        raise ExportError("an int8 model takes gray levels 0 to 255; leave out input_type='float'")
    on_progress("building the ONNX model")
    proto = build_onnx(model, input_type)
    levels = describe_levels(model.graph.shape[0], 255 if input_type == "uint8" else 1)
    notes = [
        f"image {input_type} N x {format_shape(model.graph.shape)}, {levels}; logits float32 N x "
        f"{model.graph.classes}"
    ]
    if int8:
        image_set, images = select_calibration_images(model, dataset)
        notes.append(
            f"int8, one scale per output channel, calibrated on {len(images):,} images of "
            f"{image_set}; in float32 it is {proto.ByteSize():,} bytes"
        )
        on_progress(f"calibrating on {len(images):,} images")
        proto = quantize_onnx(model, images)
    image_set, split = select_verification_images(model, dataset)
    predict = OnnxPredictor(proto)
    verification = compare_with_pytorch(model, predict, image_set, split, on_progress)
    check_recorded_score(model, dataset, verification)
    if int8:
        check_int8(
            verification,
            max_accuracy_drop,
            lambda: describe_int8_loss(model.graph, images, find_onnx_rounding(model.graph, proto)),
        )
    else:
        check_float32(verification, "ONNX model")
    size = write_files({path: proto.SerializeToString()})
    return ExportResult((path,), size, verification, tuple(notes))
