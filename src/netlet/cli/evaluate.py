"""``netlet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.images import Channels, DataFolder, DatasetName, chosen_images
from netlet.cli.options import Json
from netlet.cli.results import result, result_json
from netlet.errors import DataError, NetError
from netlet.recipes import Recipe

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.records import Run


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
    from netlet.experiments import EXPERIMENTS, find_experiment
    from netlet.nets import build, load_weights, shipped, shipped_weights

    run = records.load(net) if (Path(net) / records.RECORD).is_file() else None
    if run is None and weights is None and Path(net).is_dir() and net not in EXPERIMENTS:
        raise NetError(f"{net}: holds no {records.RECORD}; name a finished run, or a net and --weights FILE")
    if run:
        images, split = _of_run(run, dataset, data, channels, split)
        shape, classes = run.data["shape"], run.data["classes"]
        file: Path | None = weights or Path(net) / records.WEIGHTS
        taught = Recipe(**{name: run.recipe[name] for name in ("mean", "std")})
    else:
        images = chosen_images(dataset or "mnist", data, channels)
        shape, classes, file, taught = images.shape, images.classes, weights or shipped_weights(net), Recipe()
    built = build(find_experiment(run.net if run else net).net.builder, 0, shape, classes)
    if file:
        load_weights(built, file)
    elif any(True for _ in built.parameters()):
        trained = f"; {', '.join(shipped())} bring theirs along" if shipped() else ""
        raise NetError(f"{net}: has weights to be told; give --weights FILE, or the folder of a run{trained}")
    trace(built, images.shape)  # says in one line why a net cannot run on such images
    given = {name: value for name, value in (("mean", mean), ("std", std)) if value is not None}
    judged = images.split(split) if split else images.held_out
    found = evaluation.evaluate(built, judged, taught.but(**given), images.classes)
    if json:
        head = {"net": net, "weights": str(file) if file else None, "data": images.name, "digest": images.digest}
        result_json(head | evaluation.evaluation_dict(found, images.class_names, worst))
    else:
        result(f"{net} on {images.name}: {evaluation.evaluation_text(found, images.class_names, worst)}")


def _of_run(
    run: Run, dataset: str | None, folder: Path | None, channels: int | None, split: str | None
) -> tuple[Dataset, str | None]:
    """The images for a run as it saw them, and the split to judge on: its own data unless another is named.

    Raises:
        DataError: They have classes that it does not know, or images it was trained on would pass for held out.
    """
    from netlet.data import NAMES

    name = run.data["name"]
    if not dataset and name not in NAMES:
        raise NetError(f"this run was trained on {name}, data of one's own; say where they are with --dataset PATH")
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
