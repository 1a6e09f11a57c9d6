"""Options of a recipe that change how the last epochs train and which statistics are scored."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import few_fast, make_seed_result, make_study
from torch import nn

import netlet
from netlet.backends import select_augmentation
from netlet.data import Dataset, iterate_epoch
from netlet.data.augment import draw_augmentation
from netlet.data.batches import normalize
from netlet.evaluation import evaluate
from netlet.experiments.search.comparison import Comparison
from netlet.experiments.search.recipe_fields import change_recipe
from netlet.experiments.search.space import Space
from netlet.experiments.search.space_file import load_search
from netlet.experiments.search.train_command import train_command
from netlet.nets.blocks import conv_bn, stack_layers
from netlet.recipes import QUICK, Recipe, Warp, complete_recipe, recipe_from_json
from netlet.records import Run, to_json_value
from netlet.report import command_for
from netlet.training import Callback, Checkpoint, fit
from netlet.training.norm_statistics import BatchNormUpdate
from netlet.training.rng import RandomStreams
from netlet.training.schedules import augmentation_strengths

WARPS = (
    Warp(rotate_deg=20, shift_px=2, scale=0.2, shear_deg=9, interpolation="nearest", fill=3),
    Warp(rotate_deg=9, elastic_px=0.8, elastic_points=4),
)
FAST = Recipe(
    epochs=2,
    batch_size=100,
    peak_lr=0.02,
    augment=(Warp(shift_px=2, rotate_deg=10),),
    averaging="ema",
    ema_decay=0.5,
    precision="float32",
    backend="eager",
)
# A value of each option that is not its default.
CHANGED: dict[str, Any] = {
    "augment_end": 0.2,
    "augment_ramp_share": 0.5,
    "norm_statistics": "plain",
    "train_as": "expanded",
    "expand_factor": 3,
    "widen_factor": 3,
    "widened_weight": 0.5,
    "teacher": "crest",
    "teacher_recipe": "quick",
    "teacher_epochs": 3,
    "distill_weight": 0.25,
    "distill_temperature": 2.0,
}
TRAINED_DIFFERENTLY: list[dict[str, Any]] = [
    {"augment_end": 0.1, "norm_statistics": "augmented"},
    {"train_as": "widened", "widen_factor": 3},
    {"augment_end": 0.0},
    {"augment_end": 0.5, "augment_ramp_share": 1.0},
    {"norm_statistics": "augmented"},
    {"norm_statistics": "plain"},
    {"train_as": "branches"},
    {"train_as": "expanded", "norm_statistics": "augmented"},
    {"train_as": "expanded", "expand_factor": 3},
    {"train_as": "widened", "widen_factor": 4, "widened_weight": 0.5},
]


def small() -> nn.Module:
    return stack_layers(
        conv1=conv_bn(1, 4, kernel=5),
        pool=nn.MaxPool2d(4),
        drop=nn.Dropout(0.3),
        conv2=conv_bn(4, 6),
        flat=nn.Flatten(),
        head=nn.Linear(6 * 16, 10),
    )


def train(data: Dataset, recipe: Recipe, seed: int = 0, **more: Any) -> tuple[Run, nn.Module]:
    net = netlet.build(small, seed)
    return fit(net, data, recipe, seed=seed, **more), net


class KeepsCheckpoints(Callback):
    def __init__(self) -> None:
        self.all: list[Checkpoint] = []

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.all.append(checkpoint)


# --- as fields of a recipe


def test_records_of_recipes_without_the_options_do_not_change() -> None:
    stored = to_json_value(QUICK)
    assert not CHANGED.keys() & stored.keys()
    assert to_json_value(recipe_from_json(stored)) == stored
    assert CHANGED.keys() <= complete_recipe(stored).keys()
    default = {name: complete_recipe(stored)[name] for name in CHANGED}
    assert to_json_value(QUICK.replace(**default)) == stored


@pytest.mark.parametrize("name", CHANGED)
def test_an_option_that_is_used_is_recorded(name: str) -> None:
    recipe = QUICK.replace(**{name: CHANGED[name]})
    stored = to_json_value(recipe)
    assert stored == to_json_value(QUICK) | {name: CHANGED[name]}
    assert recipe_from_json(json.loads(json.dumps(stored))) == recipe


def test_a_search_can_set_an_option_back_to_its_default() -> None:
    start = QUICK.replace(**CHANGED)
    default = {name: complete_recipe({"augment": []})[name] for name in CHANGED}
    changes = change_recipe(start, default)
    assert changes == default
    assert recipe_from_json(to_json_value(start) | changes) == QUICK
    assert change_recipe(QUICK, CHANGED) == CHANGED


def test_options_can_be_varied_and_set_for_an_arm(tmp_path: Path) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in CHANGED.items()]
    space, arms = tmp_path / "space.toml", tmp_path / "arms.toml"
    space.write_text('nets = ["4 P 8"]\nepochs = 4\n[vary]\n' + "\n".join(lines))
    arms.write_text(
        'epochs = 2\n[[arm]]\nname = "a"\nnet = "4 P 8"\n[[arm]]\nname = "b"\nnet = "4 P 8"\n'
        f"set = {{ {', '.join(lines)} }}"
    )
    found, compared = load_search(space), load_search(arms)
    assert isinstance(found, Space)
    assert [field.name for field in found.fields] == list(CHANGED)
    assert isinstance(compared, Comparison)
    assert compared.arms[1].changes == CHANGED
    line = {"net": "4 P 8", "recipe": "steady", "changes": CHANGED}
    assert train_command(line) == (
        "netlet train '4 P 8' --recipe steady --set augment_end=0.2 --set augment_ramp_share=0.5 "
        "--set norm_statistics=plain --set train_as=expanded --set expand_factor=3 "
        "--set widen_factor=3 --set widened_weight=0.5 --set teacher=crest "
        "--set teacher_recipe=quick --set teacher_epochs=3 --set distill_weight=0.25 "
        "--set distill_temperature=2.0"
    )


def test_the_command_of_a_study_names_the_options() -> None:
    plain = make_study(make_seed_result(0, 990), net="8 P 8", name="8 P 8", budget=None)
    study = dataclasses.replace(plain, recipe={**plain.recipe, **CHANGED})
    command = command_for(study)
    assert command is not None
    for name, value in CHANGED.items():
        assert f"--set {name}={value}" in command


# --- a weaker augmentation at the end


def test_the_strength_falls_linearly_over_the_last_steps() -> None:
    recipe = Recipe(epochs=3, augment_end=0.2, augment_ramp_share=0.5)
    strengths = [augmentation_strengths(recipe, epoch, 7) for epoch in (1, 2, 3)]
    assert [len(one) for one in strengths] == [7, 7, 7]
    by_step = list(itertools.chain(*strengths))
    assert by_step[:11] == [1.0] * 11  # half of the way to the last step
    assert by_step[10:] == pytest.approx([1 - 0.08 * k for k in range(11)])
    whole = augmentation_strengths(recipe.replace(augment_ramp_share=1, epochs=1), 1, 5)
    assert whole == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert augmentation_strengths(Recipe(epochs=3), 3, 7) == []


def test_strengths_scale_what_is_drawn_and_draw_the_same() -> None:
    def draw(strengths: torch.Tensor | None) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        drawn = draw_augmentation(WARPS, 4, generator, strengths)
        return [tensor for one in drawn for tensor in (one.maps, one.points)]

    full = draw(None)
    assert all(map(torch.equal, full, draw(torch.ones(4, dtype=torch.float64))))
    maps, _, affine, points = draw(torch.tensor([0.0, 0.5, 1.0, 0.0], dtype=torch.float64))
    for found in (maps[0], maps[3], affine[0]):
        torch.testing.assert_close(found, torch.eye(2, 3, dtype=torch.float64))
    assert torch.equal(maps[2], full[0][2])
    assert torch.equal(points, full[3] * torch.tensor([0.0, 0.5, 1.0, 0.0]).view(4, 1, 1, 1))
    turns = [torch.atan2(one[1, 0, 1], one[1, 1, 1]).item() for one in (affine, full[2])]
    assert turns[0] == pytest.approx(turns[1] / 2)


@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_each_batch_has_its_strength(blob_data: Dataset, backend: str) -> None:
    recipe = Recipe(batch_size=150, augment=WARPS, backend=backend)  # type: ignore[arg-type]
    prepare = select_augmentation(blob_data.train, recipe)

    def batches(augment: Sequence[Warp], *strengths: float) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        used = prepare if augment else None
        epoch = iterate_epoch(
            blob_data.train, recipe.replace(augment=augment), generator, used, strengths
        )
        return [images for images, _ in epoch]

    full, plain, found = batches(WARPS), batches(()), batches(WARPS, 1.0, 1.0, 0.3, 0.0)
    assert [torch.equal(a, b) for a, b in zip(full, found, strict=True)] == [True] * 2 + [False] * 2
    torch.testing.assert_close(found[3], plain[3], rtol=0, atol=2e-2)
    moved = [float((one[2] - plain[2]).abs().mean()) for one in (full, found)]
    assert 0 < moved[1] < 0.8 * moved[0]


# --- statistics of batch norms


def fresh_statistics(net: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return mean and variance of what the first norm of ``small`` reads."""
    with torch.no_grad():
        maps = net.conv1[0](images)  # type: ignore[operator, index]
    return [maps.mean((0, 2, 3)), maps.var((0, 2, 3))]


