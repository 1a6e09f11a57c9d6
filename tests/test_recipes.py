"""Invalid recipes are refused, old names still work, and the write-ups' recipes are as written."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import get_type_hints

import pytest
from helpers import Netlet

from netlet import catalog, recipes
from netlet.cli.settings import apply_settings
from netlet.errors import NetletDeprecationWarning, RecipeError
from netlet.experiments import EXPERIMENTS
from netlet.recipes import Recipe, Warp, recipe_from_json
from netlet.recipes.recipe import CatalogRate
from netlet.records import to_json_value
from netlet.training.schedules import learning_rate

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0 is out of range; give a whole number from 1 to 100,000"),
        ({"epochs": 2.5}, "epochs=2.5 is not a whole number"),
        ({"epochs": "15"}, "epochs='15' is not a whole number; give one like 5"),
        ({"peak_lr": "15"}, "peak_lr='15' is not a number; give one like 0.5"),
        ({"batch_size": -1}, "batch_size=-1 is out of range"),
        ({"peak_lr": 0.0}, "peak_lr=0.0 is out of range; give a number above 0"),
        ({"peak_lr": float("nan")}, "peak_lr=nan is not a number"),
        (
            {"momentum": 1.0},
            "momentum=1.0 is out of range; give a number of at least 0 and below 1",
        ),
        ({"optimizer": "adam"}, "optimizer='adam' is not known; choose one of sgd, adamw"),
        ({"schedule": "linear"}, "schedule='linear' is not known; choose one of constant, step"),
        ({"precision": "fp16"}, "precision='fp16' is not known; choose one of auto, float32, bf16"),
        ({"nesterov": True}, "nesterov=True needs optimizer='sgd'"),
        ({"dropout": 1.0}, "dropout=1.0 is out of range"),
        ({"augment": ("rotate",)}, r"augment holds 'rotate'; give Warp\(...\) values"),
        ({"epoch": 3}, "a recipe has no setting 'epoch'; did you mean 'epochs'"),
        ({"weight_decay": "much"}, "weight_decay='much' is not a number"),
        ({"tail_share": 0}, "tail_share=0 is out of range; give a number above 0 and at most 1"),
        ({"augment_end": 1.5}, "augment_end=1.5 is out of range; give a number from 0 to 1"),
        ({"augment_ramp_share": 0}, "augment_ramp_share=0 is out of range; give a number above 0"),
        (
            {"train_as": "wide"},
            "train_as='wide' is not known; choose one of net, branches, expanded, widened",
        ),
        ({"expand_factor": 1.5}, "expand_factor=1.5 is not a whole number"),
        ({"expand_factor": 0}, "expand_factor=0 is out of range; give a whole number from 1 to 16"),
        ({"widen_factor": 1}, "widen_factor=1 is out of range; give a whole number from 2 to 8"),
        ({"widened_weight": 0}, "widened_weight=0 is out of range; give a number above 0"),
        ({"teacher": 3}, "teacher=3 is not a text; give one like 'crest'"),
        ({"teacher_epochs": -1}, "teacher_epochs=-1 is out of range; give a whole number from 0"),
        (
            {"distill_weight": 0},
            "distill_weight=0 is out of range; give a number above 0 and at most 1",
        ),
        (
            {"distill_temperature": 0},
            "distill_temperature=0 is out of range; give a number above 0",
        ),
        ({"norm_statistics": "new"}, "norm_statistics='new' is not known; choose one of running,"),
    ],
)
def test_refusals(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe().replace(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotate_deg": -3}, "rotate_deg=-3 is out of range; give a number from 0 to 180"),
        ({"fill": 300}, "fill=300 is out of range"),
        ({"fill": 1.5}, "fill=1.5 is not a whole number"),
        ({"elastic_px": -1}, "elastic_px=-1 is out of range"),
        ({"elastic_points": 1}, "elastic_points=1 is out of range; give a whole number from 2"),
        ({"elastic_points": 4.5}, "elastic_points=4.5 is not a whole number"),
        (
            {"interpolation": "cubic"},
            "interpolation='cubic' is not known; choose one of bilinear, nearest",
        ),
    ],
)
def test_warp_refusals(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Warp(**changes)  # type: ignore[arg-type]


def test_recipes_are_frozen_and_derive() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipes.STEADY.epochs = 3  # type: ignore[misc]
    assert recipes.STEADY.replace(epochs=5).epochs == 5
    assert recipes.STEADY.replace(epochs=5).replace(epochs=recipes.STEADY.epochs) == recipes.STEADY
    assert catalog.find_recipe("steady") is recipes.STEADY
    assert all(
        catalog.find_recipe(experiment.recipe.name) == experiment.recipe
        for experiment in EXPERIMENTS.values()
    )
    with pytest.raises(RecipeError, match="no recipe 'staedy'; did you mean 'steady'"):
        catalog.find_recipe("staedy")


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [("optimiser", "optimizer", "sgd"), ("batch", "batch_size", 32), ("step", "backend", "eager")],
)
def test_recipe_fields_of_version_0_1_still_work_with_a_warning(
    old: str, new: str, value: object
) -> None:
    with pytest.warns(NetletDeprecationWarning, match=f"'{old}' is now called '{new}'"):
        assert Recipe().replace(**{old: value}) == Recipe().replace(**{new: value})
    plain = to_json_value(Recipe())
    renamed = {(old if name == new else name): v for name, v in plain.items()} | {old: value}
    with pytest.warns(NetletDeprecationWarning, match=f"'{old}' is now called '{new}'"):
        assert getattr(recipe_from_json(renamed), new) == value


def test_but_still_works_with_a_warning() -> None:
    with pytest.warns(NetletDeprecationWarning, match=r"Recipe.but is now called Recipe.replace"):
        assert Recipe().but(epochs=3) == Recipe(epochs=3)
    with pytest.warns(NetletDeprecationWarning) as caught:
        assert Recipe().but(batch=32) == Recipe(batch_size=32)
    (only,) = caught
    assert only.filename == __file__
    experiment = EXPERIMENTS["swift"]
    with pytest.warns(NetletDeprecationWarning, match=r"Experiment.but is now called"):
        assert experiment.but(recipe=recipes.STEADY).recipe == recipes.STEADY


def test_an_old_field_name_on_the_command_line_is_one_line_on_stderr(netlet: Netlet) -> None:
    code, out, err = netlet("train", "swift", "--set", "batch=50", "--set", "epochs=0")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first == (
        "netlet: warning: the recipe field 'batch' is now called 'batch_size';"
        " the old name will stop working in 0.3"
    )
    assert "epochs=0 is out of range" in second


def test_every_recipe_says_what_it_is_for_and_records_do_not() -> None:
    for recipe in catalog.RECIPES.values():
        assert recipe.about
        assert len(recipe.about.splitlines()) == 1
        assert "about" not in to_json_value(recipe)
        assert recipe_from_json(to_json_value(recipe)) == recipe
        assert not recipe.replace(epochs=3).about


def test_document_001_is_as_written() -> None:
    recipe = catalog.find_recipe("document_001")
    assert (recipe.batch_size, recipe.epochs, recipe.mean, recipe.std) == (128, 20, 0.1307, 0.3081)
    assert (recipe.optimizer, recipe.weight_decay, recipe.momentum, recipe.beta2) == (
        "adamw",
        0.0,
        0.9,
        0.999,
    )
    assert recipe.augment == (
        Warp(rotate_deg=7, fill=1, interpolation="nearest"),
        Warp(rotate_deg=10, scale=0.05, interpolation="nearest"),
    )
    # The rates that its log prints, before each epoch.
    logged = [0.015] * 7 + [0.006] * 7 + [0.0024] * 6
    assert [learning_rate(recipe, epoch * 469, 469) for epoch in range(20)] == pytest.approx(logged)
    assert [learning_rate(recipe, epoch * 469 + 468, 469) for epoch in range(20)] == pytest.approx(
        logged
    )


def test_document_003_is_as_written() -> None:
    assert (
        catalog.find_recipe("document_003").batch_size,
        catalog.find_recipe("document_003").peak_lr,
    ) == (64, 0.01)


def rates(**changes: object) -> list[float]:
    recipe = Recipe(epochs=10, peak_lr=2.0).replace(**changes)
    return [learning_rate(recipe, step, 10) for step in range(100)]


def test_schedules() -> None:
    assert set(rates(schedule="constant")) == {2.0}
    triangle = rates(schedule="triangular", peak_at=0.25, start_lr=0.1, end_lr=0.05)
    assert triangle[0] == pytest.approx(0.2)
    assert max(triangle) == pytest.approx(2.0, rel=0.02)
    assert triangle.index(max(triangle)) in (24, 25)
    assert triangle[-1] == pytest.approx(0.1)
    rises = [b - a for a, b in itertools.pairwise(triangle)]
    assert all(rise == pytest.approx(rises[0]) for rise in rises[:24])
    assert all(rise == pytest.approx(rises[-1]) for rise in rises[25:])
    cycle = rates(schedule="one_cycle", peak_at=0.3, start_lr=0.04)
    assert cycle[0] == pytest.approx(0.08)
    assert cycle[-1] == pytest.approx(0, abs=1e-9)
    cosine = rates(schedule="cosine", end_lr=0.5)
    assert (cosine[0], cosine[-1]) == (2.0, pytest.approx(1.0))
    assert cosine == sorted(cosine, reverse=True)
    assert rates(schedule="step", step_epochs=4, step_factor=0.5)[::20] == [2.0, 2.0, 1.0, 1.0, 0.5]


@pytest.mark.parametrize("schedule", ["constant", "step", "one_cycle", "triangular", "cosine"])
@pytest.mark.parametrize("peak_at", [0.0, 0.5, 1.0])
def test_schedules_of_one_step_and_at_the_edges(schedule: str, peak_at: float) -> None:
    for epochs, steps in ((1, 1), (1, 2), (3, 5)):
        recipe = Recipe(epochs=epochs, schedule=schedule, peak_at=peak_at)  # type: ignore[arg-type]
        assert all(
            0 <= learning_rate(recipe, step, steps) <= recipe.peak_lr
            for step in range(epochs * steps)
        )


def test_our_one_cycle_is_torchs() -> None:
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    descent = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        descent,
        max_lr=2.0,
        total_steps=100,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e9,
        cycle_momentum=False,
    )
    ours = rates(schedule="one_cycle", peak_at=0.3, start_lr=1 / 25)
    for step in range(100):
        # Torch puts the peak on a whole step, we on a share of all steps.
        assert ours[step] == pytest.approx(theirs.get_last_lr()[0], abs=0.05)
        descent.step()
        theirs.step()


def test_what_the_docs_say_of_a_pytorch_script_are_settings() -> None:
    page = (ROOT / "docs" / "api" / "recipes.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", page[page.index("## From a PyTorch") :], re.M)[2:]
    assert len(rows) > 12
    found = [re.findall(r"`([a-z_2.]+=[^`]+)`", recipe) for _, recipe in rows]
    assert sum(map(len, found)) > 30
    start = recipes.PLAIN  # as the page says
    stated = {
        script: apply_settings(start, row) for (script, _), row in zip(rows, found, strict=True)
    }
    (rotated,) = (one for script, one in stated.items() if "RandomRotation" in script)
    assert rotated.augment == (Warp(rotate_deg=7),)
    (cycled,) = (one for script, one in stated.items() if "OneCycleLR" in script)
    assert cycled.start_lr == 1 / 25
    assert cycled.end_lr == pytest.approx(1 / 25 / 1e4)


def test_our_step_schedule_is_torchs() -> None:
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    descent = torch.optim.SGD([parameter], lr=0.05)
    theirs = torch.optim.lr_scheduler.StepLR(descent, step_size=6, gamma=0.1)
    recipe = recipes.PLAIN.replace(
        epochs=15, peak_lr=0.05, schedule="step", step_epochs=6, step_factor=0.1
    )
    for epoch in range(15):
        assert learning_rate(recipe, 10 * epoch + 9, 10) == pytest.approx(theirs.get_last_lr()[0])
        descent.step()
        theirs.step()


@pytest.mark.parametrize("kind", [Recipe, Warp])
def test_equal_values_have_equal_json(kind: type) -> None:
    """A study's folder tells experiments apart by a digest of it."""
    floats = [n for n, type_ in get_type_hints(kind).items() if type_ in (float, float | None)]
    assert len(floats) >= 5
    for name in floats:
        found: object = None
        for value in (0, 1):
            with contextlib.suppress(RecipeError):  # out of range
                found = getattr(kind(**{name: value}), name)
        assert type(found) is float, name


