"""Trainings that go on with the best of several nets with different initial weights."""

from __future__ import annotations

import dataclasses
import gc
import json
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Netlet, make_seed_result, make_study
from torch import nn

import netlet
from netlet.budgets import Budget
from netlet.classroom.own_files import fill_claim
from netlet.classroom.roster import NO_PROBLEMS, Claim
from netlet.data import Dataset, Split
from netlet.errors import NetletWarning, RecipeError, SearchError, TrainingError
from netlet.experiments.search.space_file import load_search
from netlet.nets import find_net
from netlet.nets.weights import load_weights, weights_digest
from netlet.recipes import Recipe, count_epochs, describe_epochs
from netlet.records import Epoch, Run
from netlet.report.study_page import describe_result
from netlet.stats import find_training_differences, measured_points
from netlet.training import Callback, Checkpoint, Plan, Recorder, fit, run_range_test
from netlet.training.rng import RandomStreams
from netlet.training.teacher import teacher_recipe

NET = "2k5s3 P 4"
ONCE = Recipe(
    epochs=2, batch_size=50, peak_lr=0.03, precision="float32", backend="eager", averaging="ema"
)
STARTS = ONCE.replace(random_starts=3, random_start_epochs=1)


class Listens(Callback):
    """Notes the epochs of random starts and of the training, and keeps the checkpoints."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, int, int]] = []
        self.checkpoints: list[Checkpoint] = []

    def on_random_start(self, number: int, count: int, plan: Plan, epochs: Sequence[Epoch]) -> None:
        assert all(epoch.held_out.split == "train" for epoch in epochs)
        self.heard.append((number, count, len(epochs), plan.recipe.total_epochs))

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)


def train(data: Dataset, recipe: Recipe = STARTS, seed: int = 5, **more: Any) -> Run:
    return fit(netlet.build(find_net(NET).builder, seed), data, recipe, seed=seed, **more)


def test_the_training_goes_on_with_the_best_start(few: Dataset) -> None:
    listens = Listens()
    run = train(few, seed=6, callbacks=[listens])
    assert listens.heard == [(start, 3, epoch, 1) for start in (1, 2, 3) for epoch in (0, 1)]
    drawn = RandomStreams(6).draw_seeds(3)
    assert len({6, *drawn}) == 4
    starts = {}
    for seed, training_seed in zip([6, *drawn[1:]], drawn, strict=True):
        net = netlet.build(find_net(NET).builder, seed)
        score = fit(net, few, ONCE.replace(epochs=1), seed=training_seed).train_score
        starts[seed] = (score.correct, net)
    assert len({correct for correct, _ in starts.values()}) == 3
    best = max(starts.values(), key=lambda start: start[0])[1]
    assert best is not starts[6][1]  # else the test would not see that a start is chosen
    wanted = fit(best, few, ONCE, seed=6, initial_weights_digest=weights_digest(best))
    assert run.weights_digest == wanted.weights_digest
    assert run.weights_digest != train(few, ONCE, seed=6).weights_digest


def test_what_is_held_out_has_no_influence(few: Dataset) -> None:
    wanted = train(few)
    labels = (few.held_out.labels + 1) % 10
    other = dataclasses.replace(few, held_out=dataclasses.replace(few.held_out, labels=labels))
    found = train(other)
    assert found.weights_digest == wanted.weights_digest
    assert found.last_epoch.correct != wanted.last_epoch.correct


def test_a_resumed_training_has_its_start_already(few: Dataset) -> None:
    listens, again = Listens(), Listens()
    whole = train(few, callbacks=[listens])
    for checkpoint in listens.checkpoints[:2]:  # before the first epoch, and after it
        resumed = train(few, resume=checkpoint, callbacks=[again])
        assert resumed.weights_digest == whole.weights_digest
    assert again.heard == []


class StopsAtTheStart(Callback):
    """Stops a training after its random starts, before its first checkpoint."""

    def on_start(self, plan: Plan) -> None:
        raise KeyboardInterrupt


def test_a_net_is_as_new_if_it_is_stopped_after_its_random_starts(
    few: Dataset, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    whole, net = train(few), netlet.build(find_net(NET).builder, 5)
    with pytest.raises(KeyboardInterrupt):
        fit(net, few, STARTS, seed=5, callbacks=[StopsAtTheStart()])
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "in the way").touch()
    with pytest.raises(TrainingError, match="already exists"):
        fit(net, few, STARTS, seed=5, callbacks=[Recorder(folder)])
    assert fit(net, few, STARTS, seed=5).weights_digest == whole.weights_digest
    assert not [one for one in recwarn if "begins with" in str(one.message)]


def test_all_epochs_count(few: Dataset, tmp_path: Path) -> None:
    budget = Budget(name="short", epochs_below=5)
    folder = tmp_path / "run"
    run = train(few, budget=budget, callbacks=[Recorder(folder)])
    assert (len(run.epochs), run.cost["epochs"]) == (2, 5)
    assert run.verdict is not None
    (rule,) = [rule for rule in run.verdict.results if rule.title == "epochs"]
    assert (rule.found, rule.state) == ("5", "FAIL")
    assert netlet.load_run(folder).verdict == run.verdict
    net = netlet.build(find_net(NET).builder, 5)
    load_weights(net, folder / "weights.safetensors")
    assert weights_digest(net) == run.weights_digest
    values = json.loads((folder / "run.json").read_text())
    values["cost"]["epochs"] = 2
    (folder / "run.json").write_text(json.dumps(values))
    with pytest.raises(
        netlet.errors.DamagedRecordError, match=r"cost\.epochs is 2, but recipe gives 5"
    ):
        netlet.load_run(folder)


def test_a_submission_states_all_epochs(few: Dataset, tmp_path: Path) -> None:
    train(few, callbacks=[Recorder(tmp_path / "run")])
    claim, problems = fill_claim(Claim(), tmp_path, "run/weights.safetensors")
    assert (claim.epochs, problems) == (5, NO_PROBLEMS)
    (tmp_path / "netlet.toml").write_text(
        'net = "net.py:Net"\nepochs = 2\nsettings = { random_starts = 4 }\n'
    )
    claim, problems = fill_claim(Claim(), tmp_path, None)
    assert (claim.epochs, problems) == (10, NO_PROBLEMS)


@pytest.mark.parametrize(
    ("changes", "total", "words"),
    [
        ({"epochs": 15}, 15, "15 epochs"),
        ({"epochs": 1, "random_start_epochs": 9}, 1, "1 epoch"),
        (
            {"epochs": 10, "random_starts": 8},
            90,
            "10 epochs after 8 random starts of 10 epochs each",
        ),
        (
            {"epochs": 10, "random_starts": 2, "random_start_epochs": 1},
            12,
            "10 epochs after 2 random starts of 1 epoch each",
        ),
    ],
)
def test_the_epochs_of_a_recipe(changes: dict[str, Any], total: int, words: str) -> None:
    recipe = Recipe(**changes)
    assert recipe.total_epochs == count_epochs(recipe.to_dict()) == total
    assert describe_epochs(recipe.to_dict()) == words


def test_reports_say_how_many_random_starts_there_were() -> None:
    study = make_study(make_seed_result(0, 990), make_seed_result(1, 991))
    starts = dataclasses.replace(
        study,
        recipe=dict(study.recipe) | {"random_starts": 4},
        cost={**study.cost, "epochs": 5 * study.epochs},
    )
    n = study.epochs
    assert f"trained for {n} epochs after 4 random starts of {n} epochs" in describe_result(starts)
    differences = find_training_differences(study, starts)
    assert [str(one) for one in differences] == ["random_starts 1 / 4"]
    (point,) = measured_points([starts])
    assert point.epochs == str(5 * n)


def test_nets_that_cannot_be_built_again(few: Dataset) -> None:
    with (
        pytest.warns(NetletWarning, match="not those of netlet.build"),
        pytest.raises(RecipeError, match=r"pass what netlet\.build\(Net, seed=0\) returns"),
    ):
        fit(find_net(NET).builder(), few, STARTS)
    net = find_net(NET).builder()
    with pytest.raises(RecipeError, match="netlet must build the net, without weights of yours"):
        fit(netlet.build(lambda: net, 0), few, STARTS)
    layers = [nn.Linear(784, 10)]  # which each net shares
    with pytest.raises(RecipeError, match="without what was changed after it had been built"):
        fit(netlet.build(lambda: nn.Sequential(nn.Flatten(), *layers), 0), few, STARTS)


def set_weights(net: nn.Module) -> None:
    next(net.parameters()).data.mul_(2)  # which PyTorch does not count as a change


def freeze(net: nn.Module) -> None:
    next(net.parameters()).requires_grad_(False)


def drop_less(net: nn.Module) -> None:
    net.drop.p = 0.1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_weights, "netlet must build the net, without weights of yours"),
        (freeze, "without what was changed after it had been built"),
        (drop_less, "without what was changed after it had been built"),
    ],
)
def test_nets_that_were_changed_after_they_had_been_built(
    few: Dataset, change: Callable[[nn.Module], None], reason: str
) -> None:
    net = netlet.build(Pad, 0)
    change(net)
    before = weights_digest(net)
    with pytest.raises(RecipeError, match=reason):
        fit(net, few, STARTS)
    assert weights_digest(net) == before


def test_a_built_net_is_freed() -> None:
    class Holds:
        def make(self) -> nn.Module:
            return Pad()

    holder = Holds()
    holder.net = netlet.build(holder.make, 0)  # type: ignore[attr-defined]
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None


def test_a_teacher_of_the_starts_is_heard_of(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("teacher", "teacher_logits"):
        monkeypatch.setattr(f"netlet.training.{module}.cache_folder", lambda: tmp_path)
    heard = []

    class Hears(Callback):
        def on_teacher(self, plan: Plan, epochs: Sequence[Epoch]) -> None:
            heard.append(len(epochs))

    train(few, STARTS.replace(teacher="3k5s3 P 6", teacher_epochs=1), callbacks=[Hears()])
    assert heard == [0, 1]  # trained once


def test_callbacks_hear_of_the_end_of_starts_that_fail(few: Dataset) -> None:
    ended = []

    class Hears(Callback):
        def on_end(self) -> None:
            ended.append(True)

    with pytest.raises(TrainingError):
        train(
            few,
            STARTS.replace(peak_lr=1_000.0, optimizer="sgd", averaging="none"),
            progress=True,
            callbacks=[Hears()],
        )
    assert ended == [True]


def test_a_start_that_fails_is_named(few: Dataset) -> None:
    with pytest.raises(TrainingError, match="random start 1 of 3: the loss is"):
        train(few, STARTS.replace(peak_lr=1_000.0, optimizer="sgd", averaging="none"))


class Pad(nn.Module):
    """Has initial weights that no layer resets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 784) / 28)
        self.bias = nn.Parameter(torch.zeros(10))
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.drop(x.flatten(1)), self.weight, self.bias)


