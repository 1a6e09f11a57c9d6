"""Whose dropout rates a training uses: the net's own, unless its recipe asks for another."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
from fixtures import slips
from helpers import FIXTURES, Netlet, make_seed_result, make_study, set_options
from torch import nn

import netlet as package
from netlet import recipes
from netlet.cli.settings import configure_experiment
from netlet.data import Dataset
from netlet.experiments import EXPERIMENTS, find_experiment
from netlet.experiments.seeds import SeedError
from netlet.nets import NETS, NetEntry
from netlet.recipes import GENERAL_RECIPES, STEADY, Recipe, recipe_from_json
from netlet.recipes.recipe import CatalogRate
from netlet.records import to_json_value
from netlet.report.commands import command_for
from netlet.training import describe_dropout, fit

NET = f"{FIXTURES}/slips.py:DropsAlot"
FAST = set_options(epochs=1, batch_size=60, precision="float32")
SHORT = STEADY.replace(epochs=1, batch_size=100, precision="float32", augment=())


def digest(data: Dataset, recipe: Recipe) -> str:
    return fit(package.build(slips.DropsAlot, 0), data, recipe).weights_digest


def test_fit_keeps_the_rates_of_a_net_unless_the_recipe_asks(blob_data: Dataset) -> None:
    kept = digest(blob_data, SHORT)
    assert kept == digest(blob_data, SHORT.replace(dropout=None))
    assert kept != digest(blob_data, SHORT.replace(dropout=0.0))
    run = fit(package.build(slips.DropsAlot, 0), blob_data, SHORT)
    assert run.recipe["dropout"] is None
    asked = SHORT.replace(dropout=0.25)
    assert fit(package.build(slips.DropsAlot, 0), blob_data, asked).recipe["dropout"] == 0.25


def test_general_recipes_have_a_rate_for_the_catalog_only() -> None:
    for recipe in GENERAL_RECIPES:
        assert recipe.for_net(in_catalog=True) == recipe
        assert recipe.for_net(in_catalog=False).dropout is None
        assert recipe.for_net(in_catalog=False).about == recipe.about
        asked = recipe.replace(dropout=0.0, epochs=3)
        assert asked.for_net(in_catalog=False) is asked
        for derived in (recipe.replace(epochs=3), dataclasses.replace(recipe, epochs=3)):
            assert derived.for_net(in_catalog=False).dropout is None
        for rate in (0.0, 0.2):
            asked = dataclasses.replace(recipe, dropout=rate)
            assert asked.for_net(in_catalog=False) is asked
        asked = recipe.replace(dropout=recipe.dropout)
        assert asked.for_net(in_catalog=False) is asked
        same = pickle.loads(pickle.dumps(recipe))
        assert same.for_net(in_catalog=False).dropout is None
        assert not isinstance(same.to_dict()["dropout"], CatalogRate)
        # A record says what was used.
        settled = recipe.for_net(in_catalog=False)
        assert recipe_from_json(to_json_value(settled)).for_net(in_catalog=True) == settled


def test_nets_of_the_catalog_train_with_the_rates_of_their_recipes() -> None:
    for name, experiment in EXPERIMENTS.items():
        documented = name.endswith(".documented")
        assert experiment.recipe.dropout == (None if documented else 0.0)
        assert not isinstance(experiment.recipe.dropout, CatalogRate)
        assert find_experiment(name).recipe == experiment.recipe
    assert find_experiment("8 P 10").recipe == STEADY
    assert configure_experiment("pyramid", "quick", None, None).recipe == recipes.QUICK


@pytest.mark.parametrize("recipe", [None, "steady", "quick", "frontier", "plain"])
def test_other_nets_keep_their_rates_whatever_the_recipe(recipe: str | None) -> None:
    experiment = configure_experiment(NET, recipe, None, ["epochs=2"])
    assert experiment.recipe.dropout is None
    for rate in (0.0, 0.3):
        experiment = configure_experiment(NET, recipe, None, [f"dropout={rate}"])
        assert experiment.recipe.dropout == rate
    assert configure_experiment("pyramid", recipe, None, ["dropout=none"]).recipe.dropout is None


def test_a_net_that_somebody_registers_keeps_its_rates() -> None:
    entry = NetEntry("theirs", slips.DropsAlot, "own", "")
    made = package.Experiment(
        name="theirs", net=entry, recipe=STEADY, budget=EXPERIMENTS["swift"].budget
    )
    assert made.recipe.dropout is None
    assert made.replace(recipe=recipes.QUICK).recipe.dropout is None
    assert made.replace(recipe=recipes.QUICK.replace(dropout=0.1)).recipe.dropout == 0.1


@pytest.mark.parametrize(
    ("net", "rate", "text"),
    [
        (
            slips.DropsAlot(),
            0.05,
            "dropout 0.05 in all 3 layers (the net's own: 0.1 in a, b; 0.4 in c)",
        ),
        (slips.DropsAlot(), 0.1, "dropout 0.1 in 1 of 3 layers (the net's own: 0.4 in c)"),
        (
            nn.LSTM(28, 8, num_layers=2, dropout=0.3),
            0.2,
            "dropout 0.2 changes nothing: dropout inside (net) (LSTM) keeps its rate",
        ),
        (
            nn.Sequential(nn.GRU(8, 8, 2, dropout=0.1), nn.TransformerEncoderLayer(8, 2, 8)),
            0.2,
            "dropout 0.2 in all 3 layers (the net's own: 0.1); dropout inside 0 (GRU) and dropout "
            "inside 1.self_attn (MultiheadAttention) keep their rates",
        ),
        (
            nn.LSTM(28, 8, num_layers=2),
            0.2,
            "dropout 0.2 changes nothing: the net has no dropout layer",
        ),
        (slips.DropsAlot(), None, ""),
        (slips.DropoutOnLogits(), 0.05, "dropout 0.05 in layer drop (the net's own: 0.1)"),
        (slips.DropoutOnLogits(), 0.1, ""),
        (
            NETS["mnistnet_1"].builder(),
            0.0,
            "dropout 0 in all 5 layers (the net's own: 0.05)",
        ),
        (slips.Sound(), 0.2, "dropout 0.2 changes nothing: the net has no dropout layer"),
        (slips.Sound(), 0.0, ""),
    ],
)
def test_what_a_recipe_changes_is_described(net: nn.Module, rate: float | None, text: str) -> None:
    assert describe_dropout(net, Recipe(dropout=rate)) == text


def test_train_says_what_it_changes(netlet: Netlet, blobs_for_mnist: Path) -> None:
    code, out, err = netlet("train", NET, *FAST, "--json")
    assert "dropout" not in next(line for line in err.splitlines() if line.startswith("training "))
    assert json.loads(out)["recipe"]["dropout"] is None
    code, out, err = netlet("train", NET, *FAST, "--set", "dropout=0.05", "--json")
    line = next(line for line in err.splitlines() if line.startswith("training "))
    assert line.endswith(
        "dropout 0.05 in all 3 layers (the net's own: 0.1 in a, b; 0.4 in c); F.dropout in (net) "
        "keeps its rate"
    )
    assert json.loads(out)["recipe"]["dropout"] == 0.05
    assert code == 1  # the budget asks for more than one epoch gives
    code, _, err = netlet("train", "mnistnet_1", *FAST)
    assert "dropout 0 in all 5 layers (the net's own: 0.05)" in err


def test_a_refused_backend_leaves_no_folder(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLET_COMPILE", "0")
    code, _, err = netlet("train", NET, *FAST, "--set", "backend=compiled")
    assert code == 2
    assert "backend=compiled is turned off by NETLET_COMPILE=0; unset it, or use" in err
    assert [path.name for path in tmp_path.rglob("*")] == []


def test_a_study_that_trains_nothing_leaves_no_folder(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [SeedError(0, "refused")]
    monkeypatch.setattr("netlet.experiments.study.train_seeds", lambda *_: refused)
    code, _, err = netlet("study", NET, "--seeds", "1", *FAST, "-o", "deep/er")
    assert code == 2
    assert "netlet: 1 of 1 seed is not finished (seed 0: refused)" in err.splitlines()
    assert [path.name for path in tmp_path.rglob("*")] == []


@pytest.mark.parametrize(
    ("net", "rate", "option"),
    [
        ("mine.py:Net", None, ""),
        ("mine.py:Net", 0.0, " --set dropout=0.0"),
        ("pyramid", 0.0, ""),
        ("pyramid", None, " --set dropout=none"),
    ],
)
def test_the_command_of_a_study_gives_the_same_rates(
    net: str, rate: float | None, option: str
) -> None:
    recipe = to_json_value(recipes.QUICK.replace(dropout=rate, name="quick"))
    study = make_study(make_seed_result(0, 990), name="mine", net=net, recipe=recipe)
    assert command_for(study) == (
        f"netlet study {net} --recipe quick{option} --first-seed 0 --seeds 1"
    )
