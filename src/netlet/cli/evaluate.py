"""``netlet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.images import Channels, DataFolder, DatasetName, chosen_images
from netlet.cli.options import Json
from netlet.cli.results import result, result_json
from netlet.errors import DataError, NetError

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.records import Run


def evaluate(
    net: Annotated[
        str,
        typer.Argument(
            metavar="NET|RUN", help="An experiment or net, file.py:Name, or the folder of a run."
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="A safetensors file, or a .pt of a state_dict."
        ),
    ] = None,
    dataset: DatasetName = None,
    data: DataFolder = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="train, or the held-out one (the default)."),
    ] = None,
    channels: Channels = None,
    mean: Annotated[
        float | None,
        typer.Option(
            "--mean", help="Of the gray levels 0..1, subtracted; MNIST's .1307 by default."
        ),
    ] = None,
    std: Annotated[
        float | None, typer.Option("--std", help="Divided by; MNIST's .3081 by default.")
    ] = None,
    worst: Annotated[
        int, typer.Option("--worst", metavar="N", min=0, help="How many mistakes to list.")
    ] = 10,
    json: Json = False,
) -> None:
    """Score a net with given weights on any data set: accuracy, classes, confusion, worst mistakes."""
    from netlet import evaluation
    from netlet.analysis import trace
    from netlet.experiments import run_at, trained_net

    run = run_at(net)
    if run:
        images, split = _of_run(run, dataset, data, channels, split)
        taught = trained_net(net, weights, mean=mean, std=std)
    else:
        images = chosen_images(dataset or "mnist", data, channels)
        taught = trained_net(
            net, weights, shape=images.shape, class_names=images.class_names, mean=mean, std=std
        )
    trace(taught.net, images.shape)  # says in one line why a net cannot run on such images
    judged = images.split(split) if split else images.held_out
    found = evaluation.evaluate(taught.net, judged, taught.recipe, images.classes)
    if json:
        head = {
            "net": net,
            "weights": str(taught.file) if taught.file else None,
            "data": images.name,
            "digest": images.digest,
        }
        result_json(head | evaluation.evaluation_dict(found, images.class_names, worst))
    else:
        result(
            f"{net} on {images.name}: {evaluation.evaluation_text(found, images.class_names, worst)}"
        )


def _of_run(
    run: Run, dataset: str | None, folder: Path | None, channels: int | None, split: str | None
) -> tuple[Dataset, str | None]:
    """The images for a run as it saw them, and the split to judge on: its own data unless another is named.

    Raises:
        DataError: They have classes that it does not know, or images it was trained on would pass
            for held out.
    """
    from netlet.data import NAMES

    name = run.data["name"]
    if not dataset and name not in NAMES:
        raise NetError(
            f"this run was trained on {name}, data of one's own; say where they are with --dataset PATH"
        )
    images = chosen_images(dataset or name, folder, channels)
    if not channels and images.shape[0] == 1:
        images = images.with_channels(run.data["shape"][0])
    digest, held_out = images.digest, run.data["images"].get("val")
    brought_along = images.held_out.name == "val" and images.whole is None
    if images.name == name and held_out and split != "test" and not brought_along:
        if digest != run.data["digest"]:
            raise DataError(
                f"{name} has changed since this run: its val would hold images that were trained on; bring the old "
                "ones back, or put new ones into a folder of their own"
            )
        images = images.hold_out(held_out)
    return images.with_classes(run.data["class_names"]), split
