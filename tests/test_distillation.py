"""Nets that are trained on the logits of a teacher."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from helpers import Inline, few_fast, make_seed_result, make_study
from torch import nn
from torch.nn import functional as F

import netlet
from netlet import stats
from netlet.backends import SoftTarget, flatten_parameters
from netlet.backends.eager import EagerBackend
from netlet.backends.loss import batch_loss
from netlet.budgets import Budget
from netlet.catalog import find_recipe
from netlet.data import Dataset, iterate_epoch
from netlet.errors import DamagedRecordError, RecipeError, SearchError, TrainingError
from netlet.experiments.search.repeat import repeat_trial
from netlet.experiments.search.space_file import load_search
from netlet.experiments.search.trials import read_results
from netlet.nets import find_net
from netlet.nets.copying import copy_net
from netlet.nets.weights import weights_digest
from netlet.recipes import Recipe, Warp
from netlet.records import Epoch, Run
from netlet.report.study_page import describe_result
from netlet.stats import measured_points
from netlet.training import Callback, Checkpoint, Plan, fit, run_range_test
from netlet.training.bounded_folder import make_room
from netlet.training.rng import RandomStreams
from netlet.training.state import start_training
from netlet.training.step_backend import select_step_backend
from netlet.training.teacher import Teacher, prepare_teacher, teacher_recipe
from netlet.training.teacher_logits import TeacherLogits
from netlet.training.train_net import iterate_fit

ROOT = Path(__file__).parent.parent
TEACHER = "3k5s3 P 6"
STUDENT = "2k5s3 P 4"
PLAIN = Recipe(
    epochs=2,
    batch_size=100,
    peak_lr=0.02,
    augment=(Warp(shift_px=2),),
    precision="float32",
    backend="eager",
    averaging="ema",
)
TAUGHT = PLAIN.replace(
    teacher=TEACHER, teacher_epochs=1, distill_weight=0.7, distill_temperature=2.0
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    for module in ("teacher", "teacher_logits"):
        monkeypatch.setattr(f"netlet.training.{module}.cache_folder", lambda: folder)
    return folder


class Listens(Callback):
    """Notes how many epochs of a teacher were trained, and keeps the checkpoints."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.checkpoints: list[Checkpoint] = []

    def on_teacher(self, plan: Plan, epochs: Sequence[Epoch]) -> None:
        assert plan.name == TEACHER
        self.heard.append(len(epochs))

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)


def train(data: Dataset, recipe: Recipe = TAUGHT, seed: int = 0, **more: Any) -> Run:
    return fit(netlet.build(find_net(STUDENT).builder, seed), data, recipe, seed=seed, **more)


# --- the loss


def test_the_loss_is_a_mixture_of_labels_and_teacher() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, teacher = (3 * torch.randn(6, 10, generator=generator) for _ in range(2))
    labels = torch.arange(6)
    p, q = (logits / 2.5).softmax(1), (teacher / 2.5).softmax(1)
    divergence = (q * (q / p).log()).sum(1).mean()
    hard = F.cross_entropy(logits, labels, label_smoothing=0.1)
    found = batch_loss(logits, labels, 0.1, SoftTarget(teacher, 0.3, 2.5))
    torch.testing.assert_close(found, 0.7 * hard + 0.3 * 2.5**2 * divergence)
    logits.requires_grad_()
    soft = batch_loss(logits, labels, 0.1, SoftTarget(teacher, 1.0, 2.5))
    (gradient,) = torch.autograd.grad(soft, logits)
    torch.testing.assert_close(gradient, 2.5 * (p - q) / 6)
    assert batch_loss(logits, labels, 0.1) == hard


