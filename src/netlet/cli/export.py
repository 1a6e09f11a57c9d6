"""``netlet export``."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from netlet.cli.card import find_card
from netlet.cli.confidence import find_confidence
from netlet.cli.datasets import load_images_of, load_net
from netlet.cli.locate import input_files
from netlet.cli.normalization import suggest_normalization
from netlet.cli.option_groups import OWN_WEIGHTS, WeightOptions
from netlet.cli.options import DataDir, Json, TrainedNet, check_finite
from netlet.cli.program_options import THIS_MACHINE, ProgramOptions
from netlet.cli.progress import show_phases
from netlet.cli.results import print_json, print_result
from netlet.errors import ExportError
from netlet.outputs import (
    HTML_MARK,
    ONNX_MARK,
    TEXT_MARK,
    check_output,
    check_output_folder,
)


class Target(enum.StrEnum):
    """What a net can be exported to."""

    ONNX = "onnx"
    C = "c"
    ARDUINO = "arduino"
    PAGE = "page"


_FOLDERS = (Target.C, Target.ARDUINO)  # formats of several files


class InputType(enum.StrEnum):
    """What an ONNX model takes."""

    UINT8 = "uint8"
    FLOAT = "float"


def export(
    net: TrainedNet,
    to: Annotated[
        Target,
        typer.Option(
            "--to",
            help="Format: an ONNX model, C99 source code, an Arduino library, or a web page.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="File to write, for C and Arduino a folder; NET.onnx, NET-c/, NET-arduino/ or "
            "NET.html if not given (NET-int8... with --int8).",
        ),
    ] = None,
    using: WeightOptions = OWN_WEIGHTS,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8-bit integers (ONNX, C and Arduino).")
    ] = False,
    input_type: Annotated[
        InputType,
        typer.Option(
            "--input-type",
            help="Input of the ONNX model: gray levels 0 to 255 (uint8) or 0 to 1 (float).",
        ),
    ] = InputType.UINT8,
    max_loss: Annotated[
        float | None,
        typer.Option(
            "--max-loss",
            metavar="POINTS",
            min=0,
            max=100,
            callback=check_finite,
            help="Accuracy that int8 may lose, in points; if not given, 0.1 or one image.",
        ),
    ] = None,
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
    program: ProgramOptions = THIS_MACHINE,
    json: Json = False,
) -> None:
    """Export a trained net as ONNX, C, an Arduino library or a web page.

    The export is verified against the PyTorch model before it is written. ONNX needs the extra
    'export' (pip install '.[export]' in a checkout).
    """
    _check_options(to, int8, input_type, program)
    if not int8 and (force or max_loss is not None):
        option = "--force" if force else "--max-loss"
        raise ExportError(f"{option} is for exports in int8; leave it out, or add --int8")
    inputs = input_files(net, using.weights)
    if out:
        _check_path(out, to, inputs, named=True)

    from netlet import export

    chosen = program.for_export("netlet") if to is Target.C else None
    if out and chosen:
        _check_files(out, export.list_c_files(chosen), inputs, chosen.prefix)
    trained = load_net(net, using, dataset, data_dir)
    model = export.trace_model(trained)
    path = out or _default_path(model.stem, to, int8=int8)
    if not out:
        _check_path(path, to, inputs, named=False)
    described = path  # the file that says what net it is
    if to is Target.ARDUINO:
        chosen = program.for_export(export.choose_prefix(model.stem))
    if chosen:
        files = export.list_c_files(chosen)
        if to is Target.ARDUINO:
            files = export.list_arduino_files(chosen)
        _check_files(path, files, inputs, chosen.prefix)
        described = path / next(file for file in files if Path(file).name == f"{chosen.prefix}.h")
    if not out:
        export.refuse_other_net(path, described, model)

    def require_digits() -> None:
        if int8:
            called = net if trained.name in net else f"{net} ({trained.name})"
            export.require_digits(model, called)

    images = load_images_of(trained, dataset, data_dir, require_digits)
    options: dict[str, Any] = {}
    if to is Target.PAGE:
        options["confidence"] = find_confidence(trained, dataset, data_dir)
        recorded = using.weights is None and trained.file is not None
        options["card"] = find_card(net, is_recorded=recorded)
    else:
        options["int8"] = int8
        if force or max_loss is not None:
            options["max_accuracy_drop"] = math.inf if force or max_loss is None else max_loss
    if to is Target.ONNX:
        options["input_type"] = input_type.value
    if chosen:
        options["options"] = chosen
    write: Mapping[Target, Callable[..., export.ExportResult]] = {
        Target.ONNX: export.export_onnx,
        Target.C: export.export_c,
        Target.ARDUINO: export.export_arduino,
        Target.PAGE: export.export_page,
    }
    with show_phases() as on_progress:
        exported = write[to](model, path, images, on_progress=on_progress, **options)
    if json:
        head: dict[str, Any] = {"net": trained.name, "digest": model.digest, "format": to.value}
        head |= {"mean": trained.mean, "std": trained.std}
        print_json("export", head | exported.to_dict())
    else:
        print_result(f"{exported}\nnormalization included: {trained.normalization}", lines=True)
    if images is not None:
        suggest_normalization(trained, images.held_out, images.classes)


def _check_options(to: Target, int8: bool, input_type: InputType, program: ProgramOptions) -> None:
    """Check that the options are for the format.

    Raises:
        ExportError: One of them is not.
    """
    if int8 and to is Target.PAGE:
        raise ExportError(
            "the page computes in float32; leave out --int8, or export to onnx, c or arduino"
        )
    if input_type is InputType.FLOAT and (int8 or to is not Target.ONNX):
        raise ExportError(
            "--input-type float is for ONNX without --int8; all other exports take gray levels 0 "
            "to 255; leave out --input-type"
        )
    if program.given and to not in _FOLDERS:
        raise ExportError(
            f"{program.given[0]} is for C programs; leave it out, or export to c or arduino"
        )
    if program.beside and to is Target.ARDUINO:
        raise ExportError("an Arduino library always has an example; leave out --with")


def _check_path(path: Path, to: Target, inputs: list[Path], *, named: bool) -> None:
    """Check that an export can be written there, before it is made and verified."""
    if to in _FOLDERS:
        if path.suffix in (".c", ".h", ".zip"):
            raise ExportError(
                f"{path}: an export to {to.value} is a folder of files; name one without "
                f"{path.suffix}"
            )
        check_output_folder(path)
        return
    mark = ONNX_MARK if to is Target.ONNX else HTML_MARK
    check_output(path, inputs=inputs, mark=None if named else mark)


def _check_files(folder: Path, names: list[str], inputs: list[Path], prefix: str) -> None:
    """Check that files can be written into a folder without replacing what netlet did not write.

    If the net in the folder is an earlier export, files around it that a person has written are no
    mistake: the export keeps them.
    """
    program = [name for name in names if Path(name).name in (f"{prefix}.h", f"{prefix}.c")]
    for name in program:
        check_output(folder / name, inputs=inputs, what="folder", mark=TEXT_MARK)
    again = all((folder / name).is_file() for name in program)
    for name in set(names).difference(program):
        mark = None if again else TEXT_MARK
        check_output(folder / name, inputs=inputs, what="folder", mark=mark)


def _default_path(stem: str, to: Target, *, int8: bool) -> Path:
    ending = {Target.ONNX: ".onnx", Target.PAGE: ".html"}.get(to, f"-{to.value}")
    return Path(f"{stem}{'-int8' if int8 else ''}{ending}")
