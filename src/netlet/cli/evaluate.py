"""``netlet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.images import Channels, DataFolder, DatasetName, chosen_images
from netlet.cli.options import Json
from netlet.cli.results import result, result_json
from netlet.errors import NetError
from netlet.recipes import Recipe


def evaluate(
    net: Annotated[
        str,
        typer.Argument(metavar="NET|RUN", help="An experiment or net, file.py:Name, or the folder of a run."),
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="A safetensors file, or a .pt of a state_dict.")
    ] = None,
    dataset: DatasetName = None,
    data: DataFolder = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="train, or the held-out one (the default).")
    ] = None,
    channels: Channels = None,
    mean: Annotated[
        float | None, typer.Option("--mean", help="Of the grey levels 0..1, subtracted; MNIST's .1307 by default.")
    ] = None,
    std: Annotated[float | None, typer.Option("--std", help="Divided by; MNIST's .3081 by default.")] = None,
    worst: Annotated[int, typer.Option("--worst", metavar="N", min=0, help="How many mistakes to list.")] = 10,
    json: Json = False,
) -> None:
    """Score a net with given weights on any data set: accuracy, classes, confusion, worst mistakes."""
    from netlet import evaluation, records
    from netlet.anatomy import trace
    from netlet.experiments import find_experiment
    from netlet.nets import build, load_weights

    run = records.load(net) if (Path(net) / records.RECORD).is_file() else None
    if run is None and Path(net).is_dir():
        raise NetError(f"{net}: holds no {records.RECORD}; name a finished run, or a net and --weights FILE")
    images = chosen_images(dataset or (_own_dataset(run.data["name"]) if run else None), data, channels)
    entry = find_experiment(run.net if run else net).net
    shape, classes = (run.data["shape"], run.data["classes"]) if run else (images.shape, images.classes)
    built = build(entry.builder, 0, shape, classes)
    file = weights or (Path(net) / records.WEIGHTS if run else None)
    if file:
        load_weights(built, file)
    elif any(True for _ in built.parameters()):
        raise NetError(f"{net}: has weights to be told; give --weights FILE, or the folder of a run")
    trace(built, images.shape)  # says in one line why a net cannot run on such images
    taught = Recipe(**{name: run.recipe[name] for name in ("mean", "std")}) if run else Recipe()
    given = {name: value for name, value in (("mean", mean), ("std", std)) if value is not None}
    judged = images.split(split) if split else images.held_out
    found = evaluation.evaluate(built, judged, taught.but(**given), images.classes)
    if json:
        head = {"net": net, "weights": str(file) if file else None, "data": images.name, "digest": images.digest}
        result_json(head | evaluation.evaluation_dict(found, images.class_names, worst))
    else:
        result(f"{net} on {images.name}: {evaluation.evaluation_text(found, images.class_names, worst)}")


def _own_dataset(name: str) -> str | None:
    """The data set that a run was trained on, where its name says enough; else a person must choose."""
    from netlet.data import NAMES

    if name in NAMES:
        return name
    raise NetError(f"this run was trained on {name}, data of one's own; say where they are with --dataset PATH")