@pytest.mark.parametrize("averaging", few_fast(["ema", "none"], 1))
def test_plain_statistics_are_those_of_the_scored_weights(
    blob_data: Dataset, averaging: str
) -> None:
    first = blob_data.train.take(torch.arange(500))  # one batch of the computation
    data = dataclasses.replace(blob_data, train=first)
    recipe = FAST.replace(norm_statistics="plain", averaging=averaging, dropout=0.4)
    run, net = train(data, recipe)
    norm = net.conv1[1]  # type: ignore[index]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, var = fresh_statistics(net, normalize(first.images, recipe))
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, var, rtol=1e-4, atol=1e-5)
    assert norm.num_batches_tracked == 10  # steps of the training
    assert run.epochs[-1].held_out == evaluate(net, data.held_out, recipe, 10).score
    kept, _ = train(data, recipe.replace(norm_statistics="running"))
    # The steps of the training are the same; what is scored is not.
    assert [e.train_loss for e in kept.epochs] == [e.train_loss for e in run.epochs]
    assert kept.epochs[0].held_out_loss != run.epochs[0].held_out_loss


def test_norms_that_are_not_trained_keep_their_statistics(blob_data: Dataset) -> None:
    class Frozen(nn.BatchNorm2d):
        def train(self, mode: bool = True) -> nn.BatchNorm2d:
            return super().train(False)

    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), Frozen(2), nn.BatchNorm2d(2), nn.Dropout(), nn.InstanceNorm2d(2)
    )
    net.idle = nn.BatchNorm2d(2)
    net.forward = lambda x: nn.Sequential(*list(net)[:5])(x)  # type: ignore[method-assign, assignment]
    net[4].eval()
    modes = [module.training for module in net.modules()]
    recipe = FAST.replace(norm_statistics="augmented")
    BatchNormUpdate(blob_data.train, recipe, RandomStreams(0), 6).apply(net, 1)
    assert [module.training for module in net.modules()] == modes
    for norm, moved in ((net[1], False), (net[2], True), (net.idle, False)):
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert bool(norm.running_mean.any()) is moved
        assert norm.momentum == 0.1
        assert norm.num_batches_tracked == 0