@pytest.mark.slow
@pytest.mark.parametrize("train_as", ["net", "widened", "expanded"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_compiled_step_has_the_gradients_of_the_eager_one(
    blob_data: Dataset, train_as: str, precision: str
) -> None:
    from netlet.training.training_form import make_training_form

    if precision == "bf16" and not getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        pytest.skip("this processor does not compute in bfloat16")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(60, 1, 28, 28, generator=generator)
    labels = torch.arange(60) % 10
    soft = SoftTarget(2 * torch.randn(60, 10, generator=generator), 0.6, 3.0)
    found = []
    for backend in ("eager", "compiled"):
        recipe = TAUGHT.replace(backend=backend, train_as=train_as, label_smoothing=0.1)
        net = netlet.build(find_net("4k5s2 P 6 d8").builder, 0)
        form = make_training_form(net, (1, 28, 28), recipe, torch.Generator().manual_seed(0))
        random = RandomStreams(0)
        random.start_epoch(1)
        with (
            start_training(form.trained.train(), recipe, 1) as state,
            select_step_backend(state, blob_data, recipe, precision, random) as step,
        ):
            assert step.name == backend
            step.compute_gradients(images, labels, soft)
            losses, _ = step.read_losses()
            found.append((losses[0], state.parameters.groups[0].gradient.clone()))
    (loss, gradient), (compiled_loss, compiled) = found
    limit = 1e-3 if precision == "float32" else 0.1
    assert compiled_loss == pytest.approx(loss, rel=limit)
    assert (compiled - gradient).norm() < 2 * limit * gradient.norm()


# --- the teacher


def prepare(data: Dataset, recipe: Recipe = TAUGHT, *callbacks: Callback) -> Teacher:
    return prepare_teacher(data, recipe, torch.device("cpu"), callbacks)


def test_a_teacher_sees_the_training_images_only(
    few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(net: nn.Module, data: Dataset, *rest: Any, **more: Any) -> Any:
        seen.append(data)
        return iterate_fit(net, data, *rest, **more)

    monkeypatch.setattr("netlet.training.train_net.iterate_fit", spy)
    folds = [few.hold_out_fold(fold, 2) for fold in (0, 1)]
    found = [prepare(fold) for fold in folds]
    for fold, data in zip(folds, seen, strict=True):
        assert data.before_hold_out is None
        assert torch.equal(data.train.images, fold.train.images)
        assert torch.equal(data.held_out.images, fold.train.images[: len(data.held_out)])
    assert found[0].digest != found[1].digest
    # What is held out has no influence.
    other = dataclasses.replace(folds[0], held_out=few.held_out)
    assert prepare(other).digest == found[0].digest
    assert len(seen) == 2


def test_a_teacher_is_kept_and_trained_again_if_it_is_damaged(few: Dataset, cache: Path) -> None:
    listens = Listens()
    first = prepare(few, TAUGHT, listens)
    assert listens.heard == [0, 1]
    assert first.values["epochs"] == 1
    assert first.values["parameters"] == sum(p.numel() for p in first.net.parameters())
    assert not first.net.training
    # Its own settings decide, not those of the student.
    again = prepare(few, TAUGHT.replace(distill_weight=0.1, train_as="widened"), listens)
    assert listens.heard == [0, 1]
    assert (again.values, again.digest) == (first.values, first.digest)
    (weights,) = cache.glob("teachers/*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    repaired = prepare(few, TAUGHT, listens)
    assert listens.heard == [0, 1, 0, 1]
    assert repaired.digest == first.digest
    assert weights_digest(prepare(few, TAUGHT, listens).net) == first.digest
    assert listens.heard == [0, 1, 0, 1]


def test_the_recipe_of_a_teacher() -> None:
    own = teacher_recipe(TAUGHT.replace(train_as="widened", epochs=9, teacher_epochs=0))
    assert own == PLAIN.replace(name="teacher", epochs=9)
    named = teacher_recipe(TAUGHT.replace(teacher_recipe="quick", teacher_epochs=0, mean=0.5))
    assert (named.epochs, named.batch_size, named.mean) == (5, 128, 0.5)
    assert named.backend == "eager"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "crset"}, "teacher=crset: no such net; did you mean 'crest'"),
        ({"teacher": "mine.py:Net"}, "teacher=mine.py:Net: a recipe runs no code of yours; name"),
        ({"teacher": "3 P 4x"}, "teacher=3 P 4x: '4x' in '3 P 4x' is not a layer"),
        ({"teacher_recipe": "slow"}, "teacher_recipe: no recipe 'slow'; "),
    ],
)
def test_teachers_that_are_refused(few: Dataset, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        train(few, TAUGHT.replace(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_teacher_whose_training_fails_is_named_and_the_callbacks_end(few: Dataset) -> None:
    ended: list[str] = []

    class Ends(Callback):
        def on_end(self) -> None:
            ended.append("end")

    net = netlet.build(find_net("3 P 4").builder, 0)
    recipe = TAUGHT.replace(teacher_recipe="wild", teacher_epochs=1)
    wild = PLAIN.replace(name="wild", peak_lr=1000.0, momentum=0.9, backend="eager")
    with (
        mock.patch("netlet.training.teacher.find_recipe", return_value=wild),
        pytest.raises(TrainingError, match=rf"^teacher {TEACHER}: the loss is "),
    ):
        fit(net, few, recipe, callbacks=[Ends()])
    assert ended == ["end"]


# --- its logits


class Twice(nn.Module):
    """Counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.weight = nn.Parameter(torch.arange(10.0)[:, None].expand(10, 4).contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return F.linear(F.adaptive_avg_pool2d(x, 2).flatten(1), self.weight)


def read_epoch(
    data: Dataset, net: nn.Module, recipe: Recipe, seed: int, epoch: int
) -> list[tuple[torch.Tensor, SoftTarget]]:
    """Return the batches of an epoch as a student sees them, and what the teacher says."""
    values: Any = {"net": TEACHER, "epochs": 1, "parameters": 40}
    teacher = Teacher(net, values, "0" * 64, data.train.sha256())
    with flatten_parameters(copy_net(net)) as parameters:
        backend = EagerBackend(net, parameters, recipe, "float32")
    logits = TeacherLogits(teacher, data.train, recipe, seed, backend, "eager")
    random = RandomStreams(seed)
    random.start_epoch(epoch)
    logits.start_epoch(epoch)
    batches = iterate_epoch(data.train, recipe, random.data)
    return [(images, logits.read(images)) for images, _ in batches]


def test_logits_are_those_of_the_same_views(few: Dataset, cache: Path) -> None:
    net = Twice()
    first = read_epoch(few, net, TAUGHT, 0, 1)
    assert net.runs == 3
    for images, soft in first:
        wanted = net(images)
        wanted -= wanted.mean(1, keepdim=True)
        torch.testing.assert_close(soft.logits, wanted, rtol=2e-3, atol=2e-3)
        assert soft[1:] == (0.7, 2.0)
    net.runs = 0
    (file,) = cache.glob("teacher_logits/*/1.npy")
    assert file.stat().st_size < 250 * 10 * 2 + 1_000
    again = read_epoch(few, net, TAUGHT.replace(distill_weight=1.0), 0, 1)
    assert net.runs == 1  # of the first batch, which is compared
    for (_, a), (_, b) in zip(first, again, strict=True):
        assert torch.equal(a.logits, b.logits)


@pytest.mark.parametrize("damage", few_fast(["other", "short", "type", "text"], 1))
def test_logits_that_are_not_those_of_now_are_computed_anew(
    few: Dataset, cache: Path, damage: str
) -> None:
    import numpy as np

    first = read_epoch(few, Twice(), TAUGHT, 0, 1)
    (file,) = cache.glob("teacher_logits/*/1.npy")
    whole, content = np.load(file), file.read_bytes()
    if damage == "text":
        file.write_bytes(b"logits")
    else:
        changed = {
            "other": whole + whole.dtype.type(1),
            "short": whole[:-1],
            "type": whole.astype("f4"),
        }
        np.save(file, changed[damage])
    again = read_epoch(few, Twice(), TAUGHT, 0, 1)
    for (_, a), (_, b) in zip(first, again, strict=True):
        assert torch.equal(a.logits, b.logits)
    assert file.read_bytes() == content  # repaired


def test_other_views_have_other_logits(few: Dataset, cache: Path) -> None:
    for recipe, seed in ((TAUGHT, 0), (TAUGHT, 1), (TAUGHT.replace(augment=()), 0)):
        read_epoch(few, Twice(), recipe, seed, 1)
        read_epoch(few, Twice(), recipe, seed, 2)
    assert len(list(cache.glob("teacher_logits/*/*.npy"))) == 6
    assert len(list(cache.glob("teacher_logits/*"))) == 3


def test_only_so_many_bytes_are_kept(tmp_path: Path) -> None:
    import os

    for number, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_bytes(bytes(100))
        os.utime(tmp_path / name, (number, number))
    make_room(tmp_path, 200, keep=tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d"]
    make_room(tmp_path, 0, keep=tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.slow
def test_a_full_disk_changes_nothing(
    few: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    whole = train(few)
    for place in cache.rglob("*"):
        if place.is_file():
            place.unlink()
    monkeypatch.setattr("netlet.training.teacher.write_atomic", fail)
    monkeypatch.setattr("netlet.training.teacher_logits.write_atomic", fail)
    assert train(few).weights_digest == whole.weights_digest


# --- training


def test_a_run_states_its_teacher(few: Dataset) -> None:
    budget = Budget(name="b", about="", params_below=10_000)
    run = train(few, budget=budget)
    teacher = run.cost["teacher"]
    assert (teacher["net"], teacher["epochs"]) == (TEACHER, 1)
    assert len(run.environment["teacher"]) == 64
    assert run.cost["parameters"] < teacher["parameters"]
    assert run.verdict is not None
    (line,) = [rule for rule in run.verdict.results if rule.rule == "teacher"]
    assert line.found == f"{TEACHER}: {teacher['parameters']:,} parameters, 1 epoch"
    assert (line.limit, line.state) == ("not counted", "PASS")
    assert run.recipe["teacher"] == TEACHER
    assert Run.from_json(run.to_json()) == run
    record = json.loads(run.to_json())
    del record["cost"]["teacher"]
    with pytest.raises(DamagedRecordError, match=r"cost\.teacher and recipe\.teacher do not"):
        Run.from_json(json.dumps(record))
    plain = train(few, PLAIN, budget=budget)
    assert "teacher" not in plain.to_json()
    assert plain.weights_digest != run.weights_digest


def test_a_taught_run_is_the_same_with_a_teacher_that_was_kept(few: Dataset, cache: Path) -> None:
    listens = Listens()
    whole = train(few, callbacks=[listens])
    assert listens.heard == [0, 1]
    kept = train(few)
    resumed = train(few, seed=0, resume=listens.checkpoints[1])
    for path in sorted(cache.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    anew = train(few, resume=listens.checkpoints[1])
    for run in (kept, resumed, anew):
        assert run.weights_digest == whole.weights_digest
        assert run.confusion == whole.confusion
        assert [e.train_loss for e in run.epochs] == [e.train_loss for e in whole.epochs]
    assert train(few, TAUGHT.replace(distill_weight=0.2)).weights_digest != whole.weights_digest


def test_a_run_does_not_go_on_with_another_teacher(few: Dataset) -> None:
    listens = Listens()
    train(few, callbacks=[listens])
    checkpoint = listens.checkpoints[1]
    (stretch,) = checkpoint.stretches
    other: Any = {**stretch.environment, "teacher": "0" * 64}
    changed = dataclasses.replace(
        checkpoint, stretches=(dataclasses.replace(stretch, environment=other),)
    )
    with pytest.raises(TrainingError, match="has other weights than the one that this run started"):
        train(few, resume=changed)


@pytest.mark.slow
def test_a_range_test_needs_no_teacher(few: Dataset, cache: Path) -> None:
    net = netlet.build(find_net(STUDENT).builder, 0)
    found = run_range_test(net, few, TAUGHT.replace(batch_size=10))
    assert found.losses == run_range_test(net, few, PLAIN.replace(batch_size=10)).losses
    assert not cache.exists()


@pytest.mark.slow
@pytest.mark.parametrize("train_as", ["net", "widened"])
def test_taught_nets_train_compiled_and_resume(blob_data: Dataset, train_as: str) -> None:
    recipe = TAUGHT.replace(backend="compiled", train_as=train_as, epochs=4)
    listens = Listens()
    whole = train(blob_data, recipe, callbacks=[listens])
    assert whole.backend == "compiled"
    assert whole.epochs[-1].train_loss < whole.epochs[0].train_loss
    assert train(blob_data, recipe, resume=listens.checkpoints[2]).weights_digest == (
        whole.weights_digest
    )


# --- reports and searches


def taught_study() -> Any:
    study = make_study(make_seed_result(0, 990), name="a")
    teacher = {"net": "crest", "epochs": 19, "parameters": 19_916}
    recipe = {**study.recipe, "teacher": "crest", "distill_weight": 0.5}
    cost: Any = {**study.cost, "teacher": teacher}
    return dataclasses.replace(study, recipe=recipe, cost=cost)


def test_a_study_with_a_teacher_says_so_and_is_on_no_frontier() -> None:
    plain, study = make_study(make_seed_result(0, 990), name="a"), taught_study()
    assert "(taught by crest: 19,916 parameters, 19 epochs)" in describe_result(study)
    assert "taught" not in describe_result(plain)
    note = stats.compare(plain, study).training_note
    assert note.endswith("): teacher none / crest")
    named = dataclasses.replace(plain, data={**plain.data, "name": "mnist"}, split="test")
    taught = dataclasses.replace(study, data=named.data, split="test")
    assert len(measured_points([named])) == 1
    assert measured_points([taught]) == []


ARMS = f"""\
recipe = "quick"
epochs = 1
folds = 3
runs = [2]

[[arm]]
name = "plain"
net = "{STUDENT}"
set = {{ backend = "eager", batch_size = 50 }}

[[arm]]
name = "taught"
net = "{STUDENT}"
set = {{ backend = "eager", batch_size = 50, teacher = "{TEACHER}", distill_weight = 0.5 }}
"""


def test_an_arm_with_a_teacher_is_refused_where_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(ARMS.replace(TEACHER, "crset"))
    with pytest.raises(SearchError, match=r"arms\.toml, line 14: teacher=crset: no such net"):
        load_search(file)


def test_the_arms_in_the_guide_can_be_read(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "searching.md").read_text().partition("Arms can also try")[2]
    arms = guide.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "arms.toml").write_text(arms)
    widened, taught = load_search(tmp_path / "arms.toml").arms  # type: ignore[union-attr]
    assert widened.changes["train_as"] == "widened"
    own = teacher_recipe(Recipe().replace(**taught.changes))
    assert own.replace(name="frontier_19") == find_recipe("frontier_19").for_net(in_catalog=True)


@pytest.mark.slow
def test_an_arm_with_a_teacher_can_be_repeated(blobs_for_mnist: Path, tmp_path: Path) -> None:
    from netlet.experiments.search.run import run_search

    (tmp_path / "arms.toml").write_text(ARMS)
    comparison = load_search(tmp_path / "arms.toml")
    path = tmp_path / "arms.jsonl"
    result = run_search(comparison, path, 4, 1, executor=Inline())
    lines = read_results(path)
    taught = [number for number, line in enumerate(lines, 1) if line["arm"] == "taught"]
    assert len(taught) == 2
    digests = {lines[number - 1]["environment"]["teacher"] for number in taught}
    assert len(digests) == 2  # one teacher for each fold
    assert [arm.teacher for arm in result.arms] == ["", f"{TEACHER}: 315 parameters, 1 epoch"]
    for number in taught:
        assert repeat_trial(path, number).identical
