"""A run whose address gives a net with other arguments is noticed by its score, on its own images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import Netlet, few_fast

import netlet as package
from netlet.budgets import Score
from netlet.data import Dataset, load
from netlet.data.recorded_data import is_recorded_split
from netlet.evaluation import is_of_another_net
from netlet.experiments import TrainedNet, load_trained_net
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training import fit

FAST = Recipe(epochs=2, batch_size=50, peak_lr=0.01, precision="float32", backend="eager")
NET = """from torch import nn
class Net(nn.Module):
    def __init__(self, k=1.0):
        super().__init__()
        self.k, self.head = k, nn.Linear(784, 10)
    def forward(self, x):
        return self.head(self.k * x.flatten(1))
"""
NEGATIVE = NET + "def negative():\n    return Net(-1.0)\n"
Train = Callable[..., Run]


@pytest.fixture
def train(netlet: Netlet, blobs_for_mnist: Path) -> Train:
    """Train ``mine.py:Net`` with -1 as its argument into the folder ``run``."""
    Path("mine.py").write_text(NET)
    builder = package.nets.find_net("mine.py:Net").builder

    def call(data: Dataset | None = None, k: float = -1.0, recipe: Recipe = FAST) -> Run:
        net = package.build(partial(builder, k=k), 0)
        return fit(net, data or load("mnist"), recipe, net_name="mine.py:Net", resume="run")

    return call


def other_score(data: Dataset) -> Score:
    """Return the score of the net that the address gives, with the weights of the run."""
    trained = load_trained_net("run", trust=True)
    found = package.evaluate(trained.net, data.held_out, trained.recipe, data.classes)
    return found.score


@pytest.mark.parametrize("images", [None, 300])
def test_evaluate_says_that_the_net_is_not_the_one_that_was_trained(
    netlet: Netlet, train: Train, images: int | None
) -> None:
    run = train(load("mnist").take(images) if images else None)
    assert run.accuracy > 90
    other = other_score(load("mnist"))
    assert other.correct < 50
    code, out, err = netlet("evaluate", "run", "--trust")
    assert (code, f"{other.correct} of 100 test images" in out) == (0, True)
    assert err == (
        f"netlet: warning: run: the record says {run.accuracy:.2f}% on these images; the net that "
        "mine.py:Net gives now is not the one that was trained, or the record was edited\n"
    )


def test_a_net_that_counts_its_batches_is_compared_with_its_record(
    netlet: Netlet, train: Train
) -> None:
    init = "super().__init__()\n"
    counter = f'{init}        self.register_buffer("n", torch.zeros(()))\n'
    counting = "import torch\n" + NET.replace(init, counter)
    counting = counting.replace("        return", "        self.n += 1\n        return")
    Path("mine.py").write_text(counting)
    net = package.build(partial(package.nets.find_net("mine.py:Net").builder, k=-1.0), 0)
    run = fit(net, load("mnist"), FAST, net_name="mine.py:Net", resume="run")
    assert run.accuracy > 90
    _, _, err = netlet("evaluate", "run", "--trust")
    assert err.startswith(f"netlet: warning: run: the record says {run.accuracy:.2f}%")


def test_evaluate_says_nothing_of_the_net_that_was_trained(netlet: Netlet, train: Train) -> None:
    train(k=1.0)
    assert netlet("evaluate", "run", "--trust")[::2] == (0, "")


def test_other_images_weights_and_normalizations_are_not_compared(
    netlet: Netlet, train: Train, blob_data: Dataset
) -> None:
    train()
    package.data.save_npz(blob_data.take(200), "other.npz")
    for words in (
        ("--dataset", "other.npz"),
        ("--split", "train"),
        ("--mean", "0.5"),
        ("--weights", "run/weights.safetensors"),
    ):
        code, _, err = netlet("evaluate", "run", "--trust", *words)
        assert (code, "is not the one" in err, "in the record" in err) == (0, False, False), words


def test_the_own_validation_split_is_compared_and_another_draw_is_not(
    netlet: Netlet, train: Train
) -> None:
    run = train(load("mnist").hold_out(100))
    assert run.last_epoch.split == "val"
    assert "is not the one that was trained" in netlet("evaluate", "run", "--trust")[2]
    assert netlet("evaluate", "run", "--trust", "--split", "test")[::2] == (0, "")
    # With mistakes, whose labels tell the draws apart.
    data = load("mnist").hold_out(100, draw=3)
    net = package.nets.find_net("mine.py:Net").builder()
    begun = FAST.replace(peak_lr=1e-5, epochs=1)
    other = fit(package.build(lambda: net, 0), data, begun)
    trained = TrainedNet.from_run(other, net)
    again = load("mnist").hold_out(100)
    assert len(other.mistakes) > 20
    assert trained.find_recorded_score(data, data.held_out) == other.last_epoch.score
    assert trained.find_recorded_score(again, again.held_out) is None


def test_evaluate_says_that_classes_were_exchanged_in_a_record(
    netlet: Netlet, train: Train
) -> None:
    run = train(k=1.0, recipe=FAST.replace(epochs=1, peak_lr=1e-3))
    names = run.data["class_names"][::-1]
    assert run.accuracy > 50
    assert run.mistakes  # whose labels are others now
    edited = dataclasses.replace(run, data={**run.data, "class_names": names})
    package.records.save_run(edited, Path("run"))
    code, _, err = netlet("evaluate", "run", "--trust")
    assert (code, "or the record was edited" in err) == (0, True)


def test_a_run_on_renamed_or_reordered_classes_of_a_folder_agrees_with_itself(
    netlet: Netlet, digits_file: Path
) -> None:
    Path("mine.py").write_text(NET)
    data = load(digits_file)
    names = tuple(reversed(data.class_names))
    renamed = dataclasses.replace(data, class_names=tuple("abcdefghij"))
    reordered = data.with_classes(names)
    for folder, changed in (("a", reordered), ("b", reordered.hold_out(50)), ("c", renamed)):
        net = package.build(package.nets.find_net("mine.py:Net").builder, 0)
        run = fit(net, changed, FAST, net_name="mine.py:Net", resume=folder)
        assert package.records.load_run(Path(folder)).data == run.data
        assert run.data["digest"] != data.digest
        if folder != "c":  # whose names are not those of the folder
            words = ("evaluate", folder, "--trust", "--dataset", str(digits_file))
            assert netlet(*words)[::2] == (0, "")


@pytest.mark.parametrize("form", ["c", "page", "onnx"])
@pytest.mark.parametrize("images", few_fast([None, 300], 1))
def test_export_refuses_a_net_that_is_not_the_one_that_was_trained(
    netlet: Netlet, train: Train, form: str, images: int | None
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    run = train(load("mnist").take(images) if images else None)
    other = other_score(load("mnist"))
    name = "out" if form == "c" else f"out.{'html' if form == 'page' else form}"
    code, out, err = netlet("export", "run", "--to", form, "--trust", "--out", name)
    assert (code, out) == (2, "")
    assert (
        f"the record says {run.accuracy:.2f}% on mnist test, and the net has {other.percent:.2f}%: the "
        "net that mine.py:Net gives now is not the one that was trained; nothing was written; name "
        "a function that builds that one, with its arguments: FILE:FUNCTION --weights "
        "run/weights.safetensors\n"
    ) in err
    assert not list(Path().glob("out*"))


def test_export_compares_the_own_validation_split_too(netlet: Netlet, train: Train) -> None:
    run = train(load("mnist").hold_out(100))
    code, _, err = netlet("export", "run", "--to", "page", "--trust", "--out", "net.html")
    assert (code, Path("net.html").exists()) == (2, False)
    assert f"the record says {run.accuracy:.2f}% on mnist val, and the net has " in err


def test_the_remedy_of_export_works(netlet: Netlet, train: Train) -> None:
    train()
    Path("own.py").write_text(NEGATIVE)
    words = ("own.py:negative", "--weights", "run/weights.safetensors")
    code, _, err = netlet("export", *words, "--to", "page", "--out", "net.html")
    assert code == 0, err
    assert Path("net.html").is_file()


@pytest.mark.parametrize("val", [0, 100])
def test_the_net_that_was_trained_is_exported(netlet: Netlet, train: Train, val: int) -> None:
    run = train(load("mnist").hold_out(val) if val else None)
    net = package.build(lambda: package.nets.find_net("mine.py:Net").builder(k=-1.0), 0)  # type: ignore[call-arg]
    package.nets.weights.load_weights(net, Path("run/weights.safetensors"))
    model = package.export.trace_model(TrainedNet.from_run(run, net))
    found = package.export.export_page(model, "net.html", load("mnist")).verification
    assert found is not None
    assert val or found.pytorch.correct == run.last_epoch.correct
    other = load_trained_net("run", trust=True)
    model = package.export.trace_model(other)
    with pytest.raises(package.errors.ExportError, match="is not the one that was trained"):
        package.export.export_page(model, "other.html", load("mnist"))


@pytest.mark.parametrize(
    ("total", "most"), [(100, 5), (5_999, 5), (6_000, 6), (10_000, 10), (50_000, 50)]
)
def test_another_processor_explains_few_images_or_one_in_a_thousand(total: int, most: int) -> None:
    recorded = Score("test", 80, total)
    for sign in (1, -1):
        assert not is_of_another_net(recorded, Score("test", 80 + sign * most, total))
        assert is_of_another_net(recorded, Score("test", 80 + sign * (most + 1), total))


def test_the_same_images_are_known_in_a_data_set_of_other_training_images(
    blob_data: Dataset,
) -> None:
    def known(recorded: Dataset, data: Dataset) -> bool:
        return is_recorded_split(recorded.describe(), data, data.held_out)

    few, color = blob_data.take(300), blob_data.with_channels(3)
    for recorded in (few, few.with_channels(3), color, blob_data):
        assert known(recorded, blob_data)
        assert known(recorded, color)
    assert known(few, color)
    assert known(color.take(300), color)
    assert not known(color.take(300), blob_data)
    assert known(blob_data.hold_out(50), blob_data.hold_out(50))
    assert not known(few.hold_out(50), blob_data.hold_out(50))
    assert not known(few, blob_data.hold_out(100))
    changed = dataclasses.replace(blob_data.held_out, images=255 - blob_data.held_out.images)
    assert not known(few, dataclasses.replace(blob_data, held_out=changed))
    assert not known(blob_data, dataclasses.replace(blob_data, held_out=changed))
    turned = dataclasses.replace(
        blob_data.held_out, labels=blob_data.held_out.labels[torch.arange(99, -1, -1)]
    )
    assert not known(few, dataclasses.replace(blob_data, held_out=turned))
    names = tuple(reversed(blob_data.class_names))
    assert not known(few, dataclasses.replace(blob_data, class_names=names))


@pytest.mark.parametrize("words", [(), ("--dataset", "mnist")])
def test_report_shows_the_test_images_of_a_run_on_fewer_training_images(
    netlet: Netlet, train: Train, words: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    run = train(load("mnist").take(40))
    assert run.data["name"] == "mnist, 40 training images"
    assert run.mistakes
    code, _, err = netlet("report", "run", "-o", "run.md", *words)
    assert (code, err) == (0, "")
    assert "The images were not available" not in Path("run.md").read_text()
    assert Path("run/mistakes.svg").exists() or Path("run/mistakes.png").exists()
    # A part of fewer training images is not a part of all.
    val = load("mnist").take(300).hold_out(50)
    net = package.build(package.nets.find_net("mine.py:Net").builder, 0)
    package.fit(net, val, FAST, net_name="mine.py:Net", resume="held")
    code, _, err = netlet("report", "held", "-o", "held.md", *words)
    assert code == 0
    assert "mnist is not the data set that Net was scored on; pass that one with --dataset" in err
