"""Runs that one call of ``fit`` begins, continues and reads, by ``resume`` with a folder."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import flat_net
from torch import nn

import netlet
from netlet import records
from netlet.data import Dataset
from netlet.errors import NetError, NetletWarning, TrainingError
from netlet.nets.weights import load_weights, save_weights, weights_digest
from netlet.recipes import Recipe
from netlet.records import Epoch, Run
from netlet.training import Callback, Recorder, fit, load_checkpoint

FAST = Recipe(epochs=2, batch_size=100, peak_lr=0.01, precision="float32", backend="eager")
FLAT = """from torch import nn
class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
NOT_READ = "once this run is finished, it cannot be read back here"


class StopsAfter(Callback):
    def __init__(self, epochs: int = 1) -> None:
        self.epochs = epochs

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        if len(epochs) > self.epochs:
            raise KeyboardInterrupt


@pytest.fixture
def flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """A class in a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("flat.py").write_text(FLAT)
    return netlet.nets.find_net("flat.py:Flat").builder  # type: ignore[return-value]


def interrupt(builder: Any, data: Dataset, recipe: Recipe = FAST, **words: Any) -> None:
    """Train for an epoch, with a checkpoint in the folder ``run``."""
    callbacks = [*words.pop("callbacks", ()), StopsAfter()]
    with pytest.raises(KeyboardInterrupt):
        fit(netlet.build(builder, 0), data, recipe, resume="run", callbacks=callbacks, **words)
    assert len(load_checkpoint(Path("run"))[0].epochs) == 1


def go_on(builder: Any, data: Dataset, recipe: Recipe = FAST, **words: Any) -> Run:
    return fit(netlet.build(builder, 0), data, recipe, resume="run", **words)


def test_a_run_that_is_to_go_on_with_a_lower_rate_is_refused_with_what_to_do(
    few: Dataset, flat: type[nn.Module]
) -> None:
    words = {"net_name": "flat.py:Flat"}
    interrupt(flat, few, FAST.replace(peak_lr=10), **words)
    with pytest.raises(TrainingError) as refused:
        go_on(flat, few, **words)
    assert str(refused.value) == (
        "run: the interrupted training was another one (peak_lr 10.0 there, 0.01 now); "
        "resume it with the arguments that it was started with, name another folder, or remove "
        "this one"
    )
    checkpoint = dataclasses.replace(load_checkpoint(Path("run"))[0], folder=None)
    with pytest.raises(
        TrainingError, match=r"^the interrupted .* started with, or leave resume out"
    ):
        fit(netlet.build(flat, 0), few, FAST, resume=checkpoint, **words)  # type: ignore[arg-type]


def test_a_recipe_that_trains_alike_goes_on_whatever_it_is_called(
    few: Dataset, flat: type[nn.Module]
) -> None:
    words = {"net_name": "flat.py:Flat"}
    interrupt(flat, few, FAST.replace(name="mine"), **words)
    run = go_on(flat, few, **words)
    assert run.resumed_after == (1,)
    assert go_on(flat, few, FAST.replace(name="theirs"), **words) == run


class Counts(Recorder):
    """A recorder with a method of its own."""

    epochs = 0

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        super().on_epoch_end(epochs, net)
        self.epochs += 1


def test_a_recorder_beside_resume_records_the_run(few: Dataset, flat: type[nn.Module]) -> None:
    words: dict[str, Any] = {"net_name": "flat.py:Flat"}
    first, second = Counts("run", {"a": 1}), Counts(Path("run").resolve())
    interrupt(flat, few, callbacks=[first], **words)
    assert (first.epochs, load_checkpoint(Path("run"))[1]) == (2, {"a": 1})
    with pytest.raises(TrainingError, match=r"run: .* another config than .*; leave config out"):
        go_on(flat, few, callbacks=[Recorder("run", {"a": 2})], **words)
    with pytest.raises(KeyboardInterrupt):
        go_on(flat, few, callbacks=[second, StopsAfter()], **words)
    assert (second.epochs, load_checkpoint(Path("run"))[1]) == (1, {"a": 1})
    run = go_on(flat, few, callbacks=[second], **words)  # again
    assert records.load_run("run") == run
    Path("run").rename("other")
    assert go_on(flat, few, callbacks=[second], **words).weights_digest == run.weights_digest
    assert not records.load_run("run").resumed_after


@pytest.mark.parametrize("net_name", ["dash", None, "2k5s3 P 4"])
def test_a_run_of_a_net_that_comes_with_netlet_is_read_without_an_address(
    few: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    net_name: str | None,
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    builder = netlet.nets.find_net(net_name or "dash").builder
    interrupt(builder, few, net_name=net_name)
    run = go_on(builder, few)
    assert run.net == (net_name or "dash")
    again = netlet.build(builder, 0)
    assert fit(again, few, FAST, resume="run", net_name=net_name) == run
    assert weights_digest(again) == run.weights_digest
    assert fit(again, few, FAST, resume="run", net_name=net_name) == run
    assert not [one for one in recwarn if NOT_READ in str(one.message)]
    with pytest.raises(TrainingError, match=rf"to read it here, pass net_name='{run.net}', or"):
        go_on(flat_net, few)
    if net_name is None:
        with pytest.raises(TrainingError, match=r"was another one \(another net\)"):
            go_on(netlet.nets.swift, few)
        again[-1] = nn.Flatten()  # type: ignore[operator]
        with pytest.raises(TrainingError, match="to read it here, pass net_name='dash', or"):
            fit(again, few, FAST, resume="run")


def test_a_run_whose_net_is_not_named_is_said_at_once_not_to_be_read_back(
    few: Dataset, flat: type[nn.Module]
) -> None:
    with pytest.warns(NetletWarning, match=rf"run: {NOT_READ}, .*; pass net_name='FILE:NET'"):
        interrupt(flat, few)
    named = {"net_name": "flat.py:Flat"}
    with pytest.raises(TrainingError, match=r"another one \(no net_name there, one now\)"):
        go_on(flat, few, **named)
    go_on(flat, few)
    for words in ({}, named):
        with pytest.raises(TrainingError, match="to read it here, record it with net_name='FILE:"):
            go_on(flat, few, **words)


def test_a_recorder_alone_warns_once_of_a_net_that_is_not_named(
    few: Dataset, flat: type[nn.Module], recwarn: pytest.WarningsRecorder
) -> None:
    for words in ({}, {"net_name": "Flat"}):
        fit(netlet.build(flat, 0), few, FAST, callbacks=[Recorder("run")], **words)  # type: ignore[arg-type]
        shutil.rmtree("run")
    said = [text for one in recwarn if NOT_READ in (text := str(one.message))]
    reasons = ("it does not name the code of its net", "'Flat' names no file")
    assert said == [f"run: {NOT_READ}, since {why}; pass net_name='FILE:NET'" for why in reasons]


def test_a_finished_run_of_a_named_net_is_read_by_its_name_only(
    few: Dataset, flat: type[nn.Module], recwarn: pytest.WarningsRecorder
) -> None:
    go_on(flat, few, net_name="flat.py:Flat", callbacks=[Recorder("run")])
    assert not [one for one in recwarn if NOT_READ in str(one.message)]
    with pytest.raises(TrainingError, match=r"to read it here, pass net_name='flat\.py:Flat', or"):
        go_on(flat, few)


def test_other_initial_weights_do_not_continue_a_run(few: Dataset, flat: type[nn.Module]) -> None:
    words = {"net_name": "flat.py:Flat"}
    interrupt(flat, few, **words, initial_weights_digest="a" * 64)
    for digest, more in (("b" * 64, {}), ("a" * 64, {"recipe": FAST.replace(peak_lr=1)})):
        refused = "other initial weights" if not more else "peak_lr"
        with pytest.raises(TrainingError, match=rf"was another one \({refused}"):
            go_on(flat, few, **words, **more, initial_weights_digest=digest)
    run = go_on(flat, few, **words, initial_weights_digest="a" * 64)
    assert run.initial_weights_digest == "a" * 64
    with pytest.raises(TrainingError, match=r"was another one \(other initial weights"):
        go_on(flat, few, **words, initial_weights_digest="b" * 64)
    assert go_on(flat, few, **words, initial_weights_digest="a" * 64) == run


def test_a_run_of_a_net_that_netlet_has_not_built_goes_on_and_is_read(
    few: Dataset, flat: type[nn.Module]
) -> None:
    words: Mapping[str, Any] = {"net_name": "flat.py:Flat", "resume": "run"}
    net = flat()
    given = weights_digest(net)
    with pytest.raises(KeyboardInterrupt):
        fit(net, few, FAST, callbacks=[StopsAfter()], **words)
    run = fit(flat(), few, FAST, **words)
    assert (run.initial_weights_digest, run.resumed_after) == (given, (1,))
    again = flat()  # as after a restart of the kernel
    assert fit(again, few, FAST, **words) == run
    assert weights_digest(again) == run.weights_digest
    with pytest.raises(TrainingError, match=r"was another one \(other initial weights"):
        fit(netlet.build(flat, 0), few, FAST, **words)


def test_weights_of_the_seed_are_known_in_a_run_that_began_without_netlet_build(
    few: Dataset, flat: type[nn.Module]
) -> None:
    words: Mapping[str, Any] = {"net_name": "flat.py:Flat", "resume": "run", "seed": 12345}
    torch.manual_seed(12345)
    run = fit(flat(), few, FAST, **words)
    assert run.initial_weights_digest
    assert fit(netlet.build(flat, 12345), few, FAST, **words) == run


def test_a_lazy_net_begins_with_the_weights_of_its_first_images(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lazy.py").write_text(FLAT.replace("Linear(784, 10)", "LazyLinear(10)"))
    builder = netlet.nets.find_net("lazy.py:Flat").builder
    words: Mapping[str, Any] = {"net_name": "lazy.py:Flat", "resume": "run"}
    run = fit(builder(), few, FAST, **words)
    assert run.initial_weights_digest
    assert fit(builder(), few, FAST, **words) == run


def test_an_experiment_records_the_weights_that_it_is_given(few: Dataset) -> None:
    experiment = netlet.find_experiment("dash").replace(recipe=FAST.replace(epochs=1))
    builder = experiment.net.builder
    net = netlet.build(builder, 1)
    given = weights_digest(net)
    assert experiment.run(few, 0, start=net).initial_weights_digest == given
    assert experiment.run(few, 1, start=netlet.build(builder, 1)).initial_weights_digest == ""


MADE = """from functools import partial
from torch import nn
class Net(nn.Sequential):
    def __init__(self, width, classes):
        super().__init__(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, classes))