def test_own_nets_have_random_starts(few: Dataset) -> None:
    listens = Listens()
    fit(netlet.build(Pad, 0), few, STARTS.replace(random_starts=2), callbacks=[listens])
    assert [heard[:3] for heard in listens.heard] == [(1, 2, 0), (1, 2, 1), (2, 2, 0), (2, 2, 1)]


class WithConstant(nn.Module):
    """Has a tensor that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.scale = nn.Linear(784, 10), torch.full((784,), 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1) * self.scale)


def test_a_net_with_random_starts_is_warned_of_once(few: Dataset) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(netlet.build(WithConstant, 0), few, STARTS.replace(random_starts=2))
    assert [str(one.message).partition(":")[0] for one in caught] == ["scale"]
    assert caught[0].filename == __file__


def test_teachers_and_range_tests_have_none(few: Dataset) -> None:
    own = teacher_recipe(STARTS.replace(teacher="3 P 6"))
    assert (own.random_starts, own.random_start_epochs) == (1, 0)
    net = netlet.build(find_net(NET).builder, 0)
    found = run_range_test(net, few, STARTS.replace(batch_size=5))
    assert len(found.losses) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_starts": 0}, "random_starts=0 is out of range"),
        ({"random_starts": 1_001}, "random_starts=1001 is out of range"),
        ({"random_start_epochs": -1}, "random_start_epochs=-1 is out of range"),
    ],
)
def test_recipes_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ONCE.replace(**changes)


def test_a_comparison_counts_the_epochs_of_random_starts(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    text = """
budget = {{ epochs_at_most = 20 }}
recipe = "quick"
epochs = 4
[[arm]]
name = "a"
net = "4 P 6"
set = {{ random_starts = {} }}
[[arm]]
name = "b"
net = "4 P 6"
"""
    file.write_text(text.format(4))
    load_search(file)
    file.write_text(text.format(5))
    with pytest.raises(SearchError, match="together with its 5 random starts, the training has 24"):
        load_search(file)


def test_a_space_counts_the_most_epochs_that_it_allows(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    text = """
budget = {{ epochs_at_most = 20 }}
recipe = "quick"
epochs = 4
nets = ["4 P 6"]
[vary]
random_starts = [1, {}]
random_start_epochs = [0, 2]
"""
    file.write_text(text.format(4))
    load_search(file)
    file.write_text(text.format(5))
    with pytest.raises(SearchError, match="together with its 5 random starts, the training has 24"):
        load_search(file)


def test_the_command_line_shows_the_starts(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    code, out, err = netlet(
        *("train", NET, "--out", str(tmp_path / "run"), "--recipe", "quick", "--epochs", "1"),
        *("--set", "random_starts=2", "--set", "backend=eager"),
    )
    assert code == 1, err  # one epoch is too short for the budget's accuracy
    shown = out + err
    assert "1 epoch after 2 random starts of 1 epoch each of" in shown
    assert "training 2 random starts of 2k5s3 P 4: 1 epoch each" in shown
    assert shown.index("random start 1/2, epoch 1/1") < shown.index("random start 2/2, epoch 1/1")


def test_callbacks_hear_of_the_end_if_the_net_cannot_be_moved(
    few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    class Hears(Callback):
        def on_end(self) -> None:
            ended.append(True)

    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Split, "to", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        train(few, STARTS, callbacks=[Hears()])
    assert ended == [True]
