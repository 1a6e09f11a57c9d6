"""``netlet export``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.images import DataFolder, chosen_images
from netlet.cli.options import Json
from netlet.cli.results import result, result_json, say
from netlet.errors import MissingDataError, ShipError

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.experiments import TrainedNet


class Target(enum.StrEnum):
    """What a net can be exported to."""

    ONNX = "onnx"
    C = "c"
    PAGE = "page"


class Taking(enum.StrEnum):
    """What an ONNX model can take."""

    UINT8 = "uint8"
    FLOAT = "float"


def export(
    net: Annotated[
        str,
        typer.Argument(
            metavar="NET|RUN",
            help="As for 'netlet evaluate': with weights, or the folder of a run.",
        ),
    ],
    to: Annotated[
        Target, typer.Option("--to", help="An ONNX model, C99 source, or a page for the browser.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="A file, for C a folder; NAME... if not given."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="A safetensors file, or a .pt of a state_dict."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Of ONNX and C: in 8-bit integers, calibrated.")
    ] = False,
    taking: Annotated[
        Taking,
        typer.Option("--input", help="Of ONNX: gray levels 0 to 255 (uint8), or 0 to 1 (float)."),
    ] = Taking.UINT8,
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss", metavar="POINTS", min=0, help="Accuracy that int8 may lose, in points."
        ),
    ] = 0.1,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if int8 loses more.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|PATH",
            help="What it was taught on, to compare and calibrate with.",
        ),
    ] = None,
    data: DataFolder = None,
    json: Json = False,
) -> None:
    """Write a trained net as something that runs elsewhere, held against the net itself before it is written."""
    if int8 and to is Target.PAGE:
        raise ShipError("the page computes in float32; leave --int8 away, or export to onnx or c")
    if taking is Taking.FLOAT and (int8 or to is not Target.ONNX):
        raise ShipError(
            "--input float is for a float32 ONNX model; int8, C and the page take gray levels 0 to 255"
        )

    from netlet import export
    from netlet.experiments import trained_net

    trained = trained_net(net, weights)
    source = export.origin(trained)
    known = _taught_on(trained, dataset, data)
    name = f"{source.stem}{'-int8' if int8 else ''}"
    if to is Target.ONNX:
        done = export.export_onnx(
            source,
            out or Path(f"{name}.onnx"),
            known,
            taking=taking.value,
            int8=int8,
            most_lost_points=max_loss,
            forced=force,
        )
    elif to is Target.C:
        done = export.export_c(
            source,
            out or Path(f"{name}-c"),
            known,
            int8=int8,
            most_lost_points=max_loss,
            forced=force,
        )
    else:
        done = export.export_page(source, out or Path(f"{name}.html"), known)
    if json:
        result_json({"net": trained.name, "digest": source.digest} | done.to_dict())
    else:
        result(str(done))


def _taught_on(trained: TrainedNet, dataset: str | None, folder: Path | None) -> Dataset | None:
    """The images to compare on: those that were named, or that the net was taught on if they are at hand."""
    from netlet.data import NAMES, load

    run = trained.run
    name = dataset or (run.data["name"] if run else "mnist")
    if dataset or folder:
        found = chosen_images(name, folder)
    else:
        if name not in NAMES:
            say(
                f"netlet: {name} is data of one's own; comparing on scribble instead (--dataset PATH names it)"
            )
            return None
        try:
            found = load(name, download=False)
        except MissingDataError:
            say(
                f"netlet: {name} is not on this machine; comparing on scribble, digits drawn by a program, instead"
            )
            return None
    channels = trained.shape[0]
    return found.with_channels(channels) if found.shape[0] == 1 != channels else found