def test_statistics_are_of_images_as_they_are_augmented_at_the_end_of_the_epoch(
    blob_data: Dataset,
) -> None:
    def mean(epoch: int, **changes: Any) -> torch.Tensor:
        net = nn.Sequential(nn.BatchNorm2d(1, affine=False))
        recipe = FAST.replace(augment=(Warp(shift_px=20),), epochs=4, **changes)
        BatchNormUpdate(blob_data.train, recipe, RandomStreams(0), 6).apply(net, epoch)
        found = net[0].running_mean
        assert isinstance(found, torch.Tensor)
        return found

    plain = mean(4, norm_statistics="plain")
    full = mean(4, norm_statistics="augmented")
    assert full < plain - 0.05  # bars are moved out of sight
    assert torch.equal(full, mean(1, norm_statistics="augmented", augment_end=0.0))
    torch.testing.assert_close(mean(4, norm_statistics="augmented", augment_end=0.0), plain)


# --- all of them


@pytest.mark.parametrize("changes", few_fast(TRAINED_DIFFERENTLY, 2), ids=str)
def test_resuming_with_an_option_is_bit_identical(
    blob_data: Dataset, changes: dict[str, Any]
) -> None:
    keeps = KeepsCheckpoints()
    whole, _ = train(blob_data, FAST.replace(**changes), callbacks=[keeps])
    before, *_, last = keeps.all[1:]
    for checkpoint in (before, last):
        resumed = fit(netlet.build(small, 5), blob_data, FAST.replace(**changes), resume=checkpoint)
        assert resumed.weights_digest == whole.weights_digest
        assert [e.held_out_loss for e in resumed.epochs] == [e.held_out_loss for e in whole.epochs]
        assert resumed.confusion == whole.confusion
    assert whole.recipe == to_json_value(FAST) | changes
    assert Run.from_json(whole.to_json()) == whole


@pytest.mark.slow
def test_each_option_changes_the_weights_and_its_default_does_not(blob_data: Dataset) -> None:
    digests = [
        train(blob_data, FAST.replace(**changes))[0].weights_digest
        for changes in (
            {},
            {"augment_ramp_share": 0.7, "expand_factor": 4, "widen_factor": 4},
            *TRAINED_DIFFERENTLY,
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[1:])) == len(digests) - 1


@pytest.mark.slow
@pytest.mark.parametrize("averaging", ["none", "ema", "tail"])
@pytest.mark.parametrize("changes", TRAINED_DIFFERENTLY, ids=str)
def test_options_train_compiled_and_resume(
    blob_data: Dataset, averaging: str, changes: dict[str, Any]
) -> None:
    recipe = FAST.replace(backend="compiled", averaging=averaging, **changes)
    keeps = KeepsCheckpoints()
    whole, net = train(blob_data, recipe, callbacks=[keeps])
    assert whole.backend == "compiled"
    assert whole.environment["augmentation"] == "compiled"
    assert whole.last_epoch.score == evaluate(net, blob_data.held_out, recipe, 10).score
    resumed = fit(netlet.build(small, 5), blob_data, recipe, resume=keeps.all[1])
    assert resumed.weights_digest == whole.weights_digest
