"""Draws and folds of the training images, and loading them without the test images."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Inline, Netlet, draw_blobs, few_fast
from torch import nn

import netlet as package
from netlet import data, records, stats
from netlet.cli.evaluate import load_images_of_run
from netlet.data import Dataset
from netlet.data.recorded_data import hold_out_as_recorded
from netlet.errors import DamagedRecordError, DataError, RecordError, TrainingError
from netlet.experiments import (
    calibrate_confidence,
    configure_run,
    find_experiment,
    load_data,
    load_trained_net,
    run_study,
)
from netlet.experiments.search.run import run_search
from netlet.experiments.search.space_file import SPACES, load_search
from netlet.recipes import Recipe
from netlet.records import Epoch, Run, RunConfig, Study
from netlet.report.commands import command_for
from netlet.report.mistakes import refuse_other_images
from netlet.training import Callback, fit

BEGUN = Recipe(epochs=2, batch_size=50, peak_lr=2e-3, precision="float32", backend="eager")
HoldOut = Callable[[Dataset], Dataset]
# Halves of the training images: other ones than ``hold_out(300)`` gives, and how they are called.
OTHERS: list[tuple[HoldOut, str, str]] = [
    (lambda whole: whole.hold_out(300, draw=1), "draw 1", "data.hold_out(300, draw=1)"),
    (lambda whole: whole.hold_out_fold(0, 2), "fold 0 of 2", "data.hold_out_fold(fold=0, folds=2)"),
]


class StopsAfterOne(Callback):
    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        if len(epochs) == 2:
            raise KeyboardInterrupt


def train(images: Dataset, folder: Path, *callbacks: Callback) -> Run:
    net = package.build(package.nets.speck, 0)
    return fit(net, images, BEGUN, net_name="speck", resume=folder, callbacks=callbacks)


def configure(images: Dataset, val: int = 0) -> RunConfig:
    return configure_run(find_experiment("speck").replace(recipe=BEGUN), images, val=val)


def study(images: Dataset, folder: Path, seeds: int = 2) -> Study:
    return run_study(configure(images), range(seeds), folder, 1, executor=Inline(), data=images)


def test_only_another_draw_or_a_fold_changes_the_digest(blob_data: Dataset) -> None:
    assert blob_data.hold_out(300).describe()["checksums"] == blob_data.checksums
    splits = [blob_data.hold_out(300), blob_data.hold_out(300, draw=-2)]
    splits += [hold_out(blob_data) for hold_out, *_ in OTHERS] + [blob_data.hold_out_fold(1, 2)]
    assert len({split.digest for split in splits}) == len(splits)
    for split in splits:
        recorded = split.describe()
        for given in (blob_data, blob_data.hold_out(20), split):
            again = hold_out_as_recorded(recorded, given)
            assert again is not None
            assert torch.equal(again.held_out.images, split.held_out.images)
        assert hold_out_as_recorded(recorded, blob_data.take(400)) is None
    assert hold_out_as_recorded(blob_data.describe(), splits[1]) is blob_data
    with pytest.raises(DataError, match="draw=1000000000000000000 is out of range; choose"):
        blob_data.hold_out(300, draw=10**18)


@pytest.mark.parametrize(("hold_out", "how", "call"), few_fast(OTHERS, 1))
def test_what_a_run_held_out_is_scored_again(
    netlet: Netlet, blobs_for_mnist: Path, hold_out: HoldOut, how: str, call: str
) -> None:
    own = hold_out(data.load("mnist"))
    run = train(own, Path("run"))
    assert run.data["checksums"]["held out"] == how
    assert len(run.mistakes) > 20
    code, out, err = netlet("evaluate", "run", "--json")
    assert (code, err) == (0, "")
    score = json.loads(out)["score"]
    assert (score["split"], score["correct"], score["total"]) == (
        "val",
        run.last_epoch.correct,
        300,
    )
    images = load_images_of_run(run, None, None, None, None)
    assert torch.equal(images.held_out.images, own.held_out.images)
    trained = load_trained_net("run")
    found = [calibrate_confidence(trained, given) for given in (own, data.load("mnist"))]
    assert [(one.split, one.images) for one in found] == [("val", 300)] * 2
    assert found[0].temperature == found[1].temperature
    assert netlet("report", "run", "-o", "report.html")[2] == ""  # with pictures of mistakes
    of_run = Study.from_runs([run])
    assert command_for(of_run) is None
    with pytest.raises(package.errors.ReportError, match="pass the held_out split") as caught:
        refuse_other_images(of_run, data.load("mnist").hold_out(300).held_out)
    assert str(caught.value).endswith(call)


@pytest.mark.parametrize(("hold_out", "how"), few_fast([(one, how) for one, how, _ in OTHERS], 1))
def test_an_interrupted_run_keeps_its_training_images(
    blob_data: Dataset, tmp_path: Path, hold_out: HoldOut, how: str
) -> None:
    own, default = hold_out(blob_data), blob_data.hold_out(300)
    for begun, other in ((own, default), (default, own)):
        folder = tmp_path / begun.digest
        with pytest.raises(KeyboardInterrupt):
            train(begun, folder, StopsAfterOne())
        with pytest.raises(TrainingError, match="other images of mnist, or others held out"):
            train(other, folder)
        assert train(begun, folder).resumed_after == (1,)


@pytest.mark.parametrize(("hold_out", "how"), few_fast([(one, how) for one, how, _ in OTHERS], 1))
def test_seeds_scored_on_other_images_are_no_study_and_not_compared(
    blob_data: Dataset, tmp_path: Path, hold_out: HoldOut, how: str
) -> None:
    own, default = hold_out(blob_data), blob_data.hold_out(300)
    of_own, of_default = study(own, tmp_path / "own"), study(default, tmp_path / "default")
    with pytest.raises(
        RecordError, match=rf"different validation split \(300 there, 300 \({how}\)"
    ):
        study(own, tmp_path / "default", 3)
    with pytest.raises(RecordError, match=rf"mnist, {how} \(digest .*scored on the same images"):
        stats.compare(of_default, of_own)
    assert len(study(own, tmp_path / "own", 3).seeds) == 3


def test_a_study_on_other_images_than_it_was_configured_for_is_refused_before_it_trains(
    blob_data: Dataset, tmp_path: Path
) -> None:
    held, names = blob_data.hold_out(300), blob_data.class_names[::-1]
    draw, fold = (hold_out(blob_data) for hold_out, *_ in OTHERS)
    folder = tmp_path / "studies" / "one"
    for config, given, what in (
        (configure(draw), held, "validation split (300 (draw 1) there, 300 now)"),
        (configure(held), draw, "validation split (300 there, 300 (draw 1) now)"),
        (configure(held), fold, "validation split (300 there, 300 (fold 0 of 2) now)"),
        (configure(held), blob_data, "validation split (300 there, 0 now)"),
        (configure(blob_data), held, "validation split (0 there, 300 now)"),
        (configure(blob_data), blob_data.with_channels(3), "number of channels (1 there, 3 now)"),
        (configure(blob_data), blob_data.with_classes(names), "list of classes"),
        (configure(blob_data, val=50), blob_data.take(400), "data set"),
    ):
        with pytest.raises(DataError) as caught:
            run_study(config, [0], folder, 1, executor=Inline(), data=given)
        text = f"not that of the configuration: it has another {what}; pass the one that "
        assert text in str(caught.value)
        assert not folder.parent.exists()
    study(draw, folder, 1)


def test_workers_that_load_the_images_hold_the_same_ones_out(blobs_for_mnist: Path) -> None:
    whole = data.load("mnist")
    for hold_out in (*(one for one, *_ in OTHERS), lambda one: one.hold_out(300)):
        own = hold_out(whole)
        assert torch.equal(load_data(configure(own)).held_out.images, own.held_out.images)
    # Those of val are held out by the training.
    for val in (0, 50):
        assert load_data(configure(whole, val)).held_out.name == "test"


def test_images_held_out_on_loading_are_replaced_by_workers_too(
    blob_data: Dataset, tmp_path: Path
) -> None:
    train = blob_data.train
    np.savez(tmp_path / "own.npz", images=train.images.numpy(), labels=train.labels.numpy())
    own = data.load_user_images(tmp_path / "own.npz")
    assert len(own.train) == 500
    folder = tmp_path / "study"
    found = run_study(configure(own, val=50), [0], folder, 1, executor=Inline(), data=own)
    assert found.data["images"] == {"train": 550, "val": 50}


HOLD_OUT_AGAIN: list[Callable[[Dataset], object]] = [
    lambda held: held.hold_out(50),
    lambda held: held.hold_out(300),
    lambda held: held.hold_out_fold(1, 2),
    lambda held: held.with_channels(3).with_classes(held.class_names[::-1]).hold_out(50),
    lambda held: dataclasses.replace(held, name="other").hold_out(50),
    lambda held: configure(held, val=50),
    lambda held: fit(package.build(package.nets.speck, 0), held, BEGUN, val=50),
    lambda held: run_search(load_search(SPACES["speck"]), Path("trials.jsonl"), 1, 1, data=held),
]


@pytest.mark.parametrize("again", HOLD_OUT_AGAIN)
def test_images_that_are_held_out_never_return_to_the_training_images(
    blob_data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    again: Callable[[Dataset], object],
) -> None:
    monkeypatch.chdir(tmp_path)
    for hold_out in (*(one for one, *_ in OTHERS), lambda whole: whole.hold_out(300)):
        with pytest.raises(DataError, match="already holds 300 training images out; score"):
            again(hold_out(blob_data))
    held = blob_data.hold_out(300)
    with pytest.raises(DataError, match="already holds 300 training images out; score"):
        run_study(configure(blob_data, 50), [0], tmp_path, 1, executor=Inline(), data=held)
    assert not list(tmp_path.rglob("*.json*"))


def test_both_remedies_for_images_held_out_already(blob_data: Dataset) -> None:
    outer = blob_data.hold_out_fold(0, 5)
    assert outer.before_hold_out is not None
    assert outer.before_hold_out.hold_out_fold(1, 5).digest == blob_data.hold_out_fold(1, 5).digest
    test = outer.before_hold_out.held_out
    rest = Dataset("rest", outer.train, test, outer.class_names)
    inner = rest.hold_out_fold(1, 4)
    assert (len(inner.train), len(inner.held_out)) == (360, 120)
    splits = (inner.train, inner.held_out, outer.held_out)
    parts = [{image.numpy().tobytes() for image in split.images} for split in splits]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 600
    assert inner.digest not in (outer.digest, rest.digest)


@pytest.mark.parametrize(
    "text", ["draw 0", "draw 01", "fold 2 of 2", "fold 0 of 3", "fold 1 of 0", "draw", ""]
)
def test_a_record_of_held_out_images_that_cannot_be_is_refused(
    blob_data: Dataset, tmp_path: Path, text: str
) -> None:
    run = train(blob_data.hold_out(300, draw=1), tmp_path / "run")
    edited = {**run.data["checksums"], "held out": text}
    digest = Dataset("", blob_data.train, blob_data.train, ("",) * 10, edited).digest
    values = json.loads(run.to_json())
    values["data"] |= {"checksums": edited, "digest": digest}
    with pytest.raises(DamagedRecordError, match=r"data\.checksums say that .* is held out"):
        records.Run.from_json(json.dumps(values), "run.json")


def test_folds_are_disjoint_and_cover_the_training_images(blob_data: Dataset) -> None:
    folds = [blob_data.hold_out_fold(fold, 7) for fold in range(7)]
    assert sum(len(fold.held_out) for fold in folds) == len(blob_data.train) == 600
    assert {len(fold.held_out) for fold in folds} == {85, 86}
    held_out = torch.cat([fold.held_out.images for fold in folds]).flatten(1)
    assert len(held_out.unique(dim=0)) == 600
    for fold in folds:
        assert (fold.train.name, fold.held_out.name) == ("train", "val")
        assert len(fold.train) + len(fold.held_out) == 600
        counts = torch.bincount(fold.held_out.labels, minlength=10)
        assert int(counts.max() - counts.min()) <= 1
    for wrong in ((0, 1), (0, 61), (7, 7), (-1, 7)):
        with pytest.raises(DataError, match="choose"):
            blob_data.hold_out_fold(*wrong)


def test_training_images_are_loaded_without_the_test_images(
    blobs_without_test: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = data.load("mnist", read_test=False)
    assert (len(alone.train), len(alone.held_out)) == (600, 0)
    images, labels = draw_blobs(40, 0)
    whole = tmp_path / "own.npz"
    np.savez(whole, images=images, labels=labels, test_images=np.zeros(3), test_labels=labels)
    with pytest.raises(DataError):
        data.load(whole)
    assert len(data.load(whole, read_test=False).train) == 40
    from PIL import Image

    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "folders" / "train" / str(label) / f"{n}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    shutil.copytree(tmp_path / "folders" / "train", tmp_path / "folders" / "test")
    (tmp_path / "folders" / "test" / "3" / "3.png").write_bytes(b"not to be read")
    with pytest.raises(DataError):
        data.load(tmp_path / "folders")
    assert len(data.load(tmp_path / "folders", read_test=False).train) == 40


def test_scribble_without_its_test_images_is_the_same_otherwise(tmp_path: Path) -> None:
    from netlet.data import load_scribble, make_scribble, scribble

    small = make_scribble(30, 20)
    scribble._save(small, tmp_path / f"scribble-{scribble.VERSION}.safetensors", pytest.fail)
    alone = load_scribble(tmp_path, read_test=False)
    assert torch.equal(alone.train.images, small.train.images)
    assert (len(alone.held_out), alone.class_names) == (0, small.class_names)
