"""The order in which a data set lists its classes changes no choice of images."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from helpers import Inline, Netlet, make_seed_result, make_study
from torch import nn

import netlet as package
from netlet import data, records, stats
from netlet.data import Dataset, Split, prepare_for_record
from netlet.data.recorded_data import hold_out_as_recorded, is_recorded_split
from netlet.errors import DataError, RecordError, TrainingError
from netlet.experiments import configure_run, find_experiment, load_data, run_study
from netlet.experiments.execution.shared_data import from_frames, to_frames
from netlet.recipes import Recipe
from netlet.records import Epoch, Run
from netlet.records.data_contradictions import checksum_of_class_names
from netlet.training import Callback, fit

ONE_EPOCH = Recipe(epochs=1, batch_size=50, peak_lr=2e-3, precision="float32", backend="eager")
Choose = Callable[[Dataset], Dataset]
CHOICES: Sequence[Choose] = [
    lambda own: own.hold_out(13),
    lambda own: own.hold_out(14, draw=-3),
    lambda own: own.hold_out_fold(0, 2),
    lambda own: own.hold_out_fold(1, 3),
    lambda own: own.take(17),
    lambda own: own.take(25).hold_out(11),
    lambda own: own.take(25).hold_out_fold(1, 2),
    lambda own: own.hold_out(13).take(12),
    lambda own: own.with_channels(3).hold_out_fold(2, 3),
    lambda own: dataclasses.replace(own, left_out=("a note",)).hold_out(13),
    # To a worker, which holds images out of what it gets.
    lambda own: from_frames(map(bytes, to_frames(own)).__next__).hold_out_fold(1, 2),
]


def make(seed: int, names: Sequence[str]) -> Dataset:
    """Return a data set whose classes have 4 to 6 images each, all images with a number."""
    draw = random.Random(seed)
    labels = [k for k in range(len(names)) for _ in range(draw.randint(4, 6))]
    draw.shuffle(labels)
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
    split = Split("train", images.contiguous(), torch.tensor(labels))
    return Dataset("own", split, dataclasses.replace(split, name="test"), tuple(names))


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    return random.Random(seed).sample(names, len(names))


def content(split: Split, names: Sequence[str]) -> list[tuple[int, str]]:
    """Return the number of each image with the name of its class."""
    numbers = split.images[:, 0, 0, 0].tolist()
    return [(n, names[k]) for n, k in zip(numbers, split.labels.tolist(), strict=True)]


@pytest.mark.parametrize("choose", CHOICES)
def test_the_same_images_are_chosen_in_any_order_of_the_classes(choose: Choose) -> None:
    names = [f"{k}" for k in range(8)]
    for seed in range(12):
        own, order = make(seed, names), shuffled(names, seed + 1)
        expected = choose(own).with_classes(order)
        twice = own.with_classes(shuffled(names, seed + 2)).with_classes(order)
        for found in (choose(own.with_classes(order)), choose(twice).with_classes(order)):
            assert found.describe() == expected.describe()
            for split, other in (
                (found.train, expected.train),
                (found.held_out, expected.held_out),
            ):
                assert content(split, order) == content(other, order)
            assert content(found.with_classes(names).train, names) == content(
                choose(own).train, names
            )


def test_a_longer_list_of_classes_changes_no_choice_either() -> None:
    names = list("abcdef")
    own, more = make(0, names), ["x", *shuffled(names, 1), "y"]
    for choose in CHOICES:
        found, expected = choose(own.with_classes(more)), choose(own).with_classes(more)
        assert content(found.held_out, more) == content(expected.held_out, more)
        assert content(found.train, more) == content(expected.train, more)
        assert found.describe() == expected.describe()
    assert len(own.with_classes(more).hold_out(6).held_out) == 6
    # A class without images takes no place of others.
    empty = Dataset("own", own.train, own.held_out, (*names, "none"))
    assert len(empty.hold_out(6).held_out) == 6


def test_other_training_images_are_chosen_from_after_the_classes_are_renumbered() -> None:
    names = list("abcdef")
    own, order = make(0, names), shuffled(names, 3)
    kept = torch.arange(20)
    for choose in CHOICES[:3]:
        found = dataclasses.replace(
            own.with_classes(order), train=own.with_classes(order).train.take(kept)
        )
        expected = dataclasses.replace(own, train=own.train.take(kept))
        assert content(choose(found).train, order) == content(choose(expected).train, names)


def test_classes_of_one_name_are_not_merged() -> None:
    own = make(0, "aab")
    assert own.with_classes("aab") is own
    for given, names in ((own, "ab"), (make(0, "ab"), "abb")):
        with pytest.raises(
            DataError, match=r"two classes are called '[ab]'; give each class a name"
        ):
            given.with_classes(names)


def test_a_record_with_the_classes_in_another_order_means_the_same_images(
    blob_data: Dataset,
) -> None:
    names = blob_data.class_names[::-1]
    for choose in (CHOICES[0], CHOICES[1], CHOICES[3]):
        held = choose(blob_data.with_classes(names))
        assert prepare_for_record(held) is held
        for given in (blob_data, blob_data.with_classes(names), held, choose(blob_data)):
            found = hold_out_as_recorded(held.describe(), given)
            assert found is not None
            assert found.class_names == names
            assert torch.equal(found.held_out.images, held.held_out.images)
            assert torch.equal(found.held_out.labels, held.held_out.labels)
    few = blob_data.with_classes(names).take(300)
    assert few.describe() == blob_data.take(300).with_classes(names).describe()
    renumbered = blob_data.with_classes(names)
    assert is_recorded_split(few.describe(), renumbered, renumbered.held_out)
    assert not is_recorded_split(few.describe(), blob_data, blob_data.held_out)


def orders(whole: Dataset) -> Iterator[Dataset]:
    """Yield a fold whose classes are renumbered before and after it is held out."""
    names = ["3", "1", *whole.class_names[4:], "2", "0"]
    yield whole.with_classes(names).hold_out_fold(1, 7)
    yield whole.hold_out_fold(1, 7).with_classes(names)


def train(images: Dataset, folder: str, *callbacks: Callback, epochs: int = 1) -> Run:
    net = package.build(package.nets.speck, 0)
    recipe = ONE_EPOCH.replace(epochs=epochs)
    return fit(net, images, recipe, net_name="speck", resume=folder, callbacks=callbacks)


def test_evaluate_scores_the_images_that_were_held_out_in_either_order(
    netlet: Netlet, blobs_for_mnist: Path
) -> None:
    for number, images in enumerate(orders(data.load("mnist"))):
        run = train(images, f"run{number}")
        assert run.mistakes
        code, out, err = netlet("evaluate", f"run{number}", "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["score"]["correct"] == run.last_epoch.correct
        # As an earlier version held out others, with other labels.
        edited = {**run.data, "class_names": images.class_names[::-1]}
        records.save_run(dataclasses.replace(run, data=edited), Path(f"run{number}"))
        code, _, err = netlet("evaluate", f"run{number}")
        assert (code, "its mistakes have other labels than the images that" in err) == (2, True)
        assert netlet("evaluate", f"run{number}", "--split", "test")[0] == 0


class Stops(Callback):
    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        raise KeyboardInterrupt


def test_a_training_does_not_go_on_with_the_classes_in_another_order(
    blob_data: Dataset, tmp_path: Path
) -> None:
    renumbered = blob_data.with_classes(blob_data.class_names[::-1])
    train(blob_data, f"{tmp_path}/finished")
    with pytest.raises(KeyboardInterrupt):
        train(blob_data, f"{tmp_path}/begun", Stops(), epochs=2)
    for folder, epochs in (("finished", 1), ("begun", 2)):
        with pytest.raises(TrainingError, match=r"\(other classes, or in another order\)"):
            train(renumbered, f"{tmp_path}/{folder}", epochs=epochs)
        train(blob_data, f"{tmp_path}/{folder}", epochs=epochs)


def test_seeds_with_the_classes_in_another_order_are_no_study(
    blobs_for_mnist: Path, tmp_path: Path
) -> None:
    images = data.load("mnist")
    experiment = find_experiment("speck").replace(recipe=ONE_EPOCH)
    for given in (images, None):  # None: workers load them
        renumbered = images.with_classes(images.class_names[::-1])
        config = configure_run(experiment, renumbered)
        assert load_data(config).describe() == renumbered.describe()
        folder = tmp_path / f"{given is None}"
        passed = given and renumbered
        found = run_study(config, [0], folder, 1, executor=Inline(), data=passed)
        assert found.data == renumbered.describe()
        with pytest.raises(RecordError, match="a run with a different list of classes"):
            run_study(
                configure_run(experiment, images), [1], folder, 1, executor=Inline(), data=given
            )
        assert not (folder / "seed-1").exists()


def test_studies_with_the_classes_in_another_order_are_compared(blob_data: Dataset) -> None:
    a = make_study(make_seed_result(0, 900), make_seed_result(1, 905))
    named = {**blob_data.checksums, "class names": checksum_of_class_names(blob_data.class_names)}
    for own in (blob_data, dataclasses.replace(blob_data, checksums=named)):
        folds = [images.hold_out_fold(1, 4) for images in (own, own.take(500))]
        fold, fewer = (dataclasses.replace(a, data=one.describe()) for one in folds)
        turned = folds[0].with_classes(own.class_names[::-1]).describe()
        b = dataclasses.replace(a, name="b", data=turned)
        assert stats.compare(fold, b).total == a.total
        with pytest.raises(RecordError, match="scored on the same images"):
            stats.compare(fewer, b)


def test_studies_with_other_numbers_of_images_of_a_class_are_not_compared() -> None:
    a = make_study(make_seed_result(0, 900), make_seed_result(1, 905))
    sizes, names = (150, 50, *a.class_sizes[2:]), list("0123456789")
    b = dataclasses.replace(a, name="b", class_sizes=sizes)
    with pytest.raises(RecordError, match="but not on as many of each class; compare studies"):
        stats.compare(a, b)
    turned = dataclasses.replace(b, name="c", class_sizes=(*sizes[1::-1], *sizes[2:]))
    with pytest.raises(RecordError, match="not on as many of each class"):
        stats.compare(b, turned)
    for order in ([*names[1::-1], *names[2:]], [*"ABCDEFGHIJ"]):  # reordered, renamed
        data_of_other = {**a.data, "class_names": order}
        assert stats.compare(b, dataclasses.replace(turned, data=data_of_other)).total == a.total  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "what", "example"),
    [
        (lambda own: own.hold_out("100"), "the number of images to hold out", 10_000),
        (lambda own: own.hold_out(100.0), "the number of images to hold out", 10_000),
        (lambda own: own.hold_out(100, draw=1.0), "draw", 1),
        (lambda own: own.hold_out(100, draw=None), "draw", 1),
        (lambda own: own.hold_out(100).hold_out(100, draw=True), "draw", 1),
        (lambda own: own.hold_out_fold("0", 5), "fold", 0),
        (lambda own: own.hold_out_fold(0, 5.0), "folds", 5),
        (lambda own: own.take(100.0), "the number of images to keep", 10_000),
    ],
)
def test_numbers_of_other_types_are_refused_in_one_line(
    blob_data: Dataset, call: Choose, what: str, example: int
) -> None:
    with pytest.raises(TypeError) as caught:
        call(blob_data)
    assert str(caught.value).startswith(f"{what} is of the type ")
    assert str(caught.value).endswith(f"; pass a whole number, like {example}")


def test_whole_numbers_of_numpy_are_whole_numbers(blob_data: Dataset) -> None:
    import numpy as np

    for fold, draw in itertools.product(np.arange(2), np.arange(2)):
        held = blob_data.hold_out_fold(fold, np.int32(2))
        assert held.describe() == blob_data.hold_out_fold(int(fold), 2).describe()
        held = blob_data.hold_out(np.int64(20), draw=draw)
        assert held.describe() == blob_data.hold_out(20, int(draw)).describe()
