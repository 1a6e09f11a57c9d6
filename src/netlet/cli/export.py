"""``netlet export``."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.confidence import find_confidence
from netlet.cli.datasets import load_dataset
from netlet.cli.locate import input_files
from netlet.cli.normalization import suggest_normalization
from netlet.cli.option_groups import OWN_WEIGHTS, WeightOptions
from netlet.cli.options import DataDir, Json, TrainedNet, check_finite
from netlet.cli.progress import show_phases
from netlet.cli.results import print_json, print_result, say
from netlet.errors import ExportError, MissingDataError
from netlet.outputs import (
    HTML_MARK,
    ONNX_MARK,
    TEXT_MARK,
    check_output,
    check_output_folder,
)

if TYPE_CHECKING:
    from netlet import experiments
    from netlet.data import Dataset


class Target(enum.StrEnum):
    """What a net can be exported to."""

    ONNX = "onnx"
    C = "c"
    PAGE = "page"


class InputType(enum.StrEnum):
    """What an ONNX model takes."""

    UINT8 = "uint8"
    FLOAT = "float"


def export(
    net: TrainedNet,
    to: Annotated[
        Target,
        typer.Option("--to", help="Format: an ONNX model, C99 source code, or a web page."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="File to write, for C a folder; NET.onnx, NET-c/ or NET.html if not given "
            "(NET-int8... with --int8).",
        ),
    ] = None,
    using: WeightOptions = OWN_WEIGHTS,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8-bit integers (ONNX and C).")
    ] = False,
    input_type: Annotated[
        InputType,
        typer.Option(
            "--input-type",
            help="Input of the ONNX model: gray levels 0 to 255 (uint8) or 0 to 1 (float).",
        ),
    ] = InputType.UINT8,
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss",
            metavar="POINTS",
            min=0,
            callback=check_finite,
            help="Accuracy that int8 may lose, in percentage points.",
        ),
    ] = 0.1,
    force: Annotated[
        bool, typer.Option("--force", help="Write the int8 export even if it loses more.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|PATH",
            help="Data set to verify and calibrate with; the one NET was trained on if not given.",
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Export a trained net as ONNX, C or a web page.

    The export is verified against the PyTorch model before it is written. ONNX needs the extra
    'export' (pip install '.[export]' in a checkout).
    """
    if int8 and to is Target.PAGE:
        raise ExportError("the page computes in float32; drop --int8, or export to onnx or c")
    if input_type is InputType.FLOAT and (int8 or to is not Target.ONNX):
        raise ExportError(
            "--input-type float is for a float32 ONNX model; int8, C and the page take gray levels "
            "0 to 255"
        )
    if out:
        _check_path(out, to, input_files(net, using.weights), named=True)

    from netlet import export

    trained = using.load(net)
    model = export.trace_model(trained)
    path = out or _default_path(model.stem, to, int8=int8)
    if not out:
        _check_path(path, to, input_files(net, using.weights), named=False)
    images = _images_to_verify(trained, dataset, data_dir)
    confidence = find_confidence(trained, dataset, data_dir) if to is Target.PAGE else None
    with show_phases() as on_progress:
        if to is Target.PAGE:
            exported = export.export_page(
                model, path, images, confidence=confidence, on_progress=on_progress
            )
        else:
            options: dict[str, Any] = {"input_type": input_type.value} if to is Target.ONNX else {}
            write = export.export_onnx if to is Target.ONNX else export.export_c
            exported = write(
                model,
                path,
                images,
                int8=int8,
                max_accuracy_drop=math.inf if force else max_loss,
                on_progress=on_progress,
                **options,
            )
    if json:
        head: dict[str, Any] = {"net": trained.name, "digest": model.digest, "format": to.value}
        head |= {"mean": trained.mean, "std": trained.std}
        print_json("export", head | exported.to_dict())
    else:
        print_result(f"{exported}\nnormalization included: {trained.normalization}", lines=True)
    if images is not None:
        suggest_normalization(trained, images.held_out, images.classes)


def _check_path(path: Path, to: Target, inputs: list[Path], *, named: bool) -> None:
    """Check that an export can be written there, before it is made and verified."""
    if to is not Target.C:
        mark = ONNX_MARK if to is Target.ONNX else HTML_MARK
        check_output(path, inputs=inputs, mark=None if named else mark)
        return
    check_output_folder(path)
    for name in ("netlet.h", "netlet.c"):
        check_output(path / name, inputs=inputs, what="folder", mark=TEXT_MARK)


def _default_path(stem: str, to: Target, *, int8: bool) -> Path:
    ending = {Target.ONNX: ".onnx", Target.C: "-c", Target.PAGE: ".html"}[to]
    return Path(f"{stem}{'-int8' if int8 else ''}{ending}")


def _images_to_verify(
    trained: experiments.TrainedNet, dataset: str | None, data_dir: Path | None
) -> Dataset | None:
    """Load the data set that was named, or that the net was trained on if it is on this machine."""
    from netlet.data import DATASET_NAMES, load

    run = trained.run
    name = dataset or (run.data["name"] if run else "mnist")
    if dataset or data_dir:
        images = load_dataset(name, data_dir)
    else:
        if name not in DATASET_NAMES:
            say(
                f"netlet: {name} is not a public data set; verifying on scribble instead "
                "(--dataset PATH names it)"
            )
            return None
        try:
            images = load(name, download=False)
        except MissingDataError:
            say(
                f"netlet: {name} is not on this machine; verifying on scribble, generated digits, "
                "instead"
            )
            return None
    channels = trained.shape[0]
    return images.with_channels(channels) if images.shape[0] == 1 != channels else images
