"""``netlet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.datasets import (
    load_dataset,
    say_if_classes_are_no_digits,
    say_repeated_images,
)
from netlet.cli.normalization import suggest_normalization
from netlet.cli.option_groups import OWN_WEIGHTS, WeightOptions
from netlet.cli.options import (
    Channels,
    DataDir,
    DatasetOfNet,
    DataSplit,
    Json,
    TrainedNet,
)
from netlet.cli.progress import show_progress
from netlet.cli.results import print_json, print_result, say
from netlet.errors import DataError, NetError
from netlet.records import locate_weights
from netlet.text import escape_controls

if TYPE_CHECKING:
    from netlet.budgets import Score
    from netlet.data import Dataset
    from netlet.records import Run


def evaluate(
    net: TrainedNet,
    using: WeightOptions = OWN_WEIGHTS,
    dataset: DatasetOfNet = None,
    data_dir: DataDir = None,
    split: Annotated[
        DataSplit | None,
        typer.Option(
            "--split",
            metavar="SPLIT",
            help="Split to score: train, val or test; if not given, val if the run held images "
            "out, and test otherwise.",
        ),
    ] = None,
    channels: Channels = None,
    worst: Annotated[
        int,
        typer.Option(
            "--worst", metavar="N", min=0, help="List the N mistakes with the highest confidence."
        ),
    ] = 10,
    json: Json = False,
) -> None:
    """Score a trained net on a data set.

    Prints accuracy with its 95% interval, classes, confusion matrix and worst mistakes.
    """
    from netlet import evaluation
    from netlet.analysis import check_input_shape
    from netlet.data.disputed_labels import disputed_labels
    from netlet.evaluation.evaluate import TRAIN_AGAIN
    from netlet.experiments import find_run, find_weights

    place = locate_weights(net)
    run = find_run(place)
    find_weights(place, using.weights, trust=using.trust)  # before a data set is looked for
    if run:
        images = load_images_of_run(run, dataset, data_dir, channels, split)
        trained = using.load(net)
    else:
        images = load_dataset(dataset or "mnist", data_dir, channels)
        trained = using.load(net, shape=images.shape, class_names=images.class_names)
        say_if_classes_are_no_digits(trained, images)
    if tuple(images.shape) != trained.shape:
        check_input_shape(trained.net, images.shape)
    scored = images.split(split.value) if split else images.held_out
    say_repeated_images(images, scored)
    # Before the net runs: one that counts its batches has other buffers then.
    recorded = trained.find_recorded_score(images, scored) if run and not using.weights else None
    with show_progress("evaluating") as bar:
        result = evaluation.evaluate(
            trained.net, scored, trained.recipe, images.classes, on_progress=bar
        )
    disputed = disputed_labels(images.checksums, scored.name)
    if not json:
        text = evaluation.format_evaluation(result, images.class_names, worst, disputed)
        used = f"images normalized with {trained.normalization} (change with --mean and --std)"
        print_result(f"{escape_controls(f'{net} on {images.name}')}: {text}\n\n{used}", lines=True)
    else:
        head = {
            "net": net,
            "weights": str(trained.file) if trained.file else None,
            "mean": trained.mean,
            "std": trained.std,
            "data": images.name,
            "digest": images.digest,
        }
        values = evaluation.evaluation_to_dict(result, images.class_names, worst, disputed)
        print_json("evaluation", head | values)
    if broken := evaluation.describe_not_finite(result):
        say(f"netlet: warning: {net}: {broken}: {TRAIN_AGAIN}")
    suggest_normalization(trained, scored, images.classes, result.score)
    if run and recorded is not None and recorded.correct != result.score.correct:
        _say_that_record_differs(net, run, recorded, result.score)


def _say_that_record_differs(net: str, run: Run, recorded: Score, found: Score) -> None:
    """Say that the net of a run scores otherwise than its record says, on the same images."""
    from netlet.evaluation import is_of_another_net

    if is_of_another_net(recorded, found):
        say(
            f"netlet: warning: {net}: the record says {recorded.percent:.2f}% on these images; "
            f"the net that {run.net} gives now is not the one that was trained, or the record was "
            "edited"
        )
    else:
        say(
            f"netlet: warning: {found.correct:,} images are correct here, {recorded.correct:,} in "
            "the record of the run; code that the net imports, a library version or the processor "
            "differs"
        )


def load_images_of_run(
    run: Run, dataset: str | None, data_dir: Path | None, channels: int | None, split: str | None
) -> Dataset:
    """Load the images for a run: its own data unless another is named.

    Args:
        run: The run.
        dataset: The data set that is named, if any.
        data_dir: The folder with the files of a public data set; searched for if None.
        channels: The number of channels to repeat gray images to; None: that of the run.
        split: The split that will be scored; None: the one that the run held out.

    Raises:
        DataError: They have classes that the run does not know, or images it was trained on would
            count as held out.
    """
    from netlet.data import DATASET_NAMES, public_name
    from netlet.data.recorded_data import hold_out_as_recorded, refuse_trained_images

    name = run.data["name"]
    if not dataset and (name not in DATASET_NAMES and run.data["images"].get("val")):
        raise NetError(
            f"this run held images out of {name}, which is not a public data set; pass --dataset "
            f"{public_name(name) if public_name(name) != name else 'PATH'}"
        )
    if not dataset and public_name(name) not in DATASET_NAMES:
        raise NetError(
            f"this run was trained on {name}, which is not a public data set; pass --dataset PATH"
        )
    dataset = dataset or public_name(name)
    images = load_dataset(dataset, data_dir, channels)
    if not channels and images.shape[0] == 1:
        images = images.with_channels(run.data["shape"][0])
    names = run.data["class_names"]
    if set(names) >= set(images.class_names):
        images = images.with_classes(names)  # first: its digest depends on their order
    if images.name == name and run.data["images"].get("val") and split != "test":
        own = hold_out_as_recorded(run.data, images)
        has_own_val = images.held_out.name == "val" and images.before_hold_out is None
        if own is None and not has_own_val:
            raise DataError(
                f"{name} has changed since this run: its val split would contain images that were "
                "trained on; restore the old images, or put new ones into a folder of their own"
            )
        if own is not None:
            _refuse_other_labels(run, own)
            images = own
    elif split in (None, images.held_out.name):
        refuse_trained_images(run.data, images)
    return images.with_classes(names)


def _refuse_other_labels(run: Run, images: Dataset) -> None:
    """Refuse the images of a run whose version of netlet would hold others out."""
    labels = images.held_out.labels
    if any(int(labels[mistake.image]) != mistake.label for mistake in run.mistakes):
        raise DataError(
            f"this run held other images out of {images.name}, since its mistakes have other "
            "labels than the images that are held out now; some of those may have been trained "
            "on: pass --split test"
        )