def test_a_whole_catalog_rate_stays_one() -> None:
    recipe = Recipe(dropout=CatalogRate(0))
    assert recipe.for_net(in_catalog=False).dropout is None
    assert json.dumps(recipe.to_dict()) == json.dumps(Recipe(dropout=0).to_dict())


def test_settings_mean_the_same_as_text_as_values_and_as_tables() -> None:
    turned = {"rotate_deg": 5, "fill": 1}
    as_text = {"augment.fill": "1", "augment.rotate_deg": "5", "peak_lr": "0.02", "dropout": "none"}
    as_values = {"augment": {"rotate_deg": 5, "fill": 1}, "peak_lr": 0.02, "dropout": None}
    for base in (recipes.QUICK, recipes.PLAIN):  # with augmentation and without
        changed = recipes.change_settings(base, as_text)
        assert changed == recipes.change_settings(base, as_values)
        assert (changed.peak_lr, changed.dropout) == (0.02, None)
        warps = base.augment or (Warp(),)
        assert changed.augment == tuple(dataclasses.replace(warp, **turned) for warp in warps)
    light = recipes.change_settings(recipes.PLAIN, {"augment.fill": 1, "augment": "light"})
    assert light.augment == tuple(
        dataclasses.replace(warp, fill=1) for warp in recipes.AUGMENTS["light"]
    )
    assert light == recipes.change_settings(
        recipes.PLAIN, {"augment": {"start": "light", "fill": "1"}}
    )
    words = ["augment.fill=1", "augment=light"]
    assert apply_settings(recipes.PLAIN, words).replace(name="plain") == light


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": {"turn": 3}}, "augment has no setting 'turn'; choose one of rotate_deg"),
        ({"augment.turn": 3}, "augment has no setting 'turn'"),
        ({"augment": 3}, "augment=3 is unknown; choose one of none, light"),
        ({"augment": {"rotate_deg": "far"}}, "rotate_deg='far' is not a number; give one like"),
        ({"nesterov": "maybe"}, "nesterov='maybe' is not true or false"),
        ({"epochs": "2.5"}, "epochs='2.5' is not a whole number"),
        ({"epoch": "3"}, "a recipe has no setting 'epoch'; did you mean 'epochs'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        recipes.change_settings(Recipe(), settings)