def make(width):
    return Net(width, 10)
def same(classes, width=9):
    return Net(width, classes)
def nine():
    return make(9)
def wrap(function):
    return lambda: function(9)
@wrap
def wrapped(width):
    return Net(width, 10)
part = partial(make, 9)
"""


def test_a_net_that_its_address_alone_cannot_build_is_refused_before_the_training(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("made.py").write_text(MADE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made", raising=False)
    made = importlib.import_module("made")
    recipe = FAST.replace(epochs=1)
    refused = re.escape(
        "made.py:make: has required arguments (width), so the net cannot be built from its record; "
        "add a function without arguments that returns this net, like def my_net(): return "
        "make(...), and pass net_name='made.py:my_net'"
    )
    for builder, name in ((made.part, "make"), (lambda: made.Net(9, 10), "Net")):
        message = refused.replace("make", name)
        with pytest.raises(NetError, match=message):
            fit(netlet.build(builder, 0), few, recipe, net_name=f"made.py:{name}")
    with pytest.raises(NetError, match=r"made:make: has required arguments \(width\)"):
        fit(netlet.build(made.part, 0), few, recipe, net_name="made:make")
    for builder, name in (
        (made.part, "nine"),
        (made.part, "part"),
        (made.same, "same"),
        (made.wrapped, "wrapped"),
    ):
        net = netlet.build(builder, 0)
        assert fit(net, few, recipe, net_name=f"made.py:{name}").source_digest
        assert netlet.nets.find_net(f"made.py:{name}")
    monkeypatch.delitem(sys.modules, "made")


def test_a_net_keeps_its_weights_if_a_finished_run_is_not_read(
    few: Dataset, flat: type[nn.Module]
) -> None:
    words: Mapping[str, Any] = {"net_name": "flat.py:Flat"}
    go_on(flat, few, **words)
    other, path = netlet.build(flat, 0), Path("run", records.WEIGHTS)
    load_weights(other, path)
    with torch.no_grad():
        other[1].bias[0] += 1e-6  # type: ignore[index, operator, union-attr]
    save_weights(other, path)
    net = netlet.build(flat, 0)
    before = weights_digest(net)
    with pytest.raises(
        TrainingError, match=re.escape(f"{path}: has other weights than the record")
    ):
        fit(net, few, FAST, resume="run", **words)
    assert weights_digest(net) == before
