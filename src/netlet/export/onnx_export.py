"""Exporting a net to ONNX: written, run by ONNX Runtime, held against the net, and only then put on the disk."""

from __future__ import annotations

from pathlib import Path

from netlet.data import Dataset
from netlet.errors import ShipError
from netlet.export.agreement import agreement
from netlet.export.exported import (
    MOST_LOST_POINTS,
    Exported,
    accept_float,
    accept_int8,
    write_export,
)
from netlet.export.images import images_to_calibrate, images_to_compare
from netlet.export.onnx_model import Input, onnx_model
from netlet.export.onnx_runtime import Runtime, quantized
from netlet.export.trained_model import TrainedModel


def export_onnx(
    origin: TrainedModel,
    path: Path,
    known: Dataset | None,
    *,
    taking: Input = "uint8",
    int8: bool = False,
    most_lost_points: float = MOST_LOST_POINTS,
    forced: bool = False,
) -> Exported:
    """Write a net as one ONNX file.

    Args:
        origin: The net.
        path: Of the file.
        known: What the net was taught on, to compare and calibrate with; None: ``scribble``.
        taking: Gray levels 0 to 255 (``uint8``) or 0 to 1 (``float``).
        int8: Quantise it, weights by channel.
        most_lost_points: Of accuracy, that int8 may lose.
        forced: Write it even if it loses more.

    Raises:
        ShipError: It is not the net's equal, loses too much, or cannot be written; or a package is
            missing.
    """
    if int8 and taking != "uint8":
        raise ShipError("an int8 model takes gray levels 0 to 255; leave away --input float")
    model = onnx_model(origin, taking)
    notes = [
        f"image {taking} N x {'x'.join(map(str, origin.graph.shape))}, gray levels 0 to "
        f"{255 if taking == 'uint8' else 1}; logits float32 N x {origin.graph.classes}"
    ]
    if int8:
        calibrated, images = images_to_calibrate(origin, known)
        notes.append(
            f"int8, weights by channel, calibrated on {len(images):,} images of {calibrated}; "
            f"in float32 it would be {model.ByteSize():,} bytes"
        )
        model = quantized(model, images)
    found = agreement(origin, Runtime(model), *images_to_compare(origin, known))
    if int8:
        accept_int8(found, most_lost_points, forced=forced)
    else:
        accept_float(found)
    size = write_export({path: model.SerializeToString()})
    return Exported((path,), size, found, tuple(notes))
